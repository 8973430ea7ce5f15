// How many replicas a metric asks for: pure. Amounts are in thousandths, as the API's quantities are compared. Rules and wording
// of errors are upstream's.
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
import type { Container, Pod } from "@coxswain/api";
import { parseQuantity, parseTime } from "@coxswain/apimachinery";
import { isPodReady, podCondition } from "../pods/pod-state.ts";

export interface PodMetric {
  readonly value: number;
  readonly timestampMs: number;
  /** Over how long it was measured. */
  readonly windowMs: number;
}

/** By name of the pod. */
export type PodMetrics = ReadonlyMap<string, PodMetric>;

/** How far from the target use may be before anything changes: 0.1 is a tenth. */
export interface Tolerances {
  readonly up: number;
  readonly down: number;
}

export interface CalculatorFacts {
  /** Those that the target's selector selects. */
  readonly pods: readonly Pod[];
  readonly nowMs: number;
  readonly tolerances: Tolerances;
  /** How long after its start a pod's CPU may be that of its start alone. */
  readonly cpuInitializationMs: number;
  /** How long after its start a pod that becomes unready counts as one that never was ready. */
  readonly initialReadinessMs: number;
}

/** Why no number of replicas can be told. */
export class MetricError extends Error {
  override readonly name = "MetricError";
}

interface PodGroups {
  readonly readyCount: number;
  readonly unready: ReadonlySet<string>;
  readonly missing: ReadonlySet<string>;
  readonly ignored: ReadonlySet<string>;
}

const nameOf = (pod: Pod): string => pod.metadata?.name ?? "";

/** CPU of a pod that has only just started says nothing of its load. */
function cpuSaysNothing(pod: Pod, metric: PodMetric, facts: CalculatorFacts): boolean {
  const condition = podCondition(pod, "Ready");
  const startMs = parseTime(pod.status?.startTime);
  if (condition === undefined || startMs === undefined) return true;
  const changedMs = parseTime(condition.lastTransitionTime) ?? 0;
  const unready = condition.status === "False";
  if (startMs + facts.cpuInitializationMs > facts.nowMs) {
    return unready || metric.timestampMs < changedMs + metric.windowMs;
  }
  return unready && startMs + facts.initialReadinessMs > changedMs;
}

export function groupPods(metrics: PodMetrics, resource: string, facts: CalculatorFacts): PodGroups {
  const [unready, missing, ignored] = [new Set<string>(), new Set<string>(), new Set<string>()];
  let readyCount = 0;
  for (const pod of facts.pods) {
    const name = nameOf(pod);
    const phase = pod.status?.phase;
    const metric = metrics.get(name);
    if (pod.metadata?.deletionTimestamp !== undefined || phase === "Failed") ignored.add(name);
    else if (phase === "Pending") unready.add(name);
    else if (metric === undefined) missing.add(name);
    else if (resource === "cpu" && cpuSaysNothing(pod, metric, facts)) unready.add(name);
    else readyCount++;
  }
  return { readyCount, unready, missing, ignored };
}

function runsAlongside(container: Container): boolean {
  return container.restartPolicy === "Always";
}

/** What the containers of a pod request, or one of them. Throws MetricError where one requests nothing. */
function requestOf(pod: Pod, container: string, resource: string): number {
  const podLevel = pod.spec?.resources?.requests;
  if (container === "" && podLevel !== undefined && Object.keys(podLevel).length > 0) {
    const text = podLevel[resource];
    if (text !== undefined) return parseQuantity(text).milliValue();
  }
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? []).filter(runsAlongside)];
  let sum = 0;
  for (const one of containers) {
    if (container !== "" && one.name !== container) continue;
    const text = one.resources?.requests?.[resource];
    if (text === undefined) {
      throw new MetricError(`missing request for ${resource} in container ${one.name} of Pod ${nameOf(pod)}`);
    }
    sum += parseQuantity(text).milliValue();
  }
  return sum;
}

function podRequests(pods: readonly Pod[], container: string, resource: string): Map<string, number> {
  return new Map(pods.map((pod) => [nameOf(pod), requestOf(pod, container, resource)]));
}

function within(ratio: number, { up, down }: Tolerances): boolean {
  return 1 - down <= ratio && ratio <= 1 + up;
}

interface Utilization {
  readonly ratio: number;
  /** Percent of what is requested. */
  readonly utilization: number;
  /** The pods' average. */
  readonly average: number;
}

function utilizationOf(metrics: PodMetrics, requests: PodRequests, target: number): Utilization {
  let [used, requested, count] = [0, 0, 0];
  for (const [name, { value }] of metrics) {
    const request = requests.get(name);
    if (request === undefined) continue;
    used += value;
    requested += request;
    count++;
  }
  if (requested === 0) throw new MetricError("no metrics returned matched known pods");
  const utilization = Math.trunc((used * 100) / requested);
  return { ratio: utilization / target, utilization, average: Math.trunc(used / count) };
}

type PodRequests = ReadonlyMap<string, number>;

function averageOf(metrics: PodMetrics): number {
  let sum = 0;
  for (const { value } of metrics.values()) sum += value;
  return Math.trunc(sum / metrics.size);
}

/** The metrics of pods whose figures count, checked that there are any. */
function countingMetrics(metrics: PodMetrics, { unready, ignored }: PodGroups): Map<string, PodMetric> {
  const left = new Map([...metrics].filter(([name]) => !unready.has(name) && !ignored.has(name)));
  if (left.size === 0) throw new MetricError("did not receive metrics for targeted pods (pods might be unready)");
  return left;
}

