// The arithmetic of autoscalers: replicas by metrics, and the limits of their change.
import type { HorizontalPodAutoscalerBehavior, Pod } from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { printSelector } from "../src/pods/print-selector.ts";
import * as calculator from "../src/pod-autoscaler/replica-calculator.ts";
import type { CalculatorFacts, PodMetrics } from "../src/pod-autoscaler/replica-calculator.ts";
import { afterScaling, limitReplicas, NO_HISTORY, type LimitInput } from "../src/pod-autoscaler/scaling-limits.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const MINUTE = 60_000;

interface PodWish {
  /** Thousandths; undefined where there is no metric. */
  readonly used?: number;
  readonly request?: number | "none";
  readonly ready?: boolean;
  readonly phase?: string;
  readonly deleting?: boolean;
  /** Ago. */
  readonly startedMs?: number;
  readonly changedMs?: number;
  readonly measuredMs?: number;
}

function podOf(wish: PodWish, at: number): Pod {
  const { request = 1000, ready = true, phase = "Running", startedMs = 10 * MINUTE, changedMs = 9 * MINUTE } = wish;
  const requests: Record<string, string> = request === "none" ? {} : { cpu: `${request}m`, memory: `${request}m` };
  return {
    metadata: { name: `p${at}`, ...(wish.deleting === true ? { deletionTimestamp: formatTime(NOW) } : {}) },
    spec: { containers: [{ name: "c", resources: { requests } }] },
    status: {
      phase,
      startTime: formatTime(NOW - startedMs),
      conditions: [
        { type: "Ready", status: ready ? "True" : "False", lastTransitionTime: formatTime(NOW - changedMs) },
      ],
    },
  };
}

function factsOf(wishes: readonly PodWish[], tolerance = { up: 0.1, down: 0.1 }): CalculatorFacts {
  const times = { cpuInitializationMs: 2 * MINUTE, initialReadinessMs: 10_000 };
  return { pods: wishes.map(podOf), nowMs: NOW, tolerances: tolerance, ...times };
}

function metricsOf(wishes: readonly PodWish[]): PodMetrics {
  const known = wishes.flatMap(({ used, measuredMs = 0 }, at) =>
    used === undefined ? [] : ([[`p${at}`, { value: used, timestampMs: NOW - measuredMs, windowMs: MINUTE }]] as const),
  );
  return new Map(known);
}

const uses = (...amounts: readonly (number | undefined)[]): PodWish[] =>
  amounts.map((used) => (used === undefined ? {} : { used }));

