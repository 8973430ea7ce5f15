// The decisions: which pods ask, which group grows, which nodes may go, and when.
import type { Node, Pod, PodDisruptionBudget } from "@coxswain/api";
import { createSeededRandom } from "@coxswain/env";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { afterFailure, isResting } from "../src/backoff.ts";
import { planDrain } from "../src/drain-rules.ts";
import { groupState, isUnhealthy, nextSince, type GroupFacts } from "../src/group-state.ts";
import { DELETION_CANDIDATE, mark, templateOf, TO_BE_DELETED } from "../src/node-facts.ts";
import { DEFAULT_OPTIONS } from "../src/options.ts";
import { nextUnneeded, planCandidates, planRemovals, utilizationOf, type Candidate } from "../src/plan-scale-down.ts";
import { IN_BACKOFF, planScaleUp, type GroupOffer } from "../src/plan-scale-up.ts";
import type { Place } from "../src/placement.ts";
import { requestsOf } from "../src/pod-facts.ts";
import { unschedulablePods } from "../src/unschedulable-pods.ts";

const NOW = Date.parse("2026-01-01T12:00:00Z");
const MINUTE = 60_000;
const ago = (ms: number): string => new Date(NOW - ms).toISOString();

const OWNER = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "u", controller: true };
type Shape = { cpu?: string; memory?: string; metadata?: object; spec?: object; status?: object };

function pod(name: string, { cpu = "100m", memory = "0", metadata, spec, status }: Shape = {}): Pod {
  return {
    metadata: {
      name,
      namespace: "default",
      uid: name,
      creationTimestamp: ago(MINUTE),
      ownerReferences: [OWNER],
      ...metadata,
    },
    spec: { containers: [{ name: "main", resources: { requests: { cpu, memory } } }], ...spec },
    status: { ...status },
  };
}

