// Preemption: whom a pod pushes off which node, and what is written about it.
import {
  EVENTS,
  NODES,
  PODS,
  type Event,
  type Node,
  type Pod,
  type PodCondition,
  type PodDisruptionBudget,
} from "@coxswain/api";
import { createMemoryCluster, timeoutError } from "@coxswain/client/memory/memory-cluster";
import { createSeededRandom, VirtualEnv } from "@coxswain/env";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CycleState, Plugin } from "../src/framework/contract.ts";
import { Framework, type SchedulePlan } from "../src/framework/plan-schedule.ts";
import { DEFAULT_PROFILES } from "../src/framework/registry.ts";
import { RowProbe } from "../src/framework/row-probe.ts";
import { createDefaultPreemption, selectVictims } from "../src/plugins/default-preemption.ts";
import { makePodInfo, type PodInfo } from "../src/pod-info.ts";
import { disruptionTarget } from "../src/preemptor.ts";
import type { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";
import { node, planOn, pod, profileWith, snapshotOf, type PodShape } from "./fixtures.ts";
import { schedulerOn } from "./whole-scheduler.ts";

const small = (name: string, labels: Record<string, string> = {}): Node => node(name, labels, { cpu: "1" });
const cpu = (amount: string): PodShape => ({ requests: { cpu: amount } });

function placed(name: string, on: string, priority: number, shape: PodShape & { startTime?: string } = cpu("1")): Pod {
  const { startTime, ...rest } = shape;
  const made = pod(name, { priority, on, ...rest });
  return startTime === undefined ? made : { ...made, status: { startTime } };
}

function budget(app: string, disruptionsAllowed: number, more: object = {}): PodDisruptionBudget {
  return {
    metadata: { name: `budget-${app}`, namespace: "default" },
    spec: { selector: { matchLabels: { app } } },
    status: { currentHealthy: 1, desiredHealthy: 1, expectedPods: 1, disruptionsAllowed, ...more },
  };
}

function withBudgets(snapshot: ClusterSnapshot, ...budgets: PodDisruptionBudget[]): ClusterSnapshot {
  for (const one of budgets) snapshot.budgets.set(`default/${one.metadata!.name}`, one);
  return snapshot;
}

/** "node: victims", or the message. */
function outcome(snapshot: ClusterSnapshot, wanted: Pod): string {
  const plan = planOn(snapshot, wanted);
  if (plan.kind === "node") return `-> ${plan.node}`;
  if (plan.victims.length === 0) return plan.message;
  return `${plan.nominated}: ${plan.victims.map((victim) => victim.name).join(" ")}`;
}

const high = (shape: PodShape = cpu("1")): Pod => pod("p", { priority: 100, ...shape });

describe("which node, and whom", () => {
  const two = [small("a"), small("b")];
  test.each<[string, Node[], Pod[], PodDisruptionBudget[], Pod, string]>([
    ["the lowest of the highest priorities", two, [placed("x", "a", 2), placed("y", "b", 1)], [], high(), "b: y"],
    [
      "fewest broken budgets first",
      two,
      [placed("x", "a", 2), placed("y", "b", 1, { ...cpu("1"), labels: { app: "kept" } })],
      [budget("kept", 0)],
      high(),
      "a: x",
    ],
    [
      "a budget is broken where nothing else helps",
      [small("a")],
      [placed("x", "a", 1, { ...cpu("1"), labels: { app: "kept" } })],
      [budget("kept", 0)],
      high(),
      "a: x",
    ],
    [
      "a budget that allows a disruption is not broken by one",
      two,
      [placed("x", "a", 2), placed("y", "b", 1, { ...cpu("1"), labels: { app: "kept" } })],
      [budget("kept", 1)],
      high(),
      "b: y",
    ],
    [
      "the smallest sum of priorities",
      two,
      [placed("x", "a", 5, cpu("500m")), placed("x2", "a", 4, cpu("500m")), placed("y", "b", 5)],
      [],
      high(),
      "b: y",
    ],
    [
      "the latest start",
      two,
      [
        placed("x", "a", 1, { ...cpu("1"), startTime: "2026-01-01T00:00:00Z" }),
        placed("y", "b", 1, { ...cpu("1"), startTime: "2026-01-02T00:00:00Z" }),
      ],
      [],
      high(),
      "b: y",
    ],
    [
      "the more important ones are spared",
      [small("a")],
      [placed("x", "a", 1, cpu("500m")), placed("y", "a", 2, cpu("500m"))],
      [],
      high(cpu("500m")),
      "a: x",
    ],
    [
      "of equal ones those that run for longer are spared",
      [small("a")],
      [
        placed("x", "a", 1, { ...cpu("500m"), startTime: "2026-01-01T00:00:00Z" }),
        placed("y", "a", 1, { ...cpu("500m"), startTime: "2026-01-02T00:00:00Z" }),
      ],
      [],
      high(cpu("500m")),
      "a: y",
    ],
    [
      "those whom a budget protects are spared first",
      [small("a")],
      [placed("x", "a", 1, { ...cpu("500m"), labels: { app: "kept" } }), placed("y", "a", 2, cpu("500m"))],
      [budget("kept", 0)],
      high(cpu("500m")),
      "a: y",
    ],
    [
      "nobody is less important",
      two,
      [placed("x", "a", 100), placed("y", "b", 100)],
      [],
      high(),
      "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: " +
        "0/2 nodes are available: 2 No preemption victims found for incoming pod.",
    ],
    [
      "it does not help",
      [small("a"), small("b")],
      [placed("x", "a", 1, cpu("500m")), placed("z", "a", 100, cpu("500m"))],
      [],
      high({ ...cpu("1"), nodeSelector: { "kubernetes.io/hostname": "a" } }),
      "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector. " +
        "no new claims to deallocate, preemption: 0/2 nodes are available: 1 Insufficient cpu, " +
        "1 Preemption is not helpful for scheduling.",
    ],
    [
      "a pod that must not preempt",
      [small("a")],
      [placed("x", "a", 1)],
      [],
      high({ ...cpu("1"), preemptionPolicy: "Never" }),
      "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: " +
        "not eligible due to preemptionPolicy=Never.",
    ],
    [
      "anti-affinity: who is in the way leaves",
      [small("a", { zone: "1" })],
      [placed("x", "a", 1, { labels: { app: "x" } })],
      [],
      high({
        affinity: {
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              { topologyKey: "zone", labelSelector: { matchLabels: { app: "x" } } },
            ],
          },
        },
      }),
      "a: x",
    ],
    [
      "spreading: a domain with too many",
      [small("a", { zone: "1" }), node("b", { zone: "2" }, { cpu: "0" })],
      [placed("x", "a", 1, { labels: { app: "s" } })],
      [],
      high({
        ...cpu("1m"),
        labels: { app: "s" },
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: "zone",
            whenUnsatisfiable: "DoNotSchedule",
            labelSelector: { matchLabels: { app: "s" } },
          },
        ],
      }),
      "a: x",
    ],
  ])("%s", (_name, nodes, there, budgets, wanted, expected) => {
    expect(outcome(withBudgets(snapshotOf(nodes, there), ...budgets), wanted)).toBe(expected);
  });

  test("arguments that say nothing sensible are refused", () => {
    expect(() => createDefaultPreemption({ minCandidateNodesPercentage: 101 })).toThrow("minCandidateNodesPercentage");
    expect(() => createDefaultPreemption({ minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0 })).toThrow(
      "both",
    );
  });
});

