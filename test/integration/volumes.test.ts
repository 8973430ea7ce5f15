// Volumes and claims by the real kubectl, on simulated nodes: what users of claims, classes and StatefulSets do and read.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, StatefulSet, VolumeAttachment } from "@coxswain/api";
import { eventually, replacePods, type TestCluster, testCluster } from "./cluster-fixture.ts";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ nodes: 3, name: "volumes" });
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
});

const apply = (...objects: readonly object[]): Promise<string> =>
  k.apply(objects.map((object) => JSON.stringify(object)).join("\n---\n"));

const claim = (name: string, spec: object = {}) => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...spec },
});

const volume = (name: string, spec: object = {}) => ({
  apiVersion: "v1",
  kind: "PersistentVolume",
  metadata: { name },
  spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "5Gi" }, hostPath: { path: `/srv/${name}` }, ...spec },
});

const pod = (name: string, claimName: string, spec: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [{ name: "main", image: "example.test/app:v1", volumeMounts: [{ name: "data", mountPath: "/data" }] }],
    volumes: [{ name: "data", persistentVolumeClaim: { claimName } }],
    ...spec,
  },
});

const claimNamed = (name: string): Promise<PersistentVolumeClaim> => k.get<PersistentVolumeClaim>(["pvc", name]);
const volumeNamed = (name: string): Promise<PersistentVolume> => k.get<PersistentVolume>(["pv", name]);
const isGone = async (kind: string, name: string): Promise<void> => {
  await eventually(
    () => k.kubectl(["get", kind, name]),
    ({ stderr }) => stderr.includes("NotFound"),
  );
};
const told = (name: string, text: RegExp): Promise<string> =>
  eventually(
    () => k.ok(["describe", "pvc", name]),
    (described) => text.test(described),
  );

test("a cluster has a default class from its first moment", async () => {
  expect(await k.ok(["get", "storageclass", "--no-headers"])).toMatch(
    /^standard \(default\)\s+coxswain\.dev\/node-disk\s+Delete\s+WaitForFirstConsumer\s+true\s/,
  );
});

describe("a claim of the default class", () => {
  let name = "";

  test("waits for its first consumer, and is bound on that one's node", async () => {
    await apply(claim("data"));
    await told(
      "data",
      /Normal\s+WaitForFirstConsumer\s.*persistentvolume-controller\s+waiting for first consumer to be created before binding/,
    );
    expect(await k.ok(["get", "pvc", "data", "--no-headers"])).toMatch(/^data\s+Pending\s+standard\s+<unset>\s/);
    await apply(pod("user", "data"));
    await k.ok(["wait", "--for=condition=Ready", "pod/user", "--timeout=60s"]);
    const bound = await claimNamed("data");
    name = bound.spec?.volumeName ?? "";
    expect(name).toBe(`pvc-${bound.metadata?.uid}`);
    expect(bound.metadata?.finalizers).toEqual(["kubernetes.io/pvc-protection"]);
    const { spec } = await k.get<Pod>(["pod", "user"]);
    expect(bound.metadata?.annotations).toMatchObject({
      "pv.kubernetes.io/bind-completed": "yes",
      "pv.kubernetes.io/bound-by-controller": "yes",
      "volume.kubernetes.io/selected-node": spec?.nodeName,
      "volume.kubernetes.io/storage-provisioner": "coxswain.dev/node-disk",
    });
    expect(await k.ok(["get", "pvc", "data", "--no-headers"])).toMatch(
      new RegExp(`^data\\s+Bound\\s+${name}\\s+1Gi\\s+RWO\\s+standard\\s+<unset>\\s`),
    );
    expect(await k.ok(["get", "pv", name, "--no-headers"])).toMatch(
      new RegExp(`^${name}\\s+1Gi\\s+RWO\\s+Delete\\s+Bound\\s+default/data\\s+standard\\s+<unset>\\s`),
    );
    const [term] = (await volumeNamed(name)).spec?.nodeAffinity?.required?.nodeSelectorTerms ?? [];
    expect(term?.matchExpressions?.[0]?.values).toEqual([spec?.nodeName]);
    const events = await told("data", /ProvisioningSucceeded/);
    expect(events).toMatch(
      /ExternalProvisioning\s.*Waiting for a volume to be created either by the external provisioner 'coxswain\.dev\/node-disk'/,
    );
    expect(events).toContain(`Successfully provisioned volume ${name}`);
  });

  test("takes its pod back to its node, and grows", async () => {
    const { spec } = await k.get<Pod>(["pod", "user"]);
    await k.ok(["delete", "pod", "user"]);
    await apply(pod("user", "data"));
    await k.ok(["wait", "--for=condition=Ready", "pod/user", "--timeout=60s"]);
    expect((await k.get<Pod>(["pod", "user"])).spec?.nodeName).toBe(spec?.nodeName);
    const more = JSON.stringify({ spec: { resources: { requests: { storage: "3Gi" } } } });
    await k.ok(["patch", "pvc", "data", "-p", more]);
    await eventually(
      () => claimNamed("data"),
      ({ status }) => status?.capacity?.["storage"] === "3Gi",
    );
    expect((await volumeNamed(name)).spec?.capacity).toEqual({ storage: "3Gi" });
    const less = JSON.stringify({ spec: { resources: { requests: { storage: "1Gi" } } } });
    expect((await k.kubectl(["patch", "pvc", "data", "-p", less])).stderr).toContain(
      "field can not be less than status.capacity",
    );
  });

  test("stays while its pod lives, and takes its volume along", async () => {
    await k.ok(["delete", "pvc", "data", "--wait=false"]);
    expect(await k.ok(["get", "pvc", "data", "--no-headers"])).toMatch(/^data\s+Terminating\s/);
    await k.ok(["delete", "pod", "user"]);
    await isGone("pvc", "data");
    await isGone("pv", name);
  });
});