const UNSCHEDULABLE = { conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable" }] };
const waiting = (name: string, shape: Shape = {}): Pod => pod(name, { status: UNSCHEDULABLE, ...shape });

type NodeShape = { cpu?: string; ready?: boolean; metadata?: object; spec?: object };
function node(name: string, { cpu = "2", ready = true, metadata, spec }: NodeShape = {}): Node {
  return {
    metadata: { name, uid: name, creationTimestamp: ago(60 * MINUTE), ...metadata },
    spec: { providerID: `memory://${name}`, ...spec },
    status: { allocatable: { cpu, memory: "4Gi" }, conditions: [{ type: "Ready", status: ready ? "True" : "False" }] },
  };
}

describe("pods that ask for a node", () => {
  test.each<[string, Pod, boolean]>([
    ["one that the scheduler has turned down", waiting("p"), true],
    ["one that it has not looked at", pod("p"), false],
    [
      "one that is gated",
      pod("p", { status: { conditions: [{ ...UNSCHEDULABLE.conditions[0], reason: "SchedulingGated" }] } }),
      false,
    ],
    ["one with a node", waiting("p", { spec: { nodeName: "n" } }), false],
    ["one that room is being made for", waiting("p", { status: { ...UNSCHEDULABLE, nominatedNodeName: "n" } }), false],
    ["one that is being deleted", waiting("p", { metadata: { deletionTimestamp: ago(0) } }), false],
    ["one of a DaemonSet", waiting("p", { metadata: { ownerReferences: [{ ...OWNER, kind: "DaemonSet" }] } }), false],
    ["one that may starve", waiting("p", { spec: { priority: -11 } }), false],
    ["one at the cutoff", waiting("p", { spec: { priority: -10 } }), true],
  ])("%s", (_, one, asks) => {
    expect(unschedulablePods([one], DEFAULT_OPTIONS, NOW)).toEqual(asks ? [one] : []);
  });

  test("the largest come first, and young ones wait where they are to", () => {
    const pods = [waiting("a"), waiting("b", { cpu: "2" }), waiting("c", { memory: "1Gi" })];
    const names = (delayMs: number): (string | undefined)[] =>
      unschedulablePods(pods, { ...DEFAULT_OPTIONS, newPodScaleUpDelayMs: delayMs }, NOW).map(
        (one) => one.metadata?.name,
      );
    expect(names(0)).toEqual(["b", "c", "a"]);
    expect(names(2 * MINUTE)).toEqual([]);
  });

  test("requests are those of sidecars and init containers too", () => {
    const container = (cpu: string, more: object = {}) => ({ name: "c", resources: { requests: { cpu } }, ...more });
    const initContainers = [container("1"), container("200m", { restartPolicy: "Always" }), container("500m")];
    const of = (spec: object): number => requestsOf(pod("p", { spec })).cpuMillis;
    expect(of({ containers: [container("300m")], initContainers })).toBe(1000);
    expect(of({ containers: [container("900m")], initContainers })).toBe(1100);
    expect(of({ containers: [container("300m")], overhead: { cpu: "50m" } })).toBe(350);
    expect(of({ containers: [container("300m")], resources: { requests: { cpu: "700m" } } })).toBe(700);
  });
});

const NOWHERE: Place = { node: "", copy: 0, message: "" };
const on = (copy: number): Place => ({ node: copy > 0 ? `spare-${copy}` : "node-1", copy, message: "" });
const refused = (message: string): Place => ({ ...NOWHERE, message });

function offer(id: string, places: readonly Place[], rest: Partial<GroupOffer> = {}): GroupOffer {
  const copies = Math.max(0, ...places.map(({ copy }) => copy));
  return {
    group: { id, minSize: 0, maxSize: 5 },
    targetSize: 1,
    template: node("t"),
    answer: { places, copies },
    ...rest,
  };
}

describe("planScaleUp", () => {
  const random = createSeededRandom(1);
  const pods = ["p", "q", "r"].map((name) => waiting(name, { cpu: "1", memory: "1Gi" }));

  test("a group grows by the copies that it took, for the pods on them", () => {
    const plan = planScaleUp(pods, [offer("a", [on(1), on(1), on(2)])], "least-waste", random);
    expect(plan.grow).toMatchObject({ group: { id: "a" }, from: 1, to: 3 });
    expect(plan.triggered).toEqual(pods);
    expect(plan.unhelped).toEqual([]);
  });

  test("nothing grows for pods that fit on nodes that are there or on their way", () => {
    const plan = planScaleUp(pods, [offer("a", [on(0), on(0), on(0)])], "least-waste", random);
    expect(plan).toEqual({ grow: undefined, triggered: [], unhelped: [] });
  });

  test("pods that no group helps hear why, group by group", () => {
    const offers = [
      offer("a", [on(1), refused("Insufficient cpu"), NOWHERE]),
      offer("b", [refused("Insufficient cpu"), refused("Insufficient cpu"), NOWHERE], { skipped: IN_BACKOFF }),
    ];
    const plan = planScaleUp(pods, offers, "least-waste", random);
    expect(plan.grow).toMatchObject({ group: { id: "a" }, from: 1, to: 2 });
    expect(plan.unhelped.map(({ pod: one, message }) => [one.metadata?.name, message])).toEqual([
      ["q", "1 Insufficient cpu, 1 in backoff after failed scale-up"],
      ["r", "1 in backoff after failed scale-up, 1 max node group size reached"],
    ]);
  });

  test.each<["least-waste" | "most-pods", string]>([
    ["least-waste", "small"],
    ["most-pods", "large"],
  ])("the expander %s chooses the %s group", (expander, id) => {
    const offers = [
      offer("large", [on(1), on(1), on(1)], { template: node("t", { cpu: "32" }) }),
      offer("small", [on(1), on(1), refused("Insufficient memory")]),
    ];
    expect(planScaleUp(pods, offers, expander, random).grow?.group.id).toBe(id);
  });

  test("property: no group is asked beyond its maximum, and every pod is helped, told why not, or placed", () => {
    const place = fc.oneof(
      fc.integer({ min: 0, max: 4 }).map(on),
      fc.constantFrom("", "Insufficient cpu").map(refused),
    );
    const shape = fc.record({
      places: fc.array(place, { minLength: 3, maxLength: 3 }),
      target: fc.integer({ min: 0, max: 5 }),
    });
    fc.assert(
      fc.property(
        fc.array(shape, { maxLength: 3 }),
        fc.constantFrom("least-waste" as const, "most-pods" as const, "random" as const),
        (groups, expander) => {
          const offers = groups.map(({ places, target }, at) => offer(`g${at}`, places, { targetSize: target }));
          const plan = planScaleUp(pods, offers, expander, createSeededRandom(7));
          if (plan.grow !== undefined) {
            expect(plan.grow.to).toBeGreaterThan(plan.grow.from);
            expect(plan.grow.to).toBeLessThanOrEqual(5);
            expect(plan.triggered.length).toBeGreaterThan(0);
          } else expect(plan.triggered).toEqual([]);
          for (const { pod: one } of plan.unhelped) expect(plan.triggered).not.toContain(one);
        },
      ),
    );
  });
});

describe("planDrain", () => {
  const budget = (disruptionsAllowed: number): PodDisruptionBudget => ({
    metadata: { name: "b", namespace: "default" },
    spec: { selector: { matchLabels: { app: "web" } } },
    status: { disruptionsAllowed, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 },
  });
  const web = (name: string): Pod => pod(name, { metadata: { labels: { app: "web" } } });
  const annotated = (name: string, value: string): object => ({
    annotations: { [`cluster-autoscaler.kubernetes.io/${name}`]: value },
  });
  const volumes = (volume: object, metadata: object = {}): Pod =>
    pod("p", { metadata, spec: { volumes: [{ name: "v", ...volume }] } });
  const system = { namespace: "kube-system" };

  test.each<[string, readonly Pod[], readonly PodDisruptionBudget[], string | undefined, number]>([
    ["a replicated pod moves", [pod("p")], [], undefined, 1],
    ["a pod on its own holds its node", [pod("p", { metadata: { ownerReferences: [] } })], [], "NotReplicated", 1],
    [
      "unless it is said to be safe",
      [pod("p", { metadata: { ownerReferences: [], ...annotated("safe-to-evict", "true") } })],
      [],
      undefined,
      1,
    ],
    [
      "one that is said not to be safe holds it",
      [pod("p", { metadata: annotated("safe-to-evict", "false") })],
      [],
      "NotSafeToEvictAnnotation",
      1,
    ],
    [
      "one of a controller that nobody knows holds it",
      [pod("p", { metadata: { ownerReferences: [{ ...OWNER, kind: "Game" }] } })],
      [],
      "NotReplicated",
      1,
    ],
    [
      "pods of DaemonSets do not matter",
      [pod("p", { metadata: { ownerReferences: [{ ...OWNER, kind: "DaemonSet" }] } })],
      [],
      undefined,
      0,
    ],
    [
      "nor do mirrors of static pods",
      [pod("p", { metadata: { annotations: { "kubernetes.io/config.mirror": "x" } } })],
      [],
      undefined,
      0,
    ],
    ["nor those that are over", [pod("p", { status: { phase: "Succeeded" } })], [], undefined, 0],
    ["nor those whose time is over", [pod("p", { metadata: { deletionTimestamp: ago(1) } })], [], undefined, 0],
    ["one of kube-system holds it", [pod("p", { metadata: system })], [], "UnmovableKubeSystemPod", 1],
    ["an emptyDir holds it", [volumes({ emptyDir: {} })], [], "LocalStorageRequested", 1],
    ["a hostPath too", [volumes({ hostPath: { path: "/x" } })], [], "LocalStorageRequested", 1],
    ["memory is no disk", [volumes({ emptyDir: { medium: "Memory" } })], [], undefined, 1],
    [
      "nor is what is said to be worthless",
      [volumes({ emptyDir: {} }, annotated("safe-to-evict-local-volumes", "u,v"))],
      [],
      undefined,
      1,
    ],
    ["a budget that allows it", [web("p")], [budget(1)], undefined, 1],
    ["a budget that allows one of two", [web("p"), web("q")], [budget(1)], "NotEnoughPdb", 2],
    ["a budget of others", [pod("p")], [budget(0)], undefined, 1],
  ])("%s", (_, pods, budgets, reason, moved) => {
    const plan = planDrain(pods, budgets, DEFAULT_OPTIONS, NOW);
    expect(plan.blocked?.reason).toBe(reason);
    expect(plan.move).toHaveLength(moved);
  });

  test("a budget lets a pod of kube-system move", () => {
    const dns = pod("p", { metadata: { ...system, labels: { app: "web" } } });
    const its = { ...budget(1), metadata: { name: "b", namespace: "kube-system" } };
    expect(planDrain([dns], [its], DEFAULT_OPTIONS, NOW).blocked).toBeUndefined();
  });
});

describe("nodes that may go", () => {
  const input = (one: Node, ...pods: readonly Pod[]) => ({ node: one, group: "nodes", pods });
  const judge = (...nodes: readonly ReturnType<typeof input>[]) => planCandidates(nodes, [], DEFAULT_OPTIONS, NOW);

  test("use is the larger share of what is requested", () => {
    const used = utilizationOf(
      node("n"),
      [pod("p", { cpu: "500m", memory: "3Gi" }), pod("q", { status: { phase: "Failed" } })],
      false,
    );
    expect(used).toEqual({ cpu: 0.25, memory: 0.75, share: 0.75 });
    const daemon = pod("d", { cpu: "1", metadata: { ownerReferences: [{ ...OWNER, kind: "DaemonSet" }] } });
    expect(utilizationOf(node("n"), [daemon], false).share).toBe(0.5);
    expect(utilizationOf(node("n"), [daemon], true).share).toBe(0);
  });

  test("are those with little to do that nothing holds, the emptiest first", () => {
    const disabled = { annotations: { "cluster-autoscaler.kubernetes.io/scale-down-disabled": "true" } };
    const { candidates, unremovable } = judge(
      input(node("some"), pod("p", { cpu: "900m" })),
      input(node("busy"), pod("p", { cpu: "1" })),
      input(node("kept", { metadata: disabled })),
      input(node("held"), pod("p", { metadata: { ownerReferences: [] } })),
      input(node("dead", { ready: false }), pod("p", { cpu: "2" }), pod("q")),
      input(node("empty")),
    );
    expect(candidates.map((one) => one.node.metadata?.name)).toEqual(["empty", "some", "dead"]);
    expect(Object.fromEntries(unremovable)).toEqual({
      busy: "NotUnderutilized",
      kept: "ScaleDownDisabledAnnotation",
      held: "NotReplicated",
    });
  });

  test("a node that was needed in between starts to wait anew", () => {
    const { candidates } = judge(input(node("a")), input(node("b")));
    const first = nextUnneeded(candidates, new Map(), NOW);
    const second = nextUnneeded(candidates.slice(0, 1), first, NOW + 5);
    expect(Object.fromEntries(second)).toEqual({ a: NOW });
    expect(Object.fromEntries(nextUnneeded(candidates, second, NOW + 9))).toEqual({ a: NOW, b: NOW + 9 });
  });

  const candidate = (name: string, moves: number, ready = true): Candidate => ({
    node: node(name, { ready }),
    group: "nodes",
    move: Array.from({ length: moves }, (_, at) => pod(`${name}-${at}`)),
    utilization: { cpu: 0, memory: 0, share: 0 },
  });
  const remove = (
    unneeded: readonly Candidate[],
    waitedMs: number,
    spare: number,
    going = { all: 0, draining: 0 },
  ): unknown =>
    planRemovals(
      {
        unneeded,
        since: new Map(unneeded.map((one) => [one.node.metadata?.name ?? "", NOW - waitedMs])),
        spare: new Map([["nodes", spare]]),
        going,
        nowMs: NOW,
      },
      DEFAULT_OPTIONS,
    ).map((one) => one.node.metadata?.name);

  test.each<[string, unknown, readonly string[]]>([
    ["not before their time", remove([candidate("a", 0)], 10 * MINUTE - 1, 9), []],
    ["after it", remove([candidate("a", 0)], 10 * MINUTE, 9), ["a"]],
    ["unready ones later", remove([candidate("a", 0, false)], 19 * MINUTE, 9), []],
    ["not below the minimum", remove([candidate("a", 0), candidate("b", 0)], 30 * MINUTE, 1), ["a"]],
    [
      "one drain at a time",
      remove([candidate("a", 0), candidate("b", 1), candidate("c", 1)], 30 * MINUTE, 9),
      ["a", "b"],
    ],
    ["none beside a drain", remove([candidate("b", 1)], 30 * MINUTE, 9, { all: 1, draining: 1 }), []],
    ["no more than ten at once", remove([candidate("a", 0)], 30 * MINUTE, 9, { all: 10, draining: 0 }), []],
  ])("go %s", (_, gone, expected) => {
    expect(gone).toEqual(expected);
  });
});

describe("what is known of a group", () => {
  const running = (name: string) => ({ id: `memory://${name}`, state: "running" as const });
  const facts = (rest: Partial<GroupFacts>): GroupFacts => ({
    group: { id: "nodes", minSize: 0, maxSize: 9 },
    targetSize: 1,
    instances: [running("a")],
    nodes: [node("a")],
    template: undefined,
    ...rest,
  });
  const state = (rest: Partial<GroupFacts>, since: ReadonlyMap<string, number> = new Map()) =>
    groupState(facts(rest), since, 15 * MINUTE, NOW);

  test("nodes that were asked for and cannot take pods yet are on their way", () => {
    const young = { creationTimestamp: ago(MINUTE) };
    const instances = [running("a"), running("b"), { id: "memory://c", state: "creating" as const }];
    const nodes = [node("a"), node("b", { ready: false, metadata: young })];
    const found = state({ targetSize: 5, instances, nodes });
    expect(found.upcoming).toBe(4);
    expect(found.starting).toHaveLength(1);
    expect(found.unregistered.map(({ id }) => id)).toEqual(["memory://c"]);
  });

  test("nodes that are going still count in the target, and are not on their way", () => {
    const going = node("b", { spec: { taints: [mark(TO_BE_DELETED, NOW)] } });
    expect(state({ targetSize: 2, instances: [running("a"), running("b")], nodes: [node("a"), going] }).upcoming).toBe(
      0,
    );
  });

  test("a machine that is no node in time is given up, one that failed at once", () => {
    const failed = { id: "memory://x", state: "creating" as const, error: { code: "E", message: "m" } };
    const all = facts({ targetSize: 3, instances: [running("a"), running("b"), failed] });
    const since = nextSince([all], new Map(), NOW - 16 * MINUTE);
    const kept = nextSince([all], since, NOW);
    const found = groupState(all, kept, 15 * MINUTE, NOW);
    expect(found.longUnregistered.map(({ id }) => id)).toEqual(["memory://b"]);
    expect(found.failed).toEqual([failed]);
    expect(found.upcoming).toBe(0);
    expect(groupState(all, kept, 17 * MINUTE, NOW).longUnregistered).toEqual([]);
  });

  test("requests that nothing came of in time are taken back", () => {
    const all = facts({ targetSize: 3 });
    const since = nextSince([all], new Map(), NOW - 16 * MINUTE);
    expect(groupState(all, since, 15 * MINUTE, NOW).unfulfilled).toBe(2);
    expect(groupState(all, nextSince([all], new Map(), NOW), 15 * MINUTE, NOW).unfulfilled).toBe(0);
  });

  test("a Node goes when its machine has gone, unless it is Ready", () => {
    const nodes = [node("a"), node("b", { ready: false }), node("c")];
    expect(state({ nodes }).gone.map((one) => one.metadata?.name)).toEqual(["b"]);
    const nameless = node("d", { ready: false, spec: { providerID: "" } });
    expect(state({ nodes: [nameless] }).gone).toEqual([]);
  });

  test("a few unready nodes are no matter, nor many out of very many", () => {
    const limits = DEFAULT_OPTIONS;
    const some = (unready: number, ready: number) => {
      const many = (count: number, isUp: boolean, prefix: string): Node[] =>
        Array.from({ length: count }, (_, at) => node(`${prefix}${at}`, { ready: isUp }));
      const nodes = [...many(unready, false, "u"), ...many(ready, true, "r")];
      return state({
        nodes,
        instances: nodes.map((one) => running(one.metadata?.name ?? "")),
        targetSize: nodes.length,
      });
    };
    expect(isUnhealthy([some(3, 0)], limits)).toBe(false);
    expect(isUnhealthy([some(4, 4)], limits)).toBe(true);
    expect(isUnhealthy([some(4, 6)], limits)).toBe(false);
  });

  test("a template is a node without its past", () => {
    const taints = [
      { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" },
      { key: "gpu", effect: "NoSchedule" },
      mark(DELETION_CANDIDATE, NOW),
    ];
    const one = node("a", {
      metadata: { labels: { zone: "z" } },
      spec: { taints, podCIDR: "10.0.0.0/24", unschedulable: true },
    });
    const template = templateOf(one, "nodes");
    expect(template.metadata).toEqual({
      name: "template-node-for-nodes",
      labels: { zone: "z", "kubernetes.io/hostname": "template-node-for-nodes" },
    });
    expect(template.spec).toEqual({ taints: [taints[1]] });
  });
});

test("a group that fails again rests twice as long, up to half an hour, and is forgiven after three hours", () => {
  let state = afterFailure(undefined, NOW, DEFAULT_OPTIONS);
  expect([isResting(state, NOW + 5 * MINUTE - 1), isResting(state, NOW + 5 * MINUTE)]).toEqual([true, false]);
  const lengths = [1, 2, 3, 4].map((hour) => {
    state = afterFailure(state, NOW + hour * MINUTE, DEFAULT_OPTIONS);
    return state.durationMs / MINUTE;
  });
  expect(lengths).toEqual([10, 20, 30, 30]);
  expect(afterFailure(state, NOW + 190 * MINUTE, DEFAULT_OPTIONS).durationMs).toBe(5 * MINUTE);
});
