// Nodes where pods could be preempted: who is more important, whom a budget protects, and which node is the best.
// https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
import type { PodDisruptionBudget } from "@coxswain/api";
import type { PodInfo } from "../pod-info.ts";
import { compileLabelSelector, type LabelMatcher } from "./label-matcher.ts";

export interface Candidate {
  readonly row: number;
  readonly node: string;
  /** Most important first. */
  readonly victims: readonly PodInfo[];
  /** Victims whose budgets allow no more disruptions. */
  readonly violations: number;
}

/** RFC 3339 in UTC, which sorts as text; a pod that has not started counts as starting now, later than all others. */
function startOf(info: PodInfo): string {
  return info.pod.status?.startTime ?? "~";
}

/** Negative where `a` is more important: of higher priority, or running for longer. */
export function moreImportant(a: PodInfo, b: PodInfo): number {
  if (a.priority !== b.priority) return b.priority - a.priority;
  const [one, other] = [startOf(a), startOf(b)];
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Being deleted because of an earlier preemption. */
export function isPreempted(info: PodInfo): boolean {
  if (!info.terminating) return false;
  const condition = info.pod.status?.conditions?.find((one) => one.type === "DisruptionTarget");
  return condition?.status === "True" && condition.reason === "PreemptionByScheduler";
}

interface Budget {
  readonly namespace: string;
  readonly disrupted: Readonly<Record<string, unknown>>;
  readonly selects: (labels: Readonly<Record<string, string>>) => boolean;
  left: number;
}

const matchers = new WeakMap<PodDisruptionBudget, LabelMatcher>();

/** A budget without a selector, or with an empty one, protects nobody here. */
function matcherOf(budget: PodDisruptionBudget): LabelMatcher {
  const selector = budget.spec?.selector;
  const says = Object.keys(selector?.matchLabels ?? {}).length + (selector?.matchExpressions?.length ?? 0);
  const matcher = matchers.get(budget) ?? compileLabelSelector(says === 0 ? undefined : selector);
  matchers.set(budget, matcher);
  return matcher;
}

function budgetOf(budget: PodDisruptionBudget): Budget {
  const { metadata, status } = budget;
  const matcher = matcherOf(budget);
  return {
    namespace: metadata?.namespace ?? "",
    disrupted: status?.disruptedPods ?? {},
    selects: (labels) => matcher.matches(labels),
    left: status?.disruptionsAllowed ?? 0,
  };
}

/** Splits pods, in their order, into those whose leaving would break a budget, and the others. */
export function splitByBudgets(
  pods: readonly PodInfo[],
  budgets: ReadonlyMap<string, PodDisruptionBudget>,
): { violating: PodInfo[]; others: PodInfo[] } {
  if (budgets.size === 0) return { violating: [], others: [...pods] };
  const all = [...budgets.values()].map(budgetOf);
  const violating: PodInfo[] = [];
  const others: PodInfo[] = [];
  for (const info of pods) {
    let breaks = false;
    for (const budget of all) {
      if (budget.namespace !== info.namespace || !budget.selects(info.labels)) continue;
      // The api-server has counted its eviction already.
      if (Object.hasOwn(budget.disrupted, info.name)) continue;
      budget.left--;
      breaks ||= budget.left < 0;
    }
    (breaks ? violating : others).push(info);
  }
  return { violating, others };
}

/** Makes every priority positive, so that few pods of a negative priority cost less than many. */
const PRIORITY_OFFSET = 2 ** 31;

/** When the longest running of the most important victims started. */
function earliestStart({ victims }: Candidate): string {
  const [first] = victims;
  let earliest = startOf(first!);
  for (const victim of victims) {
    if (victim.priority === first!.priority && startOf(victim) < earliest) earliest = startOf(victim);
  }
  return earliest;
}

const ORDER: readonly ((a: Candidate, b: Candidate) => number)[] = [
  (a, b) => a.violations - b.violations,
  (a, b) => a.victims[0]!.priority - b.victims[0]!.priority,
  (a, b) => prioritySum(a) - prioritySum(b),
  (a, b) => a.victims.length - b.victims.length,
  (a, b) => (earliestStart(a) > earliestStart(b) ? -1 : earliestStart(a) < earliestStart(b) ? 1 : 0),
];

function prioritySum({ victims }: Candidate): number {
  let sum = 0;
  for (const victim of victims) sum += victim.priority + PRIORITY_OFFSET;
  return sum;
}

/**
 * Negative where `a` is better: fewer broken budgets; then less important victims, by the highest priority, the sum of
 * priorities, their number, the latest start.
 */
export function compareCandidates(a: Candidate, b: Candidate): number {
  for (const compare of ORDER) {
    const order = compare(a, b);
    if (order !== 0) return order;
  }
  return 0;
}

/** The best candidate; among equals the first. */
export function pickCandidate(candidates: readonly Candidate[]): Candidate {
  return candidates.reduce((best, one) => (compareCandidates(one, best) < 0 ? one : best));
}
