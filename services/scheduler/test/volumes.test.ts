// Volumes and placement: where bound volumes let a pod be, what is bound or made for claims that waited, and who may share.
import {
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  PODS,
  STORAGE_CLASSES,
  type CSINode,
  type CSIStorageCapacity,
  type Event,
  EVENTS,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type StorageClass,
} from "@coxswain/api";
import { isReachableFrom, isReservedFor } from "@coxswain/api/core-v1/persistent-volume/binding";
import type { ResourceRef } from "@coxswain/apimachinery";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { VirtualEnv } from "@coxswain/env";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { makeProfiles } from "../src/config/make-profiles.ts";
import { parseSchedulerConfiguration } from "../src/config/scheduler-configuration.ts";
import { planNodeVolumes } from "../src/plugins/plan-volumes.ts";
import { podClaims } from "../src/plugins/pod-claims.ts";
import { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";
import { node, planOn, pod } from "./fixtures.ts";
import { answerOf, schedulerOn } from "./whole-scheduler.ts";

const LAZY: StorageClass = {
  metadata: { name: "lazy" },
  provisioner: "example.test/p",
  volumeBindingMode: "WaitForFirstConsumer",
};
const STATIC: StorageClass = { ...LAZY, metadata: { name: "static" }, provisioner: "kubernetes.io/no-provisioner" };
const EAGER: StorageClass = { ...LAZY, metadata: { name: "eager" }, volumeBindingMode: "Immediate" };
const ZONED: StorageClass = {
  ...LAZY,
  metadata: { name: "zoned" },
  allowedTopologies: [{ matchLabelExpressions: [{ key: "zone", values: ["1"] }] }],
};

interface ClaimShape {
  readonly of?: string;
  readonly volume?: string;
  readonly size?: string;
  readonly modes?: string[];
  readonly selected?: string;
  readonly phase?: string;
  readonly deleted?: boolean;
}

function claim(name: string, shape: ClaimShape = {}): PersistentVolumeClaim {
  const { of = "lazy", volume, size = "1Gi", modes = ["ReadWriteOnce"], selected, phase = "Pending", deleted } = shape;
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name,
      namespace: "default",
      uid: `uid-${name}`,
      ...(deleted === true ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
      annotations: {
        ...(volume === undefined ? {} : { "pv.kubernetes.io/bind-completed": "yes" }),
        ...(selected === undefined ? {} : { "volume.kubernetes.io/selected-node": selected }),
      },
    },
    spec: {
      storageClassName: of,
      accessModes: modes,
      resources: { requests: { storage: size } },
      ...(volume === undefined ? {} : { volumeName: volume }),
    },
    status: { phase },
  };
}

interface VolumeShape {
  readonly of?: string;
  readonly on?: string;
  readonly size?: string;
  readonly labels?: Record<string, string>;
  readonly phase?: string;
  readonly csi?: string;
}

function volume(
  name: string,
  { of = "static", on, size = "1Gi", labels = {}, phase = "Available", csi }: VolumeShape = {},
): PersistentVolume {
  const affinity = [{ matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [on ?? ""] }] }];
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name, labels },
    spec: {
      storageClassName: of,
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: size },
      ...(csi === undefined ? { hostPath: { path: "/srv" } } : { csi: { driver: csi, volumeHandle: name } }),
      ...(on === undefined ? {} : { nodeAffinity: { required: { nodeSelectorTerms: affinity } } }),
    },
    status: { phase },
  };
}

const uses = (...claims: string[]) => ({
  volumes: claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })),
});

interface Storage {
  readonly claims?: readonly PersistentVolumeClaim[];
  readonly volumes?: readonly PersistentVolume[];
  readonly placed?: readonly Pod[];
  readonly more?: (snapshot: ClusterSnapshot) => void;
}

function snapshotWith(
  nodes: readonly Node[],
  { claims = [], volumes = [], placed = [], more }: Storage,
): ClusterSnapshot {
  const snapshot = new ClusterSnapshot();
  for (const one of nodes) snapshot.upsertNode(one);
  for (const one of [LAZY, STATIC, EAGER, ZONED]) snapshot.volumes.classes.set(one.metadata!.name!, one);
  for (const one of claims) snapshot.volumes.setClaim(`default/${one.metadata!.name}`, one);
  for (const one of volumes) snapshot.volumes.setVolume(one.metadata!.name!, one);
  for (const one of placed) snapshot.upsertPod(one);
  more?.(snapshot);
  return snapshot;
}