describe("replicas by use as a share of requests", () => {
  const run = (wishes: readonly PodWish[], target: number, current = wishes.length, resource = "cpu") => {
    const wanted = { utilization: target, resource, container: "" };
    const found = calculator.resourceReplicas(current, wanted, metricsOf(wishes), factsOf(wishes));
    return [found.replicas, found.utilization, found.average];
  };
  const young = { startedMs: 30_000, changedMs: 25_000 };

  test.each<[string, readonly PodWish[], number, readonly number[]]>([
    ["go up with it", uses(300, 500, 700), 30, [5, 50, 500]],
    ["go down with it", uses(100, 300, 500, 250, 250), 50, [3, 28, 280]],
    ["stay where it is near its target", uses(1010, 1030, 1020), 100, [3, 102, 1020]],
    ["are rounded up", uses(401, 401, 401), 20, [6, 40, 401]],
    [
      "count requests of each pod",
      [
        { used: 100, request: 100 },
        { used: 100, request: 300 },
      ],
      25,
      [4, 50, 100],
    ],
  ])("%s", (_, wishes, target, expected) => {
    expect(run(wishes, target)).toEqual(expected);
  });

  test.each<[string, readonly PodWish[], number, readonly number[]]>([
    ["unready ones hold back the way up", [{ used: 300, ready: false, ...young }, ...uses(500, 700)], 30, [4, 60, 600]],
    ["pending ones do too", [{ phase: "Pending" }, ...uses(500, 700)], 30, [4, 60, 600]],
    [
      "unready ones do not count on the way down",
      [{ used: 900, ready: false, ...young }, ...uses(100, 100)],
      50,
      [1, 10, 100],
    ],
    [
      "failed and deleted ones do not exist",
      [{ used: 9, phase: "Failed" }, { used: 9, deleting: true }, ...uses(600)],
      30,
      [2, 60, 600],
    ],
    ["missing ones count as full on the way down", uses(100, undefined), 50, [2, 10, 100]],
    ["and as full by the target where that is more", uses(100, undefined), 200, [2, 10, 100]],
    ["missing ones count as idle on the way up", uses(900, undefined), 50, [2, 90, 900]],
    ["missing ones do not turn the direction", uses(600, undefined, undefined), 50, [3, 60, 600]],
    ["nor do they where it is on target", uses(500, undefined), 50, [2, 50, 500]],
  ])("of pods that say nothing: %s", (_, wishes, target, expected) => {
    expect(run(wishes, target)).toEqual(expected);
  });

  test("CPU of a start does not count: a whole window after readiness has to have been measured", () => {
    const hot = (measuredMs: number): PodWish => ({ used: 1000, startedMs: 90_000, changedMs: 80_000, measuredMs });
    expect(run([hot(30_000), ...uses(300, 300)], 30)).toEqual([3, 30, 300]);
    expect(run([hot(0), ...uses(300, 300)], 30)).toEqual([6, 53, 533]);
    // Memory of a start is as good as any.
    expect(run([hot(30_000), ...uses(300, 300)], 30, 3, "memory")).toEqual([6, 53, 533]);
  });

  test("a pod that once was ready counts though it is not ready now", () => {
    const fell: PodWish = { used: 900, ready: false, startedMs: 10 * MINUTE, changedMs: 5 * MINUTE };
    const never: PodWish = { ...fell, changedMs: 10 * MINUTE - 5_000 };
    expect(run([fell, ...uses(300)], 30)[1]).toBe(60);
    expect(run([never, ...uses(300)], 30)[1]).toBe(30);
  });

  test.each<[string, readonly PodWish[], string]>([
    ["no pods", [], "no pods returned by selector while calculating replica count"],
    ["no ready pods", [{ phase: "Pending" }], "did not receive metrics for targeted pods (pods might be unready)"],
    ["no requests", [{ used: 1, request: "none" }], "missing request for cpu in container c of Pod p0"],
  ])("cannot be told of %s", (_, wishes, message) => {
    expect(() => run(wishes, 50)).toThrow(message);
  });

  test("may be those of one container, and of a whole pod's own requests", () => {
    const pod: Pod = {
      metadata: { name: "p0" },
      spec: {
        initContainers: [{ name: "side", restartPolicy: "Always", resources: { requests: { memory: "2000m" } } }],
        containers: [{ name: "c", resources: { requests: { memory: "1000m" } } }],
      },
      status: { phase: "Running" },
    };
    const facts = { ...factsOf([]), pods: [pod] };
    const metrics = metricsOf(uses(600));
    const by = (container: string, pods = [pod]) =>
      calculator.resourceReplicas(1, { utilization: 50, resource: "memory", container }, metrics, { ...facts, pods });
    expect(by("c")).toMatchObject({ utilization: 60, replicas: 2 });
    expect(by("")).toMatchObject({ utilization: 20 });
    const whole = { ...pod, spec: { ...pod.spec, resources: { requests: { memory: "4000m" } } } } as Pod;
    expect(by("", [whole])).toMatchObject({ utilization: 15 });
  });

  test("have tolerances of their own for either way", () => {
    const wanted = { utilization: 50, resource: "cpu", container: "" };
    const at = (used: number, tolerances: { up: number; down: number }) =>
      calculator.resourceReplicas(2, wanted, metricsOf(uses(used, used)), factsOf(uses(used, used), tolerances))
        .replicas;
    expect(at(600, { up: 0.3, down: 0.1 })).toBe(2);
    expect(at(600, { up: 0, down: 0.1 })).toBe(3);
    expect(at(510, { up: 0, down: 0.1 })).toBe(3);
    expect(at(300, { up: 0, down: 0.5 })).toBe(2);
    expect(at(200, { up: 0, down: 0.5 })).toBe(1);
  });
});

describe("replicas by amounts", () => {
  const average = (wishes: readonly PodWish[], usage: number, resource = "") =>
    calculator.averageReplicas(wishes.length, { usage, resource }, metricsOf(wishes), factsOf(wishes));

  test("that pods have on average", () => {
    expect(average(uses(20_000, 10_000, 30_000), 15_000)).toEqual({ replicas: 4, usage: 20_000 });
    expect(average(uses(10_000, 10_000, 10_000, 10_000), 20_000)).toEqual({ replicas: 2, usage: 10_000 });
    expect(average(uses(50_000, undefined, undefined), 15_000)).toEqual({ replicas: 4, usage: 50_000 });
    // Not CPU: a start's figures count.
    expect(average([{ used: 60_000, startedMs: 1_000, changedMs: 500 }], 15_000)).toEqual({
      replicas: 4,
      usage: 60_000,
    });
  });

  test("that all share, or that each pod has its part of", () => {
    const facts = factsOf(uses(1, 1, 1));
    expect(calculator.valueReplicas(3, 15_000, 20_000, facts)).toBe(4);
    expect(calculator.valueReplicas(3, 15_000, 15_900, facts)).toBe(3);
    expect(calculator.valueReplicas(0, 16_000, 33_000, factsOf([]))).toBe(3);
    expect(calculator.valueReplicas(0, 16_000, 0, factsOf([]))).toBe(0);
    expect(() => calculator.valueReplicas(1, 1, 5, factsOf([]))).toThrow("unable to calculate ready pods");
    const { tolerances } = facts;
    expect(calculator.sharedReplicas(3, 5_000, 20_000, tolerances)).toEqual({ replicas: 4, usage: 6_667 });
    expect(calculator.sharedReplicas(3, 5_000, 15_300, tolerances)).toEqual({ replicas: 3, usage: 5_100 });
    expect(calculator.sharedReplicas(0, 5_000, 8_000, tolerances)).toEqual({ replicas: 2, usage: 0 });
  });
});