describe("volumes of an administrator", () => {
  test("are bound by size and class, kept by policy, and free again by hand", async () => {
    await apply(
      volume("large", { capacity: { storage: "9Gi" }, storageClassName: "manual" }),
      volume("fits", { storageClassName: "manual" }),
    );
    await eventually(
      () => volumeNamed("fits"),
      ({ status }) => status?.phase === "Available",
    );
    await apply(claim("chosen", { storageClassName: "manual", resources: { requests: { storage: "2Gi" } } }));
    await k.ok(["wait", "--for=jsonpath={.status.phase}=Bound", "pvc/chosen", "--timeout=60s"]);
    expect(await k.ok(["get", "pvc", "chosen", "--no-headers"])).toMatch(
      /^chosen\s+Bound\s+fits\s+5Gi\s+RWO\s+manual\s/,
    );
    await k.ok(["delete", "pv", "fits", "--wait=false"]);
    expect(await k.ok(["get", "pv", "fits", "--no-headers"])).toMatch(/\sRetain\s+Terminating\s+default\/chosen\s/);
    await k.ok(["delete", "pvc", "chosen"]);
    await isGone("pv", "fits");
    await apply(claim("again", { storageClassName: "manual", volumeName: "large" }));
    await k.ok(["wait", "--for=jsonpath={.status.phase}=Bound", "pvc/again", "--timeout=60s"]);
    await k.ok(["delete", "pvc", "again"]);
    await k.ok(["wait", "--for=jsonpath={.status.phase}=Released", "pv/large", "--timeout=60s"]);
    await k.ok([
      "patch",
      "pv",
      "large",
      "--type=json",
      "-p",
      JSON.stringify([{ op: "remove", path: "/spec/claimRef" }]),
    ]);
    await k.ok(["wait", "--for=jsonpath={.status.phase}=Available", "pv/large", "--timeout=60s"]);
    await k.ok(["delete", "pv", "large"]);
  });

  test("that are on no node of the pod's say so, and a claim without any says so too", async () => {
    const far = { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: ["elsewhere"] }] };
    await apply(
      volume("far", { storageClassName: "far", nodeAffinity: { required: { nodeSelectorTerms: [far] } } }),
      claim("far", { storageClassName: "far" }),
      claim("none", { storageClassName: "" }),
      pod("far", "far"),
      pod("none", "none"),
      pod("gone", "not-there"),
    );
    const message = (name: string, text: string): Promise<Pod> =>
      eventually(
        () => k.get<Pod>(["pod", name]),
        ({ status }) => status?.conditions?.some((one) => one.message?.includes(text)) === true,
      );
    await message("far", "0/3 nodes are available: 3 node(s) didn't match PersistentVolume's node affinity.");
    await message("none", "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
    await message("gone", '0/3 nodes are available: persistentvolumeclaim "not-there" not found.');
    await told(
      "none",
      /Normal\s+FailedBinding\s.*no persistent volumes available for this claim and no storage class is set/,
    );
    await apply(volume("late", { storageClassName: "" }));
    await k.ok(["wait", "--for=condition=Ready", "pod/none", "--timeout=60s"]);
    await k.ok(["delete", "pod", "far", "none", "gone"]);
    await k.ok(["delete", "pvc", "far", "none"]);
    await k.ok(["delete", "pv", "far", "late"]);
  });
});

test("a claim for one pod is for one pod at a time", async () => {
  await apply(claim("alone", { accessModes: ["ReadWriteOncePod"] }), pod("first", "alone"));
  await k.ok(["wait", "--for=condition=Ready", "pod/first", "--timeout=60s"]);
  await apply(pod("second", "alone"));
  const text =
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";
  await eventually(
    () => k.get<Pod>(["pod", "second"]),
    ({ status }) => status?.conditions?.some(({ message }) => message?.includes(text)) === true,
  );
  await k.ok(["delete", "pod", "first"]);
  await k.ok(["wait", "--for=condition=Ready", "pod/second", "--timeout=60s"]);
  await k.ok(["delete", "pod/second", "pvc/alone"]);
});

