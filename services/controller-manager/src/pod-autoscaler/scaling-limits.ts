// How fast and how far the number of replicas may change: pure. A recommendation is first stabilized by earlier ones, then
// limited by policies and by the autoscaler's least and most. Reasons and messages are upstream's.
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior
import type { HorizontalPodAutoscalerBehavior, HPAScalingPolicy, HPAScalingRules } from "@coxswain/api";

export interface Recommendation {
  readonly replicas: number;
  readonly atMs: number;
}

export interface ScaleEvent {
  /** By how many replicas, always positive. */
  readonly change: number;
  readonly atMs: number;
}

/** What is remembered of one autoscaler. */
export interface ScalingHistory {
  readonly recommendations: readonly Recommendation[];
  readonly ups: readonly ScaleEvent[];
  readonly downs: readonly ScaleEvent[];
}

export const NO_HISTORY: ScalingHistory = { recommendations: [], ups: [], downs: [] };

export interface LimitInput {
  readonly current: number;
  readonly desired: number;
  readonly min: number;
  readonly max: number;
  readonly behavior: HorizontalPodAutoscalerBehavior | undefined;
  /** Where the behavior says nothing. */
  readonly downscaleStabilizationMs: number;
  readonly nowMs: number;
}

export interface Finding {
  readonly reason: string;
  readonly message: string;
}

export interface Limited {
  readonly replicas: number;
  /** Of the condition AbleToScale. */
  readonly able: Finding;
  /** Of the condition ScalingLimited. */
  readonly limit: Finding & { readonly limited: boolean };
  /** With this recommendation. */
  readonly history: ScalingHistory;
}

const MAX_INT32 = 2_147_483_647;
const UP_STABILIZED: Finding = {
  reason: "ScaleUpStabilized",
  message: "recent recommendations were lower than current one, applying the lowest recent recommendation",
};
const DOWN_STABILIZED: Finding = {
  reason: "ScaleDownStabilized",
  message: "recent recommendations were higher than current one, applying the highest recent recommendation",
};
const READY: Finding = { reason: "ReadyForNewScale", message: "recommended size matches current size" };
const WITHIN: Finding = {
  reason: "DesiredWithinRange",
  message: "the desired count is within the acceptable range",
};
const TOO_FEW: Finding = {
  reason: "TooFewReplicas",
  message: "the desired replica count is less than the minimum replica count",
};
const TOO_MANY: Finding = {
  reason: "TooManyReplicas",
  message: "the desired replica count is more than the maximum replica count",
};
const UP_LIMIT: Finding = {
  reason: "ScaleUpLimit",
  message: "the desired replica count is increasing faster than the maximum scale rate",
};
const DOWN_LIMIT: Finding = {
  reason: "ScaleDownLimit",
  message: "the desired replica count is decreasing faster than the maximum scale rate",
};

const LEAST_UP_LIMIT = 4;
const UP_FACTOR = 2;

interface Windows {
  readonly upMs: number;
  readonly downMs: number;
}

function windowsOf({ behavior, downscaleStabilizationMs }: LimitInput): Windows {
  const seconds = (rules: HPAScalingRules | undefined): number | undefined => rules?.stabilizationWindowSeconds;
  const down = seconds(behavior?.scaleDown);
  return {
    upMs: (seconds(behavior?.scaleUp) ?? 0) * 1000,
    downMs: down === undefined ? downscaleStabilizationMs : down * 1000,
  };
}

/** The recommendation within what those of the windows allow. */
function stabilize(input: LimitInput, { upMs, downMs }: Windows, history: ScalingHistory): number {
  const { nowMs, desired, current, behavior } = input;
  let [lowest, highest] = [desired, desired];
  for (const { replicas, atMs } of history.recommendations) {
    if (atMs > nowMs - upMs) lowest = Math.min(lowest, replicas);
    if (atMs > nowMs - downMs) highest = Math.max(highest, replicas);
  }
  // Without a behavior only the way down is held back.
  if (behavior === undefined) return highest;
  return Math.min(Math.max(current, lowest), highest);
}

function changeWithin(events: readonly ScaleEvent[], periodSeconds: number, nowMs: number): number {
  const since = nowMs - periodSeconds * 1000;
  return events.reduce((sum, { change, atMs }) => (atMs > since ? sum + change : sum), 0);
}

type Bound = (start: number, policy: HPAScalingPolicy) => number;

const upTo: Bound = (start, { type, value }) =>
  type === "Pods" ? start + value : Math.ceil(start * (1 + value / 100));
const downTo: Bound = (start, { type, value }) =>
  type === "Pods" ? start - value : Math.trunc(start * (1 - value / 100));