describe("nominated pods", () => {
  test("their room counts for pods that are not more important, and for themselves not", () => {
    const snapshot = snapshotOf([small("a")]);
    snapshot.nominations.add(makePodInfo(pod("n", { priority: 50, ...cpu("1") })), "a");
    expect(outcome(snapshot, pod("low", { priority: 50, ...cpu("1") }))).toContain("1 Insufficient cpu");
    expect(outcome(snapshot, pod("high", { priority: 51, ...cpu("1") }))).toBe("-> a");
    expect(outcome(snapshot, pod("n", { priority: 50, ...cpu("1") }))).toBe("-> a");
    expect(snapshot.resource("cpu")!.requested[0]).toBe(0);
  });

  test("a nominated pod goes to its node, even where another is better", () => {
    const snapshot = snapshotOf([node("a"), node("b")], [placed("x", "a", 0)]);
    snapshot.nominations.add(makePodInfo(high()), "a");
    expect(outcome(snapshot, high())).toBe("-> a");
  });

  test("a victim that is still leaving keeps the pod from preempting again", () => {
    const leaving = placed("x", "a", 1);
    leaving.metadata!.deletionTimestamp = "2026-01-01T00:00:00Z";
    leaving.status = { conditions: [{ type: "DisruptionTarget", status: "True", reason: "PreemptionByScheduler" }] };
    const snapshot = snapshotOf([small("a")], [leaving]);
    snapshot.nominations.add(makePodInfo(high()), "a");
    expect(outcome(snapshot, high())).toContain("not eligible due to a terminating pod on the nominated node.");
  });
});