const NODES_AB = [node("a", { zone: "1" }), node("b", { zone: "2" })];

/** "-> node", or the reasons. */
function decide(wanted: Pod, storage: Storage, nodes: readonly Node[] = NODES_AB): string {
  const plan = planOn(snapshotWith(nodes, storage), wanted);
  if (plan.kind === "node") return `-> ${plan.node}`;
  return plan.message.replace(/^0\/\d+ nodes are available: /, "").replace(/\. .*$/, ".");
}

describe("where a pod's claims let it be", () => {
  const affinity = "node(s) didn't match PersistentVolume's node affinity";
  const none = "node(s) didn't find available persistent volumes to bind";
  test.each<[string, Pod, Storage, string]>([
    ["no such claim", pod("p", uses("c")), {}, 'persistentvolumeclaim "c" not found.'],
    [
      "a claim that is going",
      pod("p", uses("c")),
      { claims: [claim("c", { deleted: true })] },
      'persistentvolumeclaim "c" is being deleted.',
    ],
    [
      "a claim that was lost",
      pod("p", uses("c")),
      { claims: [claim("c", { volume: "v", phase: "Lost" })] },
      'persistentvolumeclaim "c" bound to non-existent persistentvolume "v".',
    ],
    [
      "unbound, and nobody waits for the pod",
      pod("p", uses("c")),
      { claims: [claim("c", { of: "eager" })] },
      "pod has unbound immediate PersistentVolumeClaims.",
    ],
    [
      "bound, on one node",
      pod("p", uses("c")),
      { claims: [claim("c", { volume: "v" })], volumes: [volume("v", { on: "b" })] },
      "-> b",
    ],
    [
      "bound, on no node that there is",
      pod("p", uses("c")),
      { claims: [claim("c", { volume: "v" })], volumes: [volume("v", { on: "x" })] },
      `2 ${affinity}.`,
    ],
    [
      "two claims on two nodes",
      pod("p", uses("c", "d")),
      {
        claims: [claim("c", { volume: "v" }), claim("d", { volume: "w" })],
        volumes: [volume("v", { on: "a" }), volume("w", { on: "b" })],
      },
      `2 ${affinity}.`,
    ],
    [
      "bound to a volume that is gone",
      pod("p", uses("c")),
      { claims: [claim("c", { volume: "v" })] },
      "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).",
    ],
    [
      "waits, and one node has a volume",
      pod("p", uses("c")),
      { claims: [claim("c", { of: "static" })], volumes: [volume("v", { on: "b" })] },
      "-> b",
    ],
    ["waits, and no node has a volume", pod("p", uses("c")), { claims: [claim("c", { of: "static" })] }, `2 ${none}.`],
    [
      "waits, and the volume is too small",
      pod("p", uses("c")),
      { claims: [claim("c", { of: "static", size: "2Gi" })], volumes: [volume("v", { on: "b" })] },
      `2 ${none}.`,
    ],
    [
      "two claims, one volume a node",
      pod("p", uses("c", "d")),
      {
        claims: [claim("c", { of: "static" }), claim("d", { of: "static" })],
        volumes: [volume("v", { on: "a" }), volume("w", { on: "b" })],
      },
      `2 ${none}.`,
    ],
    [
      "the small claim leaves the large volume to the large one",
      pod("p", uses("c", "d")),
      {
        claims: [claim("c", { of: "static", size: "5Gi" }), claim("d", { of: "static" })],
        volumes: [volume("v", { on: "a", size: "5Gi" }), volume("w", { on: "a" })],
      },
      "-> a",
    ],
    ["a node was selected by another pod", pod("p", uses("c")), { claims: [claim("c", { selected: "b" })] }, "-> b"],
    ["made where the class allows it", pod("p", uses("c")), { claims: [claim("c", { of: "zoned" })] }, "-> a"],
    [
      "an ephemeral volume whose claim is not made yet",
      pod("p", { volumes: [{ name: "t", ephemeral: {} }] }),
      {},
      'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-t".',
    ],
    [
      "an ephemeral volume whose claim is another's",
      pod("p", { volumes: [{ name: "t", ephemeral: {} }] }),
      { claims: [claim("p-t")] },
      "PVC default/p-t was not created for pod default/p (pod is not owner).",
    ],
    [
      "a volume of one zone",
      pod("p", uses("c")),
      {
        claims: [claim("c", { volume: "v" })],
        volumes: [volume("v", { labels: { "topology.kubernetes.io/zone": "9" } })],
        more: (snapshot) => snapshot.upsertNode(node("b", { "topology.kubernetes.io/zone": "9" })),
        placed: [],
      },
      "-> b",
    ],
  ])("%s", (_name, wanted, storage, expected) => {
    const nodes = _name === "a volume of one zone" ? [node("a", { "topology.kubernetes.io/zone": "8" })] : NODES_AB;
    expect(decide(wanted, storage, nodes)).toBe(expected);
  });

  test("a volume of several zones, and a node of none", () => {
    const claims = [claim("c", { volume: "v" })];
    const labels = { "failure-domain.beta.kubernetes.io/zone": "8__9" };
    const at = (zone: string) => [node("a", { "topology.kubernetes.io/zone": zone })];
    expect(decide(pod("p", uses("c")), { claims, volumes: [volume("v", { labels })] }, at("9"))).toBe("-> a");
    expect(decide(pod("p", uses("c")), { claims, volumes: [volume("v", { labels })] }, at("7"))).toBe(
      "1 node(s) had no available volume zone.",
    );
    expect(decide(pod("p", uses("c")), { claims, volumes: [volume("v", { labels })] }, [node("a")])).toBe("-> a");
  });

  test("room that a driver tells of", () => {
    const capacity = (name: string, zone: string, size: string): CSIStorageCapacity => ({
      metadata: { name, namespace: "default" },
      storageClassName: "lazy",
      nodeTopology: { matchLabels: { zone } },
      capacity: size,
    });
    const more = (snapshot: ClusterSnapshot): void => {
      snapshot.volumes.drivers.set("example.test/p", {
        metadata: { name: "example.test/p" },
        spec: { storageCapacity: true },
      });
      snapshot.volumes.capacities.set("x", capacity("x", "1", "1Gi"));
      snapshot.volumes.capacities.set("y", capacity("y", "2", "9Gi"));
    };
    expect(decide(pod("p", uses("c")), { claims: [claim("c", { size: "5Gi" })], more })).toBe("-> b");
    expect(decide(pod("p", uses("c")), { claims: [claim("c", { size: "10Gi" })], more })).toBe(
      "2 node(s) did not have enough free storage.",
    );
  });

  test("a claim for one pod is for one pod", () => {
    const claims = [claim("c", { volume: "v", modes: ["ReadWriteOncePod"] })];
    const storage = { claims, volumes: [volume("v")] };
    const taken =
      "2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod.";
    expect(decide(pod("p", uses("c")), storage)).toMatch(/^-> /);
    expect(decide(pod("p", uses("c")), { ...storage, placed: [pod("q", { on: "a", ...uses("c") })] })).toBe(taken);
  });

  test("a disk that a pod names itself is for one pod of a node, unless all only read", () => {
    const disk = (readOnly: boolean) => ({ volumes: [{ name: "d", gcePersistentDisk: { pdName: "x", readOnly } }] });
    const on = (readOnly: boolean) => [pod("q", { on: "a", ...disk(readOnly) })];
    expect(decide(pod("p", disk(false)), { placed: on(true) }, [NODES_AB[0]!])).toBe(
      "1 node(s) had no available disk.",
    );
    expect(decide(pod("p", disk(true)), { placed: on(true) }, [NODES_AB[0]!])).toBe("-> a");
  });

  test("a node attaches as many volumes of a driver as it says", () => {
    const limit: CSINode = {
      metadata: { name: "a" },
      spec: { drivers: [{ name: "d", nodeID: "a", allocatable: { count: 2 } }] },
    };
    const names = ["c1", "c2", "c3"];
    const storage = (placed: string[]) => ({
      claims: names.map((name) => claim(name, { volume: `v-${name}` })),
      volumes: names.map((name) => volume(`v-${name}`, { csi: "d" })),
      placed: placed.map((name) => pod(`on-${name}`, { on: "a", ...uses(name) })),
      more: (snapshot: ClusterSnapshot) => void snapshot.volumes.csiNodes.set("a", limit),
    });
    const full = "1 node(s) exceed max volume count.";
    const only = [NODES_AB[0]!];
    expect(decide(pod("p", uses("c1", "c2")), storage([]), only)).toBe("-> a");
    expect(decide(pod("p", uses("c3")), storage(["c1", "c2"]), only)).toBe(full);
    // One that is there already costs nothing more.
    expect(decide(pod("p", uses("c2")), storage(["c1", "c2"]), only)).toBe("-> a");
    expect(decide(pod("p", uses("c1", "c2", "c3")), storage([]), only)).toBe(full);
  });
});

