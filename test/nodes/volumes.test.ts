// Claims on real nodes, by the real kubectl: data outlives its pod, its folder goes with its volume, and what a node cannot mount is
// refused by name.
import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import type { PersistentVolumeClaim, Pod, StatefulSet } from "@coxswain/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, replacePods, type TestCluster, testCluster } from "../integration/cluster-fixture.ts";

const BUSYBOX = "coxswain.local/busybox:1";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ runtime: "containerd", nodes: 2, egress: "none", name: "volumes" });
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
});

const apply = (...objects: readonly object[]): Promise<string> =>
  k.apply(objects.map((object) => JSON.stringify(object)).join("\n---\n"));

const claimSpec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
const claim = (name: string, spec: object = {}) => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name },
  spec: { ...claimSpec, ...spec },
});

/** A pod that runs a script and mounts a claim at /data. */
const pod = (name: string, claimName: string, script: string, more: { mounts?: object[]; spec?: object } = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec: {
    terminationGracePeriodSeconds: 1,
    restartPolicy: "Never",
    containers: [
      {
        name: "main",
        image: BUSYBOX,
        command: ["sh", "-c", script],
        volumeMounts: more.mounts ?? [{ name: "data", mountPath: "/data" }],
      },
    ],
    volumes: [{ name: "data", persistentVolumeClaim: { claimName } }],
    ...more.spec,
  },
});

const ended = async (name: string): Promise<Pod> =>
  eventually(
    () => k.get<Pod>(["pod", name]),
    ({ status }) => status?.phase === "Succeeded" || status?.phase === "Failed",
  );

/** The folder for volumes of a node, as this machine sees it. */
const disk = (node: string): string => path.join(k.cluster.paths.dataDir, "nodes", node, "var/lib/kubelet/node-disk");

test("data outlives the pod that wrote it; its folder goes with the volume", async () => {
  await apply(
    claim("data"),
    pod("writer", "data", "echo words > /data/kept; mkdir /data/part; id -u > /data/part/who"),
  );
  expect((await ended("writer")).status?.phase).toBe("Succeeded");
  const { spec } = await k.get<Pod>(["pod", "writer"]);
  const bound = await k.get<PersistentVolumeClaim>(["pvc", "data"]);
  const folder = path.join(disk(spec?.nodeName ?? ""), bound.spec?.volumeName ?? "");
  expect(readdirSync(folder).toSorted()).toEqual(["kept", "part"]);
  await k.ok(["delete", "pod", "writer"]);

  const mounts = [
    { name: "data", mountPath: "/all", readOnly: true },
    { name: "data", mountPath: "/part", subPath: "part" },
  ];
  const script =
    "cat /all/kept /part/who; touch /all/no 2>/dev/null || echo fixed; id -G; touch /part/new && ls -ln /part/new | tr -s ' ' | cut -d' ' -f4";
  const securityContext = { runAsUser: 1234, fsGroup: 4321 };
  await apply(pod("reader", "data", script, { mounts, spec: { securityContext } }));
  const read = await ended("reader");
  expect(await k.ok(["logs", "reader"])).toMatch(/^words\n0\nfixed\n.*4321.*\n4321\n$/);
  expect(read.spec?.nodeName).toBe(spec?.nodeName);
  expect(statSync(path.join(folder, "part/new")).gid).toBe(4321);

  await k.ok(["delete", "pvc", "data", "--wait=false"]);
  expect(existsSync(folder)).toBe(true);
  await k.ok(["delete", "pod", "reader"]);
  await eventually(
    () => k.ok(["get", "pv", "--no-headers", "--ignore-not-found"]),
    (left) => left === "",
  );
  expect(existsSync(folder)).toBe(false);
});

test("a StatefulSet's pods keep their data over restarts and scaling", async () => {
  const script = "cat /data/log 2>/dev/null; echo $HOSTNAME >> /data/log; sleep 1000 & wait";
  await apply({
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "db" },
    spec: {
      replicas: 2,
      serviceName: "db",
      podManagementPolicy: "Parallel",
      persistentVolumeClaimRetentionPolicy: { whenDeleted: "Delete" },
      selector: { matchLabels: { app: "db" } },
      template: {
        metadata: { labels: { app: "db" } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: "main",
              image: BUSYBOX,
              command: ["sh", "-c", script],
              volumeMounts: [{ name: "data", mountPath: "/data" }],
            },
          ],
        },
      },
      volumeClaimTemplates: [{ metadata: { name: "data" }, spec: claimSpec }],
    },
  });
  const ready = async (): Promise<void> => {
    await eventually(
      () => k.get<StatefulSet>(["sts", "db"]),
      ({ status }) => status?.readyReplicas === 2,
    );
  };
  await ready();
  await replacePods(k, ["-l", "app=db"]);
  await ready();
  for (const name of ["db-0", "db-1"]) {
    await eventually(
      () => k.ok(["logs", name]),
      (log) => log === `${name}\n`,
    );
  }
  await k.ok(["delete", "sts", "db"]);
  await eventually(
    () => k.ok(["get", "pvc,pv", "--no-headers", "--ignore-not-found"]),
    (left) => left === "",
  );
  expect(["node-1", "node-2"].map(disk).flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : []))).toEqual(
    [],
  );
});

test("volumes that a node cannot mount are refused by name", async () => {
  const volume = (name: string, source: object) => ({
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name },
    spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, storageClassName: name, ...source },
  });
  await apply(
    volume("nfs", { nfs: { server: "example.test", path: "/" } }),
    volume("csi", { csi: { driver: "d.example", volumeHandle: "h" } }),
    ...["nfs", "csi"].flatMap((name) => [claim(name, { storageClassName: name }), pod(name, name, "true")]),
  );
  const told = (name: string, text: string): Promise<string> =>
    eventually(
      () => k.ok(["describe", "pod", name]),
      (described) => described.includes(text),
    );
  await told("nfs", 'MountVolume.SetUp failed for volume "nfs" : volume type nfs is not supported by this kubelet');
  // First it has to be attached, which is for the driver's attacher to say.
  const { items } = await eventually(
    () => k.get<{ items: { metadata: { name: string } }[] }>(["volumeattachments"]),
    (found) => found.items.length === 1,
  );
  const attachment = items[0]?.metadata.name ?? "";
  const attached = '{"status":{"attached":true}}';
  await k.ok(["patch", "volumeattachment", attachment, "--subresource=status", "--type=merge", "-p", attached]);
  const step = "kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient";
  const why = "driver name d.example not found in the list of registered CSI drivers";
  await told("csi", `MountVolume.MountDevice failed for volume "csi" : ${step}: ${why}`);
  await k.ok(["delete", "pod/nfs", "pod/csi", "pvc/nfs", "pvc/csi", "pv/nfs", "pv/csi"]);
});
