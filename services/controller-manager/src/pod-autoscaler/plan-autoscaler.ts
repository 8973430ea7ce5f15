// What an autoscaler does about the figures that were found, and what its status and events say: pure. Conditions, reasons,
// messages and events are upstream's.
import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerCondition,
  HorizontalPodAutoscalerStatus,
  MetricStatus,
} from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import { MetricFailure, type MetricProposal } from "./metric-proposal.ts";
import { limitReplicas, type ScalingHistory } from "./scaling-limits.ts";

export interface PlannedEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** What stood in the way, as upstream's metrics tell it: what the autoscaler asks for, or something else. */
export type FoundError = "spec" | "internal";

export const errorOf = ({ reason }: MetricFailure): FoundError =>
  reason === "InvalidMetricSourceType" ? "spec" : "internal";

/** Conditions of an autoscaler while they are written, the events on the way, and what it comes to. */
export class Findings {
  readonly events: PlannedEvent[] = [];
  action: "scale_up" | "scale_down" | "none" = "none";
  error: FoundError | "none" = "none";
  readonly #nowMs: number;
  #conditions: readonly HorizontalPodAutoscalerCondition[];

  constructor(autoscaler: HorizontalPodAutoscaler, nowMs: number) {
    this.#conditions = autoscaler.status?.conditions ?? [];
    this.#nowMs = nowMs;
  }

  get conditions(): HorizontalPodAutoscalerCondition[] {
    return [...this.#conditions];
  }

  /** A condition keeps its time while its status is the same. */
  set(type: string, status: boolean, reason: string, message: string): void {
    const text = status ? "True" : "False";
    const before = this.#conditions.find((one) => one.type === type);
    const now = formatTime(this.#nowMs);
    const lastTransitionTime = before?.status === text ? (before.lastTransitionTime ?? now) : now;
    const next = { type, status: text, lastTransitionTime, reason, message };
    this.#conditions =
      before === undefined
        ? [...this.#conditions, next]
        : this.#conditions.map((one) => (one.type === type ? next : one));
  }

  warn(reason: string, message: string): void {
    this.events.push({ type: "Warning", reason, message });
  }

  say(reason: string, message: string): void {
    this.events.push({ type: "Normal", reason, message });
  }
}

export interface MetricsVerdict {
  readonly replicas: number;
  readonly name: string;
  readonly statuses: readonly MetricStatus[];
}

/** The most that any metric asks for; undefined, with conditions and events, where none may decide. */
export function planMetrics(
  outcomes: readonly (MetricProposal | MetricFailure)[],
  specReplicas: number,
  findings: Findings,
): { readonly verdict: MetricsVerdict | undefined; readonly statuses: MetricStatus[] } {
  const failures = outcomes.filter((one) => one instanceof MetricFailure);
  for (const { reason, detail } of failures) findings.warn(reason, detail);
  if (failures[0] !== undefined) findings.error = errorOf(failures[0]);
  // What could not be had has an empty place.
  const statuses = outcomes.map((one): MetricStatus => (one instanceof MetricFailure ? { type: "" } : one.status));
  let [replicas, name] = [0, ""];
  for (const one of outcomes) {
    if (one instanceof MetricFailure || (replicas !== 0 && one.replicas <= replicas)) continue;
    [replicas, name] = [one.replicas, one.name];
  }
  const [first] = failures;
  if (first !== undefined && (failures.length >= outcomes.length || replicas < specReplicas)) {
    const message = `the HPA was unable to compute the replica count: ${first.detail}`;
    findings.set("ScalingActive", false, first.reason, message);
    const counted = `invalid metrics (${failures.length} invalid out of ${outcomes.length})`;
    findings.warn("FailedComputeMetricsReplicas", `${counted}, first error is: ${first.message}`);
    return { verdict: undefined, statuses };
  }
  const message = `the HPA was able to successfully calculate a replica count from ${name}`;
  findings.set("ScalingActive", true, "ValidMetricFound", message);
  return { verdict: { replicas, name, statuses }, statuses };
}

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

export function boundsOf({ spec }: HorizontalPodAutoscaler): Bounds {
  return { min: spec?.minReplicas ?? 1, max: spec?.maxReplicas ?? 1 };
}

export interface Rescale {
  readonly replicas: number;
  /** Why, where it differs from what there is. */
  readonly reason: string;
}

/** What needs no metrics: nothing while switched off by 0 replicas, and the bounds. Undefined where metrics decide. */
export function planByBounds(current: number, { min, max }: Bounds, findings: Findings): Rescale | undefined {
  if (current === 0 && min !== 0) {
    const message = "scaling is disabled since the replica count of the target is zero";
    findings.set("ScalingActive", false, "ScalingDisabled", message);
    return { replicas: 0, reason: "" };
  }
  if (current > max) return { replicas: max, reason: "Current number of replicas above Spec.MaxReplicas" };
  if (current < min) return { replicas: min, reason: "Current number of replicas below Spec.MinReplicas" };
  return undefined;
}

/** What metrics lead to, within the autoscaler's behavior. */
export function planByMetrics(
  autoscaler: HorizontalPodAutoscaler,
  current: number,
  { replicas: desired, name }: MetricsVerdict,
  facts: { readonly history: ScalingHistory; readonly downscaleStabilizationMs: number; readonly nowMs: number },
  findings: Findings,
): Rescale & { readonly history: ScalingHistory } {
  const { history, ...times } = facts;
  const input = { current, desired, ...boundsOf(autoscaler), behavior: autoscaler.spec?.behavior, ...times };
  const { replicas, able, limit, history: next } = limitReplicas(input, history);
  findings.set("AbleToScale", true, able.reason, able.message);
  findings.set("ScalingLimited", limit.limited, limit.reason, limit.message);
  const reason = desired > current ? `${name} above target` : desired < current ? "All metrics below target" : "";
  return { replicas, reason, history: next };
}

export interface StatusFacts {
  readonly current: number;
  readonly desired: number;
  readonly metrics: readonly MetricStatus[];
  readonly rescaled: boolean;
  readonly nowMs: number;
}

export function planStatus(
  autoscaler: HorizontalPodAutoscaler,
  { current, desired, metrics, rescaled, nowMs }: StatusFacts,
  findings: Findings,
): HorizontalPodAutoscalerStatus {
  const lastScaleTime = rescaled ? formatTime(nowMs) : autoscaler.status?.lastScaleTime;
  return {
    ...(lastScaleTime === undefined ? {} : { lastScaleTime }),
    currentReplicas: current,
    desiredReplicas: desired,
    ...(metrics.length === 0 ? {} : { currentMetrics: [...metrics] }),
    conditions: findings.conditions,
  };
}