test("selectors are printed as Go prints them", () => {
  expect(printSelector(undefined)).toBe("nil");
  const matchExpressions = [{ key: "k", operator: "In", values: ["a", "b"] }];
  expect(printSelector({ matchLabels: { b: "2", a: "1" }, matchExpressions })).toBe(
    "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[a b],},},}",
  );
});

const input = (wish: Partial<LimitInput>): LimitInput => ({
  current: 5,
  desired: 5,
  min: 1,
  max: 100,
  behavior: undefined,
  downscaleStabilizationMs: 300_000,
  nowMs: NOW,
  ...wish,
});

describe("limits of change", () => {
  test.each<[string, Partial<LimitInput>, number, string]>([
    ["up to twice as many at once", { desired: 30 }, 10, "ScaleUpLimit"],
    ["up to four at once from few", { current: 1, desired: 30 }, 4, "ScaleUpLimit"],
    ["up to the most", { desired: 9, max: 7 }, 7, "TooManyReplicas"],
    ["down to the least", { desired: 1, min: 3 }, 3, "TooFewReplicas"],
    ["as is wanted between", { desired: 3 }, 3, "DesiredWithinRange"],
  ])("without a behavior: %s", (_, wish, replicas, reason) => {
    expect(limitReplicas(input(wish), NO_HISTORY)).toMatchObject({ replicas, limit: { reason } });
  });

  test("a higher recommendation holds back a lower one for five minutes", () => {
    const first = limitReplicas(input({ desired: 8 }), NO_HISTORY);
    const at = (ms: number) => limitReplicas(input({ current: 8, desired: 2, nowMs: NOW + ms }), first.history);
    expect(at(299_000)).toMatchObject({ replicas: 8, able: { reason: "ScaleDownStabilized" } });
    expect(at(300_000)).toMatchObject({ replicas: 2, able: { reason: "ReadyForNewScale" } });
  });

  const policy = (type: string, value: number, periodSeconds = 60) => ({ type, value, periodSeconds });
  const rules = (up: object, down: object = {}): HorizontalPodAutoscalerBehavior => ({
    scaleUp: { stabilizationWindowSeconds: 0, selectPolicy: "Max", policies: [policy("Percent", 100, 15)], ...up },
    scaleDown: { stabilizationWindowSeconds: 0, selectPolicy: "Max", policies: [policy("Percent", 100, 15)], ...down },
  });

  test.each<[string, Partial<LimitInput>, number, string]>([
    ["some pods a minute", { desired: 30, behavior: rules({ policies: [policy("Pods", 3)] }) }, 8, "ScaleUpLimit"],
    ["a share, rounded up", { desired: 30, behavior: rules({ policies: [policy("Percent", 10)] }) }, 6, "ScaleUpLimit"],
    [
      "the greatest of several",
      { desired: 30, behavior: rules({ policies: [policy("Pods", 3), policy("Percent", 200)] }) },
      15,
      "ScaleUpLimit",
    ],
    [
      "the least of several",
      { desired: 30, behavior: rules({ selectPolicy: "Min", policies: [policy("Pods", 3), policy("Percent", 200)] }) },
      8,
      "ScaleUpLimit",
    ],
    ["none", { desired: 30, behavior: rules({ selectPolicy: "Disabled" }) }, 5, "ScaleUpLimit"],
    ["down by pods", { desired: 1, behavior: rules({}, { policies: [policy("Pods", 2)] }) }, 3, "ScaleDownLimit"],
    [
      "down by a share",
      { desired: 1, behavior: rules({}, { policies: [policy("Percent", 50)] }) },
      2,
      "ScaleDownLimit",
    ],
    [
      "down by the least change",
      {
        desired: 1,
        behavior: rules({}, { selectPolicy: "Min", policies: [policy("Pods", 1), policy("Percent", 80)] }),
      },
      4,
      "ScaleDownLimit",
    ],
    ["not down at all", { desired: 1, behavior: rules({}, { selectPolicy: "Disabled" }) }, 5, "ScaleDownLimit"],
  ])("with a behavior: %s", (_, wish, replicas, reason) => {
    expect(limitReplicas(input(wish), NO_HISTORY)).toMatchObject({ replicas, limit: { reason, limited: true } });
  });

  test("what was changed within the period counts", () => {
    const behavior = rules({ policies: [policy("Pods", 4)] });
    const history = afterScaling(NO_HISTORY, behavior, { from: 5, to: 8, nowMs: NOW });
    const at = (ms: number) =>
      limitReplicas(input({ current: 8, desired: 50, behavior, nowMs: NOW + ms }), history).replicas;
    expect(at(10_000)).toBe(9);
    expect(at(60_000)).toBe(12);
    const down = afterScaling(history, behavior, { from: 8, to: 6, nowMs: NOW + 1_000 });
    expect(limitReplicas(input({ current: 6, desired: 50, behavior, nowMs: NOW + 2_000 }), down).replicas).toBe(9);
  });

  test("the lowest of a window holds back the way up", () => {
    const behavior = rules({ stabilizationWindowSeconds: 60 });
    const first = limitReplicas(input({ desired: 6, behavior }), NO_HISTORY);
    const at = (ms: number) => limitReplicas(input({ desired: 9, behavior, nowMs: NOW + ms }), first.history);
    expect(at(30_000)).toMatchObject({ replicas: 6, able: { reason: "ScaleUpStabilized" } });
    expect(at(61_000)).toMatchObject({ replicas: 9, able: { reason: "ReadyForNewScale" } });
  });

  const anyRules = fc.record({
    stabilizationWindowSeconds: fc.nat(600),
    selectPolicy: fc.constantFrom("Max", "Min", "Disabled"),
    policies: fc.array(
      fc.record({
        type: fc.constantFrom("Pods", "Percent"),
        value: fc.integer({ min: 1, max: 300 }),
        periodSeconds: fc.integer({ min: 1, max: 600 }),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  });
  const anyBehavior = fc.option(fc.record({ scaleUp: anyRules, scaleDown: anyRules }), { nil: undefined });
  const anyWishes = fc.array(fc.record({ desired: fc.nat(200), afterMs: fc.integer({ min: 1, max: 120_000 }) }), {
    minLength: 1,
    maxLength: 20,
  });

  /** Every step of an autoscaler that follows its wishes. */
  function follow(
    behavior: HorizontalPodAutoscalerBehavior | undefined,
    wishes: readonly { desired: number; afterMs: number }[],
    bounds: { min: number; max: number },
  ) {
    let [history, current, nowMs] = [NO_HISTORY, bounds.min, NOW];
    return wishes.map(({ desired, afterMs }) => {
      nowMs += afterMs;
      const from = current;
      const limited = limitReplicas(input({ ...bounds, current, desired, behavior, nowMs }), history);
      current = limited.replicas;
      history = afterScaling(limited.history, behavior, { from, to: current, nowMs });
      return { from, to: current, desired, nowMs };
    });
  }

  test("never lead outside the bounds, nor the other way than was asked for", () => {
    fc.assert(
      fc.property(
        anyBehavior,
        anyWishes,
        fc.integer({ min: 1, max: 20 }),
        fc.nat(100),
        (behavior, wishes, min, more) => {
          const bounds = { min, max: min + more };
          for (const { from, to } of follow(behavior, wishes, bounds)) {
            expect(to).toBeGreaterThanOrEqual(bounds.min);
            expect(to).toBeLessThanOrEqual(bounds.max);
            if (behavior?.scaleUp?.selectPolicy === "Disabled") expect(to).toBeLessThanOrEqual(from);
            if (behavior?.scaleDown?.selectPolicy === "Disabled") expect(to).toBeGreaterThanOrEqual(from);
          }
        },
      ),
    );
  });

  test("never lead below what was recommended within the window, unless it is above the most", () => {
    fc.assert(
      fc.property(anyBehavior, anyWishes, (behavior, wishes) => {
        const bounds = { min: 1, max: 300 };
        const windowMs = (behavior?.scaleDown?.stabilizationWindowSeconds ?? 300) * 1000;
        const steps = follow(behavior, wishes, bounds);
        for (const [at, { from, to, nowMs }] of steps.entries()) {
          const recent = steps.slice(0, at + 1).filter((step) => step.nowMs > nowMs - windowMs);
          if (to < from) expect(to).toBeGreaterThanOrEqual(Math.max(...recent.map(({ desired }) => desired)));
        }
      }),
    );
  });
});