/** What each policy allows from where its period began. */
function bounds(
  rules: HPAScalingRules | undefined,
  bound: Bound,
  input: LimitInput,
  history: ScalingHistory,
): number[] {
  return (rules?.policies ?? []).map((policy) => {
    const added = changeWithin(history.ups, policy.periodSeconds, input.nowMs);
    const removed = changeWithin(history.downs, policy.periodSeconds, input.nowMs);
    return bound(input.current - added + removed, policy);
  });
}

function upLimit(input: LimitInput, history: ScalingHistory): number {
  const rules = input.behavior?.scaleUp;
  if (rules?.selectPolicy === "Disabled") return input.current;
  const all = bounds(rules, upTo, input, history);
  const limit = rules?.selectPolicy === "Min" ? Math.min(MAX_INT32, ...all) : Math.max(-MAX_INT32, ...all);
  return Math.max(limit, input.current);
}

function downLimit(input: LimitInput, history: ScalingHistory): number {
  const rules = input.behavior?.scaleDown;
  if (rules?.selectPolicy === "Disabled") return input.current;
  const all = bounds(rules, downTo, input, history);
  // On the way down the smallest change leaves the most.
  const limit = rules?.selectPolicy === "Min" ? Math.max(-MAX_INT32, ...all) : Math.min(MAX_INT32, ...all);
  return Math.min(limit, input.current);
}

interface Bounded {
  readonly replicas: number;
  readonly finding: Finding;
}

function limitByBehavior(desired: number, input: LimitInput, history: ScalingHistory): Bounded {
  const { current, min, max } = input;
  if (desired > current) {
    const limit = upLimit(input, history);
    const [most, why] = max > limit ? ([limit, UP_LIMIT] as const) : ([max, TOO_MANY] as const);
    if (desired > most) return { replicas: most, finding: why };
  } else if (desired < current) {
    const limit = downLimit(input, history);
    const [least, why] = min < limit ? ([limit, DOWN_LIMIT] as const) : ([min, TOO_FEW] as const);
    if (desired < least) return { replicas: least, finding: why };
  }
  return { replicas: desired, finding: WITHIN };
}

function limitByDefault(desired: number, { current, min, max }: LimitInput): Bounded {
  const limit = Math.max(UP_FACTOR * current, LEAST_UP_LIMIT);
  const [most, why] = max > limit ? ([limit, UP_LIMIT] as const) : ([max, TOO_MANY] as const);
  if (desired < min) return { replicas: min, finding: TOO_FEW };
  if (desired > most) return { replicas: most, finding: why };
  return { replicas: desired, finding: WITHIN };
}

/** The number of replicas that a recommendation leads to. */
export function limitReplicas(input: LimitInput, history: ScalingHistory): Limited {
  const windows = windowsOf(input);
  const stabilized = stabilize(input, windows, history);
  const { replicas, finding } =
    input.behavior === undefined ? limitByDefault(stabilized, input) : limitByBehavior(stabilized, input, history);
  const upwards = input.behavior !== undefined && input.desired >= input.current;
  const held = upwards ? UP_STABILIZED : DOWN_STABILIZED;
  const oldest = input.nowMs - Math.max(windows.upMs, windows.downMs);
  const recent = history.recommendations.filter(({ atMs }) => atMs > oldest);
  return {
    replicas,
    able: stabilized === input.desired ? READY : held,
    limit: { ...finding, limited: replicas !== stabilized },
    history: { ...history, recommendations: [...recent, { replicas: input.desired, atMs: input.nowMs }] },
  };
}

function longestPeriodMs(rules: HPAScalingRules | undefined): number {
  return Math.max(0, ...(rules?.policies ?? []).map(({ periodSeconds }) => periodSeconds)) * 1000;
}

/** The history once the replicas have been changed; only behaviors look at it. */
export function afterScaling(
  history: ScalingHistory,
  behavior: HorizontalPodAutoscalerBehavior | undefined,
  change: { readonly from: number; readonly to: number; readonly nowMs: number },
): ScalingHistory {
  if (behavior === undefined) return history;
  const { from, to, nowMs } = change;
  const keep = Math.max(longestPeriodMs(behavior.scaleUp), longestPeriodMs(behavior.scaleDown));
  const recent = (events: readonly ScaleEvent[]): ScaleEvent[] => events.filter(({ atMs }) => atMs > nowMs - keep);
  const [ups, downs] = [recent(history.ups), recent(history.downs)];
  if (to > from) ups.push({ change: to - from, atMs: nowMs });
  if (to < from) downs.push({ change: from - to, atMs: nowMs });
  return { ...history, ups, downs };
}
