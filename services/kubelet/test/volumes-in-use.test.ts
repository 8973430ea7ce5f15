// A node tells which CSI volumes its pods use before they may be mounted, and until they are given back, also after a restart; and
// waits until they are attached.
import {
  CSI_DRIVERS,
  EVENTS,
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  PODS,
  VOLUME_ATTACHMENTS,
  type CSIDriver,
  type Event,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type VolumeAttachment,
} from "@coxswain/api";
import { attachmentName } from "@coxswain/api/core-v1/persistent-volume/attachable";
import { createEventRecorder, createInformerFactory } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { expect, test } from "vitest";
import { createKubelet } from "../src/app.ts";
import { createSimulatedCri } from "../src/cri/simulated/simulated-cri.ts";

const DRIVER = "d.example";
const NAMED = (volume: string): string => `kubernetes.io/csi/${DRIVER}^h-${volume}`;

function pod(name: string, claims: readonly string[], spec: Partial<NonNullable<Pod["spec"]>> = {}): Pod {
  const volumeMounts = claims.map((claim) => ({ name: claim, mountPath: `/${claim}` }));
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: {
      nodeName: "node-1",
      restartPolicy: "Always",
      terminationGracePeriodSeconds: 1,
      containers: [{ name: "c", image: "nginx", volumeMounts }],
      volumes: claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })),
      ...spec,
    },
  };
}

function setup({ attaches = true } = {}) {
  const env = new VirtualEnv({ seed: 5 });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  // Outlives the kubelet's process, as containerd does.
  const podCidr = () => cluster.objects<Node>(NODES)[0]?.spec?.podCIDR;
  const cri = createSimulatedCri({ env, node: "node-1", podCidr });
  const start = () => {
    const client = cluster.client("kubelet");
    const recorder = createEventRecorder({ env, client, component: "kubelet" });
    const informers = createInformerFactory({ env, client, logger: silentLogger });
    const stop = new AbortController();
    const deps = { env, logger: silentLogger, metrics: noMetrics, client, recorder, informers, nodes: ["node-1"] };
    const app = createKubelet({ ...deps, createCri: () => cri });
    const running = app.run(stop.signal);
    return async (): Promise<void> => {
      stop.abort();
      await env.advance(1_000);
      await running;
    };
  };
  const claim = (name: string, source: NonNullable<PersistentVolume["spec"]>): void => {
    const bound = cluster.seed<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name, namespace: "default" },
      spec: { accessModes: ["ReadWriteOnce"], volumeName: name },
      status: { phase: "Bound" },
    });
    cluster.seed<PersistentVolume>(PERSISTENT_VOLUMES, {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name },
      spec: { ...source, claimRef: { namespace: "default", name, uid: bound.metadata?.uid ?? "" } },
    });
  };
  const csi = (name: string, driver = DRIVER): void => claim(name, { csi: { driver, volumeHandle: `h-${name}` } });
  /** As the attach/detach controller tells a node what is attached to it. */
  const tell = async (names: readonly string[]): Promise<void> => {
    const volumesAttached = names.length === 0 ? null : names.map((name) => ({ name, devicePath: "" }));
    const target = { name: "node-1" };
    const type = "application/merge-patch+json";
    const patch = { status: { volumesAttached } };
    const patched = cluster.client().patch(NODES, target, type, patch, { subresource: "status" });
    if (!attaches) await env.advance(1_000);
    await patched;
  };
  /** As a driver's attacher says how far it is. */
  const attachment = async (volume: string, status: NonNullable<VolumeAttachment["status"]>): Promise<void> => {
    const name = attachmentName(DRIVER, `h-${volume}`, "node-1");
    const metadata = { name };
    if (cluster.objects(VOLUME_ATTACHMENTS).some((one) => one.metadata?.name === name)) {
      const type = "application/merge-patch+json";
      const patch = { status: { attachError: null, ...status } };
      const patched = cluster.client().patch(VOLUME_ATTACHMENTS, metadata, type, patch, { subresource: "status" });
      await env.advance(1_000);
      await patched;
      return;
    }
    cluster.seed<VolumeAttachment>(VOLUME_ATTACHMENTS, {
      apiVersion: "storage.k8s.io/v1",
      kind: "VolumeAttachment",
      metadata,
      spec: { attacher: DRIVER, nodeName: "node-1", source: { persistentVolumeName: volume } },
      status,
    });
  };
  if (attaches) {
    const informers = createInformerFactory({ env, client: cluster.client(), logger: silentLogger });
    const attach = (node: Node): void => {
      const wanted = node.status?.volumesInUse ?? [];
      const told = node.status?.volumesAttached ?? [];
      if (told.map(({ name }) => name).join() !== wanted.join()) void tell(wanted);
    };
    informers.informer<Node>(NODES).addHandler({ add: attach, update: attach });
    informers.start(new AbortController().signal);
    for (const name of ["a", "b"]) void attachment(name, { attached: true });
  }
  const events = (): string[] => cluster.objects<Event>(EVENTS).map((one) => `${one.reason}: ${one.message}`);
  const inUse = (): string[] | undefined => cluster.objects<Node>(NODES)[0]?.status?.volumesInUse;
  const get = (name: string): Pod | undefined => cluster.objects<Pod>(PODS).find((one) => one.metadata?.name === name);
  const ready = (name: string): boolean =>
    get(name)?.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") ?? false;
  const within = (ms: number, done: () => boolean): Promise<boolean> => env.runUntil(done, env.elapsedMs + ms);
  const remove = async (name: string): Promise<void> => {
    const deleted = cluster.client().delete(PODS, { namespace: "default", name });
    expect(await within(20_000, () => get(name) === undefined)).toBe(true);
    await deleted;
  };
  return { env, cluster, cri, start, claim, csi, inUse, get, ready, within, remove, tell, attachment, events };
}