function requirePods({ pods }: CalculatorFacts): void {
  if (pods.length === 0) throw new MetricError("no pods returned by selector while calculating replica count");
}

const assumed = (value: number): PodMetric => ({ value, timestampMs: 0, windowMs: 0 });

/** What is not known counts so that it holds back: missing pods as idle on the way up, as on target or full on the way down. */
function withAssumptions(
  metrics: ReadonlyMap<string, PodMetric>,
  groups: PodGroups,
  ratio: number,
  { full, idleOnTarget }: { full: (name: string) => number; idleOnTarget: boolean },
): Map<string, PodMetric> {
  const all = new Map(metrics);
  if (ratio < 1) for (const name of groups.missing) all.set(name, assumed(full(name)));
  else if (ratio > 1 || idleOnTarget) for (const name of groups.missing) all.set(name, assumed(0));
  if (ratio > 1) for (const name of groups.unready) all.set(name, assumed(0));
  return all;
}

interface Estimate {
  readonly current: number;
  readonly groups: PodGroups;
  readonly ratio: number;
  /** The metrics and the ratio with what is assumed of pods that are not known. */
  readonly again: () => { readonly ratio: number; readonly count: number };
  readonly tolerances: Tolerances;
}

function replicasFor({ current, groups, ratio, again, tolerances }: Estimate): number {
  const scalesUpWithUnready = groups.unready.size > 0 && ratio > 1;
  if (!scalesUpWithUnready && groups.missing.size === 0) {
    return within(ratio, tolerances) ? current : Math.ceil(ratio * groups.readyCount);
  }
  const next = again();
  const turned = (ratio < 1 && next.ratio > 1) || (ratio > 1 && next.ratio < 1);
  if (within(next.ratio, tolerances) || turned) return current;
  const replicas = Math.ceil(next.ratio * next.count);
  // More or fewer metrics than replicas must not turn the direction either.
  if ((next.ratio < 1 && replicas > current) || (next.ratio > 1 && replicas < current)) return current;
  return replicas;
}

export interface ResourceProposal {
  readonly replicas: number;
  /** Percent. */
  readonly utilization: number;
  readonly average: number;
}

/** By use as a share of what is requested; `container` "" is the whole pod. Throws MetricError. */
export function resourceReplicas(
  current: number,
  target: { readonly utilization: number; readonly resource: string; readonly container: string },
  metrics: PodMetrics,
  facts: CalculatorFacts,
): ResourceProposal {
  requirePods(facts);
  const { utilization: wanted, resource, container } = target;
  const groups = groupPods(metrics, resource, facts);
  const counting = countingMetrics(metrics, groups);
  const requests = podRequests(facts.pods, container, resource);
  const { ratio, utilization, average } = utilizationOf(counting, requests, wanted);
  const full = (name: string): number => Math.trunc(((requests.get(name) ?? 0) * Math.max(100, wanted)) / 100);
  const again = (): { ratio: number; count: number } => {
    const all = withAssumptions(counting, groups, ratio, { full, idleOnTarget: false });
    return { ratio: utilizationOf(all, requests, wanted).ratio, count: all.size };
  };
  const replicas = replicasFor({ current, groups, ratio, again, tolerances: facts.tolerances });
  return { replicas, utilization, average };
}

export interface UsageProposal {
  readonly replicas: number;
  readonly usage: number;
}

/** By the pods' average of an amount; `resource` is "" for what is no resource. Throws MetricError. */
export function averageReplicas(
  current: number,
  target: { readonly usage: number; readonly resource: string },
  metrics: PodMetrics,
  facts: CalculatorFacts,
): UsageProposal {
  requirePods(facts);
  const groups = groupPods(metrics, target.resource, facts);
  const counting = countingMetrics(metrics, groups);
  const usage = averageOf(counting);
  const ratio = usage / target.usage;
  const again = (): { ratio: number; count: number } => {
    const all = withAssumptions(counting, groups, ratio, { full: () => target.usage, idleOnTarget: true });
    return { ratio: averageOf(all) / target.usage, count: all.size };
  };
  return { replicas: replicasFor({ current, groups, ratio, again, tolerances: facts.tolerances }), usage };
}

/** By one amount for all; from 0 replicas it goes up by the amount alone. Throws MetricError. */
export function valueReplicas(current: number, target: number, usage: number, facts: CalculatorFacts): number {
  const ratio = usage / target;
  if (current === 0) return Math.ceil(ratio);
  if (within(ratio, facts.tolerances)) return current;
  if (facts.pods.length === 0) {
    throw new MetricError(
      "unable to calculate ready pods: no pods returned by selector while calculating replica count",
    );
  }
  const ready = facts.pods.filter((pod) => pod.status?.phase === "Running" && isPodReady(pod)).length;
  return Math.ceil(ratio * ready);
}

/** By one amount that replicas share. */
export function sharedReplicas(
  statusReplicas: number,
  target: number,
  usage: number,
  tolerances: Tolerances,
): UsageProposal {
  const ratio = usage / (target * statusReplicas);
  const replicas = within(ratio, tolerances) ? statusReplicas : Math.ceil(usage / target);
  return { replicas, usage: statusReplicas === 0 ? 0 : Math.ceil(usage / statusReplicas) };
}