test("property: a dry run leaves the snapshot as it was, and without its victims the pod fits", () => {
  const shape = fc.record({ cpu: fc.integer({ min: 1, max: 9 }), priority: fc.integer({ min: 0, max: 5 }) });
  fc.assert(
    fc.property(fc.array(shape, { maxLength: 10, size: "max" }), shape, (there, wanted) => {
      const pods = there.map((one, at) => placed(`p${at}`, "a", one.priority, cpu(`${one.cpu * 100}m`)));
      const snapshot = snapshotOf([small("a")], pods);
      const before = snapshot.resource("cpu")?.requested[0];
      const info = makePodInfo(pod("p", { priority: wanted.priority, ...cpu(`${wanted.cpu * 100}m`) }));
      const cycle: CycleState = { info, snapshot, state: new Map() };
      const framework = new Framework(DEFAULT_PROFILES[0]!);
      const skipped = new Set<string>();
      framework.runPreFilter(cycle, skipped);
      const probe = new RowProbe(cycle, framework.filters, skipped, createSeededRandom(1));
      const found = selectVictims(cycle, 0, probe);
      expect(snapshot.resource("cpu")?.requested[0]).toBe(before);
      expect([...snapshot.pods[0]!.keys()].length).toBe(pods.length);
      if (!("victims" in found)) return;
      expect(found.victims.every((victim) => victim.priority < info.priority)).toBe(true);
      for (const victim of found.victims) snapshot.removePod(victim.key);
      expect(probe.fits(0, false)).toBeUndefined();
      // Nobody leaves for nothing: the most important victim could not have stayed.
      if (found.victims.length > 0) {
        snapshot.put(0, found.victims[0]!);
        expect(probe.fits(0, false)).toBeDefined();
      }
    }),
    { numRuns: 200 },
  );
});

/** Asks about every node anew each time. */
const forgetful = (): Plugin => ({
  name: "DefaultPreemption",
  postFilter: (cycle, verdicts, probe) => createDefaultPreemption().postFilter!(cycle, verdicts, probe),
});

test("property: what is remembered of nodes leads to the same preemptions as asking anew", () => {
  const names = ["a", "b", "c"];
  const onNode = fc.constantFrom(...names);
  const amount = fc.integer({ min: 2, max: 8 });
  const app = fc.constantFrom("", "kept");
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant("preempt" as const),
        amount: fc.constantFrom(4, 7),
        done: fc.boolean(),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant("place" as const),
        amount,
        on: onNode,
        priority: fc.integer({ max: 3, min: 0 }),
        app,
      }),
    },
    fc.record({ kind: fc.constant("leave" as const), at: fc.nat({ max: 20 }) }),
    fc.record({ kind: fc.constant("resize" as const), on: onNode, amount }),
    fc.record({ kind: fc.constant("drop" as const), on: onNode }),
    fc.record({ kind: fc.constant("budget" as const), allowed: fc.integer({ min: 0, max: 1 }), there: fc.boolean() }),
  );
  let preempted = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 8, maxLength: 30, size: "max" }), (steps) => {
      const snapshot = snapshotOf(names.map((name) => small(name)));
      const frameworks = [createDefaultPreemption(), forgetful()].map((one) => new Framework(profileWith(one)));
      const randoms = [createSeededRandom(1), createSeededRandom(1)];
      const there: string[] = [];
      for (const [at, one] of steps.entries()) {
        if (one.kind === "place") {
          const labels: Record<string, string> = one.app === "" ? {} : { app: one.app };
          snapshot.upsertPod(placed(`p${at}`, one.on, one.priority, { ...cpu(`${one.amount * 100}m`), labels }));
          there.push(`default/p${at}`);
        } else if (one.kind === "leave") snapshot.removePod(there[one.at % Math.max(1, there.length)] ?? "");
        else if (one.kind === "resize") snapshot.upsertNode(node(one.on, {}, { cpu: `${one.amount * 200}m` }));
        else if (one.kind === "drop") snapshot.removeNode(one.on);
        else if (one.kind === "budget") {
          if (one.there) withBudgets(snapshot, budget("kept", one.allowed));
          else snapshot.budgets.delete("default/budget-kept");
        } else {
          const info = makePodInfo(pod(`high${at}`, { priority: 10, ...cpu(`${one.amount * 100}m`) }));
          const [plan, expected] = frameworks.map((framework, which) =>
            framework.planSchedule(info, snapshot, { random: randoms[which]!, percentageOfNodesToScore: 0 }),
          );
          const view = (plan: SchedulePlan): unknown =>
            plan.kind === "node"
              ? plan.node
              : [plan.message, plan.nominated, [...plan.plugins], plan.victims.map((victim) => victim.key)];
          expect(view(plan!)).toEqual(view(expected!));
          if (plan!.kind === "node") snapshot.assume(info, plan!.node);
          else if (plan!.victims.length > 0) {
            preempted++;
            snapshot.nominations.add(info, plan!.nominated!);
            if (one.done) for (const victim of plan!.victims) snapshot.removePod(victim.key);
          }
        }
      }
    }),
    { numRuns: 200 },
  );
  expect(preempted).toBeGreaterThan(50);
});