test("volumes are told of while pods use them, sorted and once each, and no others", async () => {
  const { cluster, start, claim, csi, inUse, ready, within, remove } = setup();
  for (const name of ["b", "a"]) csi(name);
  csi("loose", "loose.example");
  cluster.seed<CSIDriver>(CSI_DRIVERS, {
    apiVersion: "storage.k8s.io/v1",
    kind: "CSIDriver",
    metadata: { name: "loose.example" },
    spec: { attachRequired: false },
  });
  claim("disk", { hostPath: { path: "/data" } });
  start();
  cluster.seed(PODS, pod("one", ["b", "a", "loose", "disk"]));
  cluster.seed(PODS, pod("two", ["a"]));
  expect(await within(20_000, () => ready("one") && ready("two"))).toBe(true);
  expect(inUse()).toEqual([NAMED("a"), NAMED("b")]);
  await remove("one");
  expect(await within(5_000, () => inUse()?.length === 1)).toBe(true);
  expect(inUse()).toEqual([NAMED("a")]);
  await remove("two");
  expect(await within(5_000, () => inUse() === undefined)).toBe(true);
});

test("nothing is mounted before the api-server knows of it", async () => {
  const { cluster, cri, start, csi, inUse, ready, within } = setup();
  csi("a");
  start();
  expect(await within(5_000, () => cluster.objects<Node>(NODES).length === 1)).toBe(true);
  const fault = cluster.inject({ resource: "nodes", subresource: "status" });
  cluster.seed(PODS, pod("one", ["a"]));
  await within(15_000, () => false);
  expect(inUse()).toBeUndefined();
  expect(await cri.listPodSandbox({})).toEqual([]);
  expect(fault.fired).toBeGreaterThan(0);
  fault.remove();
  expect(await within(30_000, () => ready("one"))).toBe(true);
  expect(inUse()).toEqual([NAMED("a")]);
});