test("an ephemeral volume comes and goes with its pod", async () => {
  const { metadata: _name, ...template } = claim("x");
  const volumes = [
    {
      name: "data",
      ephemeral: { volumeClaimTemplate: { metadata: { labels: { of: "scratch" } }, spec: template.spec } },
    },
  ];
  await apply(pod("brief", "", { volumes }));
  await k.ok(["wait", "--for=condition=Ready", "pod/brief", "--timeout=60s"]);
  const made = await claimNamed("brief-data");
  expect(made.metadata).toMatchObject({ labels: { of: "scratch" }, ownerReferences: [{ kind: "Pod", name: "brief" }] });
  await k.ok(["delete", "pod", "brief"]);
  await isGone("pvc", "brief-data");
  await isGone("pv", made.spec?.volumeName ?? "");
});

test("a StatefulSet's pods find their own volumes again, and its claims stay or go as it says", async () => {
  const set = (replicas: number): object => ({
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "db" },
    spec: {
      replicas,
      serviceName: "db",
      selector: { matchLabels: { app: "db" } },
      persistentVolumeClaimRetentionPolicy: { whenScaled: "Retain", whenDeleted: "Delete" },
      template: {
        metadata: { labels: { app: "db" } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            { name: "main", image: "example.test/db:v1", volumeMounts: [{ name: "data", mountPath: "/data" }] },
          ],
        },
      },
      volumeClaimTemplates: [{ metadata: { name: "data" }, spec: claim("x").spec }],
    },
  });
  const ready = (replicas: number): Promise<StatefulSet> =>
    eventually(
      () => k.get<StatefulSet>(["sts", "db"]),
      ({ status }) => (status?.readyReplicas ?? 0) === replicas && status?.replicas === replicas,
    );
  const places = async (): Promise<Record<string, unknown>> => {
    const { items } = await k.get<{ items: Pod[] }>(["pods", "-l", "app=db"]);
    return Object.fromEntries(items.map(({ metadata, spec }) => [metadata?.name, spec?.nodeName]));
  };
  const held = async (): Promise<Record<string, string | undefined>> => {
    const { items } = await k.get<{ items: PersistentVolumeClaim[] }>(["pvc", "-l", "app=db"]);
    return Object.fromEntries(items.map(({ metadata, spec }) => [metadata?.name, spec?.volumeName]));
  };
  await apply(set(3));
  await ready(3);
  const [before, volumes] = [await places(), await held()];
  expect(Object.keys(volumes)).toEqual(["data-db-0", "data-db-1", "data-db-2"]);
  expect(new Set(Object.values(volumes)).size).toBe(3);
  await replacePods(k, ["-l", "app=db"]);
  await ready(3);
  expect(await places()).toEqual(before);
  expect(await held()).toEqual(volumes);
  await k.ok(["scale", "sts/db", "--replicas=1"]);
  await ready(1);
  expect(await held()).toEqual(volumes);
  await k.ok(["scale", "sts/db", "--replicas=3"]);
  await ready(3);
  expect(await places()).toEqual(before);
  await k.ok(["delete", "sts", "db"]);
  for (const name of Object.keys(volumes)) await isGone("pvc", name);
  for (const name of Object.values(volumes)) await isGone("pv", name ?? "");
});

test("a volume of a CSI driver is attached while its node has it in use", async () => {
  const driver = { apiVersion: "storage.k8s.io/v1", kind: "CSIDriver", metadata: { name: "d.example" }, spec: {} };
  const csi = { driver: "d.example", volumeHandle: "h-1" };
  await apply(
    driver,
    volume("outside", { hostPath: undefined, csi, persistentVolumeReclaimPolicy: "Retain" }),
    claim("outside", { storageClassName: "", volumeName: "outside" }),
  );
  await apply(pod("user", "outside"));
  const { items } = await eventually(
    () => k.get<{ items: VolumeAttachment[] }>(["volumeattachments"]),
    (found) => found.items.length === 1,
  );
  const attachment = items[0]?.metadata?.name ?? "";
  // As the driver's attacher does.
  const attached = '{"status":{"attached":true}}';
  await k.ok(["patch", "volumeattachment", attachment, "--subresource=status", "--type=merge", "-p", attached]);
  await k.ok(["wait", "--for=condition=Ready", "pod/user", "--timeout=60s"]);
  const { spec } = await k.get<Pod>(["pod", "user"]);
  const unique = "kubernetes.io/csi/d.example^h-1";
  const nodeHas = async (): Promise<unknown[]> => {
    const { status } = await k.get<Node>(["node", spec?.nodeName ?? ""]);
    return [status?.volumesInUse, status?.volumesAttached];
  };
  await eventually(nodeHas, ([, told]) => told !== undefined);
  expect(await nodeHas()).toEqual([[unique], [{ name: unique, devicePath: "" }]]);
  await k.ok(["delete", "pod", "user"]);
  await isGone("volumeattachment", attachment);
  await eventually(nodeHas, ([inUse, told]) => inUse === undefined && told === undefined);
});