describe("the mark of a victim", () => {
  const preemption = { preemptor: makePodInfo(high()), node: "a", victims: [] };
  const nowMs = Date.parse("2026-01-02T00:00:00Z");
  const marked = (condition: Partial<PodCondition>): PodInfo =>
    makePodInfo({
      ...placed("x", "a", 1),
      status: {
        conditions: [
          {
            type: "DisruptionTarget",
            status: "True",
            reason: "PreemptionByScheduler",
            message: "default-scheduler: preempting to accommodate a higher priority pod",
            lastTransitionTime: "2026-01-01T00:00:00Z",
            ...condition,
          },
        ],
      },
    });

  test("has the time at which the pod became one", () => {
    const timeOf = (victim: PodInfo): string | undefined =>
      disruptionTarget(preemption, victim, nowMs)?.lastTransitionTime;
    expect(timeOf(makePodInfo(placed("x", "a", 1)))).toBe("2026-01-02T00:00:00Z");
    expect(timeOf(marked({ status: "False" }))).toBe("2026-01-02T00:00:00Z");
    expect(timeOf(marked({ reason: "EvictionByEvictionAPI" }))).toBe("2026-01-01T00:00:00Z");
  });

  test("is not written again", () => {
    expect(disruptionTarget(preemption, marked({}), nowMs)).toBeUndefined();
  });
});

function setup(seed = 3) {
  const env = new VirtualEnv({ seed });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const app = schedulerOn(env, cluster);
  /** Also what kubelets do: pods that are being deleted go in the end. */
  const start = (): void => {
    void app.run(new AbortController().signal);
    env.timers.setInterval(() => {
      for (const one of cluster.objects<Pod>(PODS)) {
        if (one.metadata!.deletionTimestamp === undefined || one.metadata!.finalizers !== undefined) continue;
        const target = { namespace: "default", name: one.metadata!.name! };
        cluster
          .client("kubelet")
          .delete(PODS, target, { gracePeriodSeconds: 0 })
          .catch(() => undefined); // Faults hit it too: it tries again.
      }
    }, 700);
  };
  const find = (name: string): Pod | undefined => cluster.objects<Pod>(PODS).find((one) => one.metadata!.name === name);
  const events = (): string[] =>
    cluster.objects<Event>(EVENTS).map((one) => `${one.involvedObject.name} ${one.type} ${one.reason}: ${one.message}`);
  return { env, cluster, start, find, events };
}