test("what is planned for a node is there, is reachable, and is given once", () => {
  const size = fc.constantFrom("1Gi", "2Gi", "3Gi");
  const volumes = fc.array(fc.record({ on: fc.constantFrom("a", "b"), size, of: fc.constantFrom("static", "lazy") }), {
    maxLength: 6,
  });
  const claims = fc.array(fc.record({ size, of: fc.constantFrom("static", "lazy") }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(volumes, claims, (held, asked) => {
      const storage = {
        volumes: held.map((one, at) => volume(`v${at}`, one)),
        claims: asked.map((one, at) => claim(`c${at}`, one)),
      };
      const snapshot = snapshotWith(NODES_AB, storage);
      const wanted = pod("p", uses(...storage.claims.map((one) => one.metadata!.name!)));
      const sorted = podClaims(wanted, snapshot.volumes);
      if (typeof sorted === "string") throw new Error(sorted);
      for (const on of NODES_AB) {
        const plan = planNodeVolumes(sorted, on, snapshot.volumes);
        const names = plan.bind.map((one) => one.volume.metadata?.name);
        expect(new Set(names).size).toBe(names.length);
        for (const { claim: one, volume: found } of plan.bind) {
          expect(isReachableFrom(found, on)).toBe(true);
          expect(found.spec?.storageClassName).toBe(one.spec?.storageClassName);
        }
        for (const one of plan.provision) expect(one.spec?.storageClassName).toBe("lazy");
        if (plan.reasons.length === 0) expect(plan.bind.length + plan.provision.length).toBe(asked.length);
      }
    }),
  );
});

describe("the whole scheduler", () => {
  function setup(configuration = "") {
    const env = new VirtualEnv({ seed: 7 });
    const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
    for (const one of ["a", "b"]) cluster.seed(NODES, { apiVersion: "v1", kind: "Node", ...node(one) });
    for (const one of [LAZY, STATIC])
      cluster.seed(STORAGE_CLASSES, { apiVersion: "storage.k8s.io/v1", kind: "StorageClass", ...one });
    const kind = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
    const profiles = makeProfiles(parseSchedulerConfiguration(kind + configuration));
    const start = () => schedulerOn(env, cluster, { options: { profiles } }).run(new AbortController().signal);
    const real = cluster.client();
    const admin = {
      update: (ref: ResourceRef, one: PersistentVolumeClaim) => answerOf(env, real.update(ref, one)),
      delete: (ref: ResourceRef, target: { name: string }) => answerOf(env, real.delete(ref, target)),
    };
    const until = (done: () => boolean, ms = 60_000) => env.runUntil(done, env.elapsedMs + ms);
    const nodeOf = (name: string) =>
      cluster.objects<Pod>(PODS).find((one) => one.metadata?.name === name)?.spec?.nodeName;
    const claimNamed = (name: string) =>
      cluster.objects<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS).find((one) => one.metadata?.name === name)!;
    const volumeNamed = (name: string) =>
      cluster.objects<PersistentVolume>(PERSISTENT_VOLUMES).find((one) => one.metadata?.name === name)!;
    const events = () => cluster.objects<Event>(EVENTS).map((one) => `${one.reason}: ${one.message}`);
    const seedPod = (name: string, spec: object) =>
      cluster.seed(PODS, { apiVersion: "v1", kind: "Pod", ...pod(name, spec) });
    /** What the binder and a provisioner do. */
    const complete = async (name: string, volumeName: string): Promise<void> => {
      const one = claimNamed(name);
      const annotations = { ...one.metadata?.annotations, "pv.kubernetes.io/bind-completed": "yes" };
      await admin.update(PERSISTENT_VOLUME_CLAIMS, {
        ...one,
        metadata: { ...one.metadata, annotations },
        spec: { ...one.spec, volumeName },
      });
    };
    return { env, cluster, admin, start, until, nodeOf, claimNamed, volumeNamed, events, seedPod, complete };
  }

  test("a pod waits for its volume to be made on the node that was chosen, and holds up nobody", async () => {
    const { cluster, start, until, nodeOf, claimNamed, seedPod, complete, events } = setup();
    cluster.seed(PERSISTENT_VOLUME_CLAIMS, claim("c"));
    seedPod("first", uses("c"));
    void start();
    const selected = () => claimNamed("c").metadata?.annotations?.["volume.kubernetes.io/selected-node"];
    expect(await until(() => selected() !== undefined)).toBe(true);
    expect(nodeOf("first")).toBeUndefined();
    for (let at = 0; at < 12; at++) {
      seedPod(`other-${at}`, {});
      expect(await until(() => nodeOf(`other-${at}`) !== undefined)).toBe(true);
    }
    // Who shares the claim goes where it will be.
    seedPod("second", uses("c"));
    await until(() => nodeOf("second") !== undefined, 5_000);
    expect(nodeOf("second")).toBeUndefined();
    cluster.seed(PERSISTENT_VOLUMES, volume("made", { of: "lazy", on: selected()!, phase: "Bound" }));
    await complete("c", "made");
    expect(await until(() => nodeOf("first") !== undefined && nodeOf("second") !== undefined)).toBe(true);
    expect([nodeOf("first"), nodeOf("second")]).toEqual([selected(), selected()]);
    expect(events().filter((one) => one.startsWith("FailedScheduling"))).toEqual([]);
  });

  test("a claim gets a volume of the node, which its author's other claim does not get too", async () => {
    const { cluster, start, until, nodeOf, claimNamed, volumeNamed, seedPod, complete, events } = setup();
    cluster.seed(PERSISTENT_VOLUMES, volume("v", { on: "b" }));
    for (const name of ["c", "d"]) cluster.seed(PERSISTENT_VOLUME_CLAIMS, claim(name, { of: "static" }));
    seedPod("one", uses("c"));
    seedPod("two", uses("d"));
    void start();
    const holder = () => volumeNamed("v").spec?.claimRef?.name;
    expect(await until(() => holder() !== undefined)).toBe(true);
    const winner = holder() === "c" ? "one" : "two";
    const loser = winner === "one" ? "two" : "one";
    expect(isReservedFor(volumeNamed("v"), claimNamed(holder()!))).toBe(true);
    expect(volumeNamed("v").metadata?.annotations).toEqual({ "pv.kubernetes.io/bound-by-controller": "yes" });
    await complete(holder()!, "v");
    expect(await until(() => nodeOf(winner) === "b")).toBe(true);
    expect(nodeOf(loser)).toBeUndefined();
    expect(events().some((one) => one.includes("2 node(s) didn't find available persistent volumes to bind"))).toBe(
      true,
    );
    cluster.seed(PERSISTENT_VOLUMES, volume("w", { on: "a" }));
    expect(await until(() => volumeNamed("w").spec?.claimRef !== undefined)).toBe(true);
    await complete(winner === "one" ? "d" : "c", "w");
    expect(await until(() => nodeOf(loser) === "a")).toBe(true);
  });

  test("where no volume can be made on the chosen node, another is chosen", async () => {
    const { cluster, admin, start, until, nodeOf, claimNamed, seedPod, events, complete } = setup();
    cluster.seed(PERSISTENT_VOLUME_CLAIMS, claim("c"));
    seedPod("p", uses("c"));
    void start();
    const selected = () => claimNamed("c").metadata?.annotations?.["volume.kubernetes.io/selected-node"];
    expect(await until(() => selected() !== undefined)).toBe(true);
    const first = selected()!;
    await admin.delete(NODES, { name: first });
    await admin.update(PERSISTENT_VOLUME_CLAIMS, {
      ...claimNamed("c"),
      metadata: { ...claimNamed("c").metadata, annotations: {} },
    });
    expect(await until(() => selected() !== undefined && selected() !== first)).toBe(true);
    expect(
      events().some((one) =>
        one.startsWith('FailedScheduling: running PreBind plugin "VolumeBinding": binding volumes: '),
      ),
    ).toBe(true);
    cluster.seed(PERSISTENT_VOLUMES, volume("made", { of: "lazy", on: selected()!, phase: "Bound" }));
    await complete("c", "made");
    expect(await until(() => nodeOf("p") === selected())).toBe(true);
  });

  test.each([
    ["after ten minutes", "", 590_000],
    [
      "after what is configured",
      "profiles: [{ pluginConfig: [{ name: VolumeBinding, args: { bindTimeoutSeconds: 30 } }] }]",
      25_000,
    ],
  ])("a volume that is never made ends the wait %s", async (_when, configuration, notBeforeMs) => {
    const { cluster, start, until, seedPod, events } = setup(configuration);
    cluster.seed(PERSISTENT_VOLUME_CLAIMS, claim("c"));
    seedPod("p", uses("c"));
    void start();
    const failed =
      'FailedScheduling: running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded';
    expect(await until(() => events().includes(failed), notBeforeMs)).toBe(false);
    expect(await until(() => events().includes(failed), 20_000)).toBe(true);
  });
});
