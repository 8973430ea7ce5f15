// Scores of resources, images and spreading, with the arguments that plugins take.
import type { Node, Pod } from "@coxswain/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CycleState, Plugin } from "../src/framework/contract.ts";
import { Verdicts } from "../src/framework/verdicts.ts";
import { imageLocality, normalizedImageName } from "../src/plugins/image-locality.ts";
import { createNodeAffinity } from "../src/plugins/node-affinity.ts";
import { createBalancedAllocation } from "../src/plugins/node-resources-balanced-allocation.ts";
import { createNodeResourcesFit, nodeResourcesFit } from "../src/plugins/node-resources-fit.ts";
import { createPodTopologySpread, podTopologySpread } from "../src/plugins/pod-topology-spread.ts";
import { makePodInfo } from "../src/pod-info.ts";
import { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";
import { decide, node, pod, profileWith, snapshotOf, type PodShape } from "./fixtures.ts";

function scores(plugin: Plugin, snapshot: ClusterSnapshot, wanted: Pod): number[] | "skip" | number {
  const cycle: CycleState = { info: makePodInfo(wanted), snapshot, state: new Map() };
  const rows = Int32Array.from(snapshot.names.keys());
  const early = plugin.preScore?.(cycle, rows, rows.length);
  if (early !== undefined) return early;
  const out = new Float64Array(rows.length);
  plugin.score!(cycle, rows, rows.length, out);
  plugin.normalizeScore?.(cycle, rows, rows.length, out);
  return [...out];
}

const gpu = "example.com/gpu";
const asks = (requests: Record<string, string>, shape: PodShape = {}): PodShape => ({ ...shape, requests });

describe("NodeResourcesFit", () => {
  const nodes = [node("a", {}, { cpu: "4", memory: "4Gi" }), node("b", {}, { cpu: "8", memory: "8Gi" })];
  const wanted = pod("p", asks({ cpu: "2", memory: "2Gi" }));
  const shape = [
    { utilization: 0, score: 10 },
    { utilization: 100, score: 0 },
  ];
  test.each<[string, Parameters<typeof createNodeResourcesFit>[0], number[]]>([
    ["LeastAllocated", {}, [50, 75]],
    ["MostAllocated", { scoringStrategy: { type: "MostAllocated" } }, [50, 25]],
    [
      "RequestedToCapacityRatio",
      { scoringStrategy: { type: "RequestedToCapacityRatio", requestedToCapacityRatio: { shape } } },
      [50, 75],
    ],
    [
      "weights of resources",
      { scoringStrategy: { type: "MostAllocated", resources: [{ name: "cpu", weight: 3 }] } },
      [50, 25],
    ],
  ])("%s", (_name, args, expected) => {
    expect(scores(createNodeResourcesFit(args), snapshotOf(nodes), wanted)).toEqual(expected);
  });

  test("a pod that asks for none of an extended resource is not judged by it", () => {
    const resources = [
      { name: "cpu", weight: 1 },
      { name: gpu, weight: 10 },
    ];
    const plugin = createNodeResourcesFit({ scoringStrategy: { type: "MostAllocated", resources } });
    const snapshot = snapshotOf([node("a", {}, { cpu: "4", [gpu]: "2" })]);
    expect(scores(plugin, snapshot, wanted)).toEqual([50]);
    expect(scores(plugin, snapshot, pod("p", asks({ cpu: "2", [gpu]: "2" })))).toEqual([95]);
  });

  test("ignored extended resources are left to others", () => {
    const ignoring = (args: Parameters<typeof createNodeResourcesFit>[0]): string =>
      decide([node("a")], pod("p", asks({ [gpu]: "1" })), [], profileWith(createNodeResourcesFit(args)));
    expect(ignoring({})).toContain(`1 Insufficient ${gpu}`);
    expect(ignoring({ ignoredResources: [gpu] })).toBe("-> a");
    expect(ignoring({ ignoredResourceGroups: ["example.com"] })).toBe("-> a");
    expect(ignoring({ ignoredResourceGroups: ["example"] })).toContain("Insufficient");
  });

  test("what makes no sense is refused by its path", () => {
    const strategy = (shapes: { utilization: number; score: number }[]) => () =>
      createNodeResourcesFit({
        scoringStrategy: { type: "RequestedToCapacityRatio", requestedToCapacityRatio: { shape: shapes } },
      });
    expect(strategy([])).toThrow("scoringStrategy.requestedToCapacityRatio.shape: Required value");
    expect(strategy([{ utilization: 0, score: 11 }])).toThrow("shape[0].score: Invalid value: 11");
    expect(strategy([shape[1]!, shape[0]!])).toThrow("shape[1].utilization: Invalid value: 0");
    expect(() =>
      createNodeResourcesFit({ scoringStrategy: { type: "MostAllocated", resources: [{ name: "cpu", weight: 0 }] } }),
    ).toThrow("scoringStrategy.resources[0].weight: Invalid value: 0");
  });

  test("more resources than bits, each told by its name", () => {
    const names = Array.from({ length: 40 }, (_, at) => `example.com/r${String(at).padStart(2, "0")}`);
    const all = (amount: string): Record<string, string> => Object.fromEntries(names.map((name) => [name, amount]));
    const one = node("a", {}, { ...all("1"), [names[37]!]: "0" });
    expect(decide([one], pod("p", asks(all("1"))))).toMatch(
      /^0\/1 nodes are available: 1 Insufficient example.com\/r37\. /,
    );
    expect(decide([node("a", {}, all("1"))], pod("p", asks(all("1"))))).toBe("-> a");
  });

  test("property: what is kept of a shape of pods equals what is computed anew", () => {
    const step = fc.record({
      do: fc.constantFrom("pod", "pod", "pod", "drop", "node", "drop-node"),
      at: fc.integer({ min: 0, max: 70 }),
      cpu: fc.integer({ min: 1, max: 30 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
        const snapshot = new ClusterSnapshot();
        const info = makePodInfo(pod("p", asks({ cpu: "1", memory: "1Gi" })));
        const balanced = createBalancedAllocation();
        const kept = createNodeResourcesFit();
        for (const { do: what, at, cpu } of steps) {
          if (what === "node") snapshot.upsertNode(node(`n${at % 20}`, {}, { cpu: `${cpu}` }));
          else if (what === "drop-node") snapshot.removeNode(`n${at % 20}`);
          else if (what === "drop") snapshot.removePod(`default/p${at}`);
          else snapshot.upsertPod(pod(`p${at}`, asks({ cpu: `${cpu * 100}m` }, { on: `n${cpu % 20}` })));
          for (const [one, fresh] of [
            [kept, createNodeResourcesFit()],
            [balanced, createBalancedAllocation()],
          ] as const) {
            expect(scores(one, snapshot, info.pod)).toEqual(scores(fresh, snapshot, info.pod));
            if (one.filter !== undefined)
              expect(verdicts(one, snapshot, info.pod)).toEqual(verdicts(fresh, snapshot, info.pod));
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test("a node's update helps only where there is more of what the pod asks for", () => {
    const registration = nodeResourcesFit.events!(new ClusterSnapshot()).find((one) => one.resource === "Node")!;
    const update = (from: Record<string, string>, to: Record<string, string>): boolean =>
      registration.hint!(makePodInfo(pod("p", asks({ cpu: "1" }))), {
        resource: "Node",
        actions: new Set(["UpdateNodeAllocatable"]),
        oldNode: node("a", {}, from),
        node: node("a", {}, to),
      });
    expect(update({ cpu: "1" }, { cpu: "2" })).toBe(true);
    expect(update({ cpu: "3" }, { cpu: "2" })).toBe(false);
    expect(update({ memory: "1Gi" }, { memory: "2Gi" })).toBe(false);
    expect(update({ pods: "1" }, { pods: "2" })).toBe(true);
  });
});

function verdicts(plugin: Plugin, snapshot: ClusterSnapshot, wanted: Pod): string[] {
  const cycle: CycleState = { info: makePodInfo(wanted), snapshot, state: new Map() };
  const column = new Verdicts([plugin.name]);
  column.reset(snapshot.size);
  if (plugin.preFilter!(cycle).kind !== "skip") plugin.filter!(cycle, column, 0, snapshot.size);
  return snapshot.names.map((_, row) => column.rejectionOf(row)?.reasons.join() ?? "");
}

test("NodeResourcesBalancedAllocation: two resources, three, and pods that ask for nothing", () => {
  const snapshot = snapshotOf([node("a", {}, { cpu: "4", memory: "8Gi", [gpu]: "4" })]);
  const wanted = pod("p", asks({ cpu: "2", memory: "2Gi", [gpu]: "3" }));
  expect(scores(createBalancedAllocation(), snapshot, wanted)).toEqual([87]);
  const resources = ["cpu", "memory", gpu].map((name) => ({ name, weight: 1 }));
  expect(scores(createBalancedAllocation({ resources }), snapshot, wanted)).toEqual([79]);
  expect(scores(createBalancedAllocation(), snapshot, pod("p"))).toBe("skip");
});

describe("ImageLocality", () => {
  const MB = 1024 * 1024;
  const having = (name: string, images: Record<string, number>): Node => {
    const one = node(name);
    one.status!.images = Object.entries(images).map(([image, megabytes]) => ({
      names: [image],
      sizeBytes: megabytes * MB,
    }));
    return one;
  };
  const running = (...images: string[]): Pod =>
    pod("p", { containers: images.map((image, at) => ({ name: `c${at}`, image })) });

  test.each<[string, Node[], Pod, number[] | number]>([
    ["no node has it", [having("a", {}), having("b", {})], running("web:1"), 0],
    ["the larger the better", [having("a", { "web:1": 1000 }), having("b", {})], running("web:1"), [48, 0]],
    ["too small to matter", [having("a", { "web:1": 20 }), having("b", {})], running("web:1"), [0, 0]],
    ["latest is meant", [having("a", { "r/web:latest": 4000 }), having("b", {})], running("r/web"), [100, 0]],
    [
      "more containers, higher bar",
      [having("a", { "web:1": 1000, "db:1": 2000 }), having("b", { "db:1": 2000 })],
      running("web:1", "db:1"),
      [100, 100 * ((2000 - 23) / (2000 - 23))],
    ],
  ])("%s", (_name, nodes, wanted, expected) => {
    expect(scores(imageLocality, snapshotOf(nodes), wanted)).toEqual(expected);
  });

  test("images of volumes count for nothing", () => {
    const wanted = pod("p", {
      containers: [{ name: "c", image: "web:1" }],
      volumes: [{ name: "v", image: { reference: "data:1" } }],
    });
    expect(scores(imageLocality, snapshotOf([having("a", { "data:1": 4000 }), having("b", {})]), wanted)).toBe(0);
  });

  test("follows what nodes pull and drop", () => {
    const snapshot = snapshotOf([having("a", { "web:1": 4000 }), having("b", {})]);
    snapshot.upsertNode(having("b", { "web:1": 4000 }));
    snapshot.upsertNode(having("a", {}));
    expect(scores(imageLocality, snapshot, running("web:1"))).toEqual([0, 100]);
    snapshot.removeNode("b");
    expect(scores(imageLocality, snapshot, running("web:1"))).toBe(0);
  });

  test("names", () => {
    expect(["a", "r:5000/a", "a@sha256:00", "a:1"].map(normalizedImageName)).toEqual([
      "a:latest",
      "r:5000/a:latest",
      "a@sha256:00",
      "a:1",
    ]);
  });
});

describe("NodeAffinity", () => {
  test("added affinity holds for all pods, and says so", () => {
    const addedAffinity = {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: "pool", operator: "In", values: ["x"] }] }],
      },
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 5, preference: { matchExpressions: [{ key: "disk", operator: "Exists" }] } },
      ],
    };
    const profile = profileWith(createNodeAffinity({ addedAffinity }));
    const nodes = [node("a"), node("b", { pool: "x" }), node("c", { pool: "x", disk: "ssd" })];
    expect(decide(nodes, pod("p"), [], profile)).toBe("-> c");
    expect(decide([node("a")], pod("p"), [], profile)).toContain(
      "1 node(s) didn't match scheduler-enforced node affinity.",
    );
    expect(decide([node("b", { pool: "x" })], pod("p", { nodeSelector: { disk: "ssd" } }), [], profile)).toContain(
      "1 node(s) didn't match Pod's node affinity/selector.",
    );
  });
});

describe("PodTopologySpread", () => {
  const zone = "topology.kubernetes.io/zone";
  const zoned = [node("a", { [zone]: "1" }), node("b", { [zone]: "2" })];
  const owned = (name: string, on?: string): Pod => {
    const made = pod(name, { labels: { app: "web" }, ...(on === undefined ? {} : { on }) });
    made.metadata!.ownerReferences = [
      { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "u", controller: true },
    ];
    return made;
  };

  test("pods without constraints spread by the defaults, over what owns or serves them", () => {
    const snapshot = snapshotOf(zoned, [owned("x", "a")]);
    expect(scores(podTopologySpread, snapshot, owned("p"))).toBe("skip");
    snapshot.workloads.setOwner("ReplicaSet", "default/web", { matchLabels: { app: "web" } });
    expect(scores(podTopologySpread, snapshot, owned("p"))).toEqual([66, 100]);
    snapshot.workloads.setOwner("ReplicaSet", "default/web", undefined);
    snapshot.workloads.setService("default", "web", { app: "web" });
    expect(scores(podTopologySpread, snapshot, owned("p"))).toEqual([66, 100]);
    expect(scores(podTopologySpread, snapshot, pod("p", { labels: { app: "db" } }))).toBe("skip");
  });

  test("system defaults count nodes without zones; a list of defaults can be hard", () => {
    const snapshot = snapshotOf([node("a"), node("b")], [owned("x", "a")]);
    snapshot.workloads.setOwner("ReplicaSet", "default/web", { matchLabels: { app: "web" } });
    expect(scores(podTopologySpread, snapshot, owned("p"))).toEqual([66, 100]);
    const listed = createPodTopologySpread({
      defaultingType: "List",
      defaultConstraints: [{ topologyKey: zone, maxSkew: 1, whenUnsatisfiable: "DoNotSchedule" }],
    });
    const there = snapshotOf(zoned, [owned("x", "a")]);
    there.workloads.setOwner("ReplicaSet", "default/web", { matchLabels: { app: "web" } });
    expect(verdicts(listed, there, owned("p"))).toEqual(["node(s) didn't match pod topology spread constraints", ""]);
    expect(() =>
      createPodTopologySpread({
        defaultConstraints: [{ topologyKey: zone, maxSkew: 1, whenUnsatisfiable: "ScheduleAnyway" }],
      }),
    ).toThrow("defaultingType: Invalid value");
  });

  test("inclusion policies decide which nodes count", () => {
    const constraint = {
      topologyKey: zone,
      maxSkew: 1,
      whenUnsatisfiable: "DoNotSchedule",
      labelSelector: { matchLabels: { app: "web" } },
    };
    const tainted = { ...node("b", { [zone]: "2" }), spec: { taints: [{ key: "k", effect: "NoSchedule" }] } };
    const there = [pod("x", { labels: { app: "web" }, on: "a" })];
    const wanted = (more: object): Pod =>
      pod("p", { labels: { app: "web" }, topologySpreadConstraints: [{ ...constraint, ...more }] });
    // The empty zone behind the taint counts, and so zone 1 is too full already.
    expect(decide([zoned[0]!, tainted], wanted({}), there)).toContain("1 node(s) didn't match pod topology spread");
    expect(decide([zoned[0]!, tainted], wanted({ nodeTaintsPolicy: "Honor" }), there)).toBe("-> a");
    const selecting = (more: object): Pod => {
      const one = wanted(more);
      one.spec!.nodeSelector = { "kubernetes.io/hostname": "a" };
      return one;
    };
    expect(decide(zoned, selecting({}), there)).toBe("-> a");
    expect(decide(zoned, selecting({ nodeAffinityPolicy: "Ignore" }), there)).toContain("topology spread");
  });

  test("matchLabelKeys count only pods of the same revision", () => {
    const labels = (revision: string) => ({ app: "web", revision });
    const constraint = {
      topologyKey: zone,
      maxSkew: 1,
      whenUnsatisfiable: "DoNotSchedule",
      labelSelector: { matchLabels: { app: "web" } },
      matchLabelKeys: ["revision"],
    };
    const there = [pod("x", { labels: labels("1"), on: "a" }), pod("y", { labels: labels("2"), on: "b" })];
    expect(decide(zoned, pod("p", { labels: labels("2"), topologySpreadConstraints: [constraint] }), there)).toBe(
      "-> a",
    );
    expect(decide(zoned, pod("p", { labels: labels("1"), topologySpreadConstraints: [constraint] }), there)).toBe(
      "-> b",
    );
  });
});