describe("the scheduler", () => {
  test("deletes victims, says why, nominates the pod, and binds it once there is room", async () => {
    const { env, cluster, start, find, events } = setup();
    cluster.seed(NODES, small("a"));
    cluster.seed(PODS, placed("x", "a", 1));
    const conditions: unknown[] = [];
    const nominated: (string | undefined)[] = [];
    cluster.onChange(() => {
      const condition = find("x")?.status?.conditions?.find((one) => one.type === "DisruptionTarget");
      if (condition !== undefined) conditions.push(condition);
      nominated.push(find("p")?.status?.nominatedNodeName);
    });
    start();
    await env.advance(5000);
    cluster.seed(PODS, high());
    expect(await env.runUntil(() => find("p")?.spec?.nodeName === "a", 30_000)).toBe(true);
    await env.advance(2000);
    expect(find("x")).toBeUndefined();
    expect(conditions[0]).toMatchObject({
      status: "True",
      reason: "PreemptionByScheduler",
      message: "default-scheduler: preempting to accommodate a higher priority pod",
    });
    expect(nominated).toContain("a");
    const uid = find("p")!.metadata!.uid;
    expect(events().filter((one) => !one.includes("LeaderElection"))).toEqual([
      "p Warning FailedScheduling: 0/1 nodes are available: 1 Insufficient cpu.",
      `x Normal Preempted: Preempted by pod ${uid} on node a`,
      "p Normal Scheduled: Successfully assigned default/p to a",
    ]);
  });

  test("a victim that is marked already is deleted, and its mark stays as it was", async () => {
    const { env, cluster, start, find } = setup();
    cluster.seed(NODES, small("a"));
    const mark = {
      type: "DisruptionTarget",
      status: "True",
      reason: "PreemptionByScheduler",
      message: "default-scheduler: preempting to accommodate a higher priority pod",
      lastTransitionTime: "2025-12-31T00:00:00Z",
    };
    cluster.seed(PODS, { ...placed("x", "a", 1), status: { conditions: [mark] } });
    const marks = new Set<string>();
    cluster.onChange(() => marks.add(JSON.stringify(find("x")?.status?.conditions ?? [])));
    const patched = cluster.inject({
      verb: "patch",
      resource: "pods",
      when: ({ name }) => name === "x",
      error: timeoutError(),
    });
    start();
    await env.advance(5000);
    cluster.seed(PODS, high());
    expect(await env.runUntil(() => find("p")?.spec?.nodeName === "a", 30_000)).toBe(true);
    expect([...marks]).toEqual([JSON.stringify([mark]), "[]"]);
    expect(patched.fired).toBe(0);
  });

  test("a more important pod takes a nomination over", async () => {
    const { env, cluster, start, find } = setup();
    cluster.seed(NODES, small("a"));
    const stubborn = placed("x", "a", 1);
    stubborn.metadata!.finalizers = ["example.com/hold"];
    cluster.seed(PODS, stubborn);
    start();
    await env.advance(5000);
    cluster.seed(PODS, pod("low", { priority: 10, ...cpu("1") }));
    expect(await env.runUntil(() => find("low")?.status?.nominatedNodeName === "a", 30_000)).toBe(true);
    cluster.seed(PODS, high());
    expect(await env.runUntil(() => find("p")?.status?.nominatedNodeName === "a", 30_000)).toBe(true);
    await env.advance(1000);
    expect(find("low")?.status?.nominatedNodeName).toBeUndefined();
  });

  test.each([1, 2, 3, 4])("seed %i: with failing writes, the important pods get their places", async (seed) => {
    const { env, cluster, start, find } = setup(seed);
    for (const name of ["a", "b", "c"]) cluster.seed(NODES, small(name));
    for (const name of ["a", "b", "c"]) cluster.seed(PODS, placed(`x${name}`, name, 1));
    const flaky = (): boolean => env.random.float() < 0.3;
    const faults = [
      cluster.inject({ verb: "delete", resource: "pods", when: flaky, error: timeoutError(), lands: true }),
      cluster.inject({ verb: "delete", resource: "pods", when: flaky, error: timeoutError() }),
      cluster.inject({ verb: "patch", resource: "pods", when: flaky, error: timeoutError() }),
    ];
    start();
    await env.advance(3000);
    for (let at = 0; at < 3; at++) cluster.seed(PODS, pod(`p${at}`, { priority: 100, ...cpu("1") }));
    const done = (): boolean => [0, 1, 2].every((at) => (find(`p${at}`)?.spec?.nodeName ?? "") !== "");
    expect(await env.runUntil(done, 900_000)).toBe(true);
    expect(new Set([0, 1, 2].map((at) => find(`p${at}`)!.spec!.nodeName)).size).toBe(3);
    expect(faults.reduce((sum, fault) => sum + fault.fired, 0)).toBeGreaterThan(0);
  });
});