test("a pod that is over has given its volumes back", async () => {
  const { cluster, start, csi, inUse, get, within } = setup();
  csi("a");
  start();
  const once = pod("once", ["a"], { restartPolicy: "Never" });
  once.metadata!.annotations = { "coxswain.dev/simulate": JSON.stringify({ c: { exitAfterMs: 3_000, exitCode: 0 } }) };
  cluster.seed(PODS, once);
  expect(await within(20_000, () => inUse()?.length === 1)).toBe(true);
  expect(await within(20_000, () => get("once")?.status?.phase === "Succeeded" && inUse() === undefined)).toBe(true);
});

test("a kubelet that starts again tells nothing else before it knows what its pods have", async () => {
  const { env, cluster, start, csi, inUse, ready, within, remove } = setup();
  csi("a");
  const stop = start();
  cluster.seed(PODS, pod("one", ["a"]));
  expect(await within(20_000, () => ready("one"))).toBe(true);
  await stop();
  // For a while nobody says what the claim stands for.
  const fault = cluster.inject({ resource: "persistentvolumeclaims" });
  start();
  await env.advance(60_000);
  expect(ready("one")).toBe(true);
  expect(inUse()).toEqual([NAMED("a")]);
  expect(fault.fired).toBeGreaterThan(0);
  fault.remove();
  await env.advance(10_000);
  expect(inUse()).toEqual([NAMED("a")]);
  await remove("one");
  expect(await within(5_000, () => inUse() === undefined)).toBe(true);
});

test("what went while the kubelet was away is told of no more", async () => {
  const { env, cluster, start, csi, inUse, ready, within } = setup();
  csi("a");
  const stop = start();
  cluster.seed(PODS, pod("one", ["a"]));
  expect(await within(20_000, () => ready("one"))).toBe(true);
  await stop();
  const gone = cluster.client().delete(PODS, { namespace: "default", name: "one" }, { gracePeriodSeconds: 0 });
  await env.advance(1_000);
  await gone;
  expect(cluster.objects(PODS)).toEqual([]);
  start();
  expect(await within(360_000, () => inUse() === undefined)).toBe(true);
});

test("a pod waits until its volumes are attached, and says after a while that it does", async () => {
  const { env, cri, cluster, start, csi, inUse, ready, within, tell, attachment, events } = setup({ attaches: false });
  for (const name of ["a", "b"]) csi(name);
  start();
  cluster.seed(PODS, pod("one", ["b", "a"]));
  expect(await within(20_000, () => inUse()?.length === 2)).toBe(true);
  await tell([NAMED("b")]);
  await env.advance(100_000);
  expect(events().filter((one) => one.startsWith("FailedMount"))).toEqual([]);
  await env.advance(30_000);
  expect(events()).toContain(
    "FailedMount: Unable to attach or mount volumes: unmounted volumes=[a], unattached volumes=[a], failed to process volumes=[]: context deadline exceeded",
  );
  // What the controller says is not all: the driver has the last word.
  await tell([NAMED("a"), NAMED("b")]);
  const [first, second] = ["a", "b"].map((name) => attachmentName(DRIVER, `h-${name}`, "node-1"));
  await attachment("b", { attached: false });
  const failed = (volume: string, why: string): string =>
    `FailedMount: MountVolume.WaitForAttach failed for volume "${volume}" : ${why}`;
  const missing = `volume h-a has GET error for volume attachment ${first}: volumeattachments.storage.k8s.io "${first}" not found`;
  expect(await within(20_000, () => events().includes(failed("a", missing)))).toBe(true);
  const waits = failed("b", `volume h-b is not attached for volume attachment ${second}`);
  expect(await within(20_000, () => events().includes(waits))).toBe(true);
  await attachment("a", { attached: false, attachError: { message: "no more slots" } });
  expect(await within(20_000, () => events().includes(failed("a", "no more slots")))).toBe(true);
  expect(await cri.listPodSandbox({})).toEqual([]);
  for (const name of ["a", "b"]) await attachment(name, { attached: true });
  expect(await within(20_000, () => ready("one"))).toBe(true);
});
