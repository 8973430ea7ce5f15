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
  /** Whether a budget selects any of the pods that might have had to leave. */
  readonly budgeted: boolean;
  /** What candidates are compared by. */
  readonly rank: Rank;
}

export interface Rank {
  readonly highest: number;
  readonly prioritySum: number;
  /** When the longest running of the most important victims started. */
  readonly earliestStart: string;
}

/** RFC 3339 in UTC, which sorts as text; a pod that has not started counts as starting now, later than all others. */
function startOf(info: PodInfo): string {
  return info.pod.status?.startTime ?? "~";
}

/** Negative where `a` is more important: of higher priority, or running for longer; among equals names decide. */
export function moreImportant(a: PodInfo, b: PodInfo): number {
  if (a.priority !== b.priority) return b.priority - a.priority;
  const [one, other] = [startOf(a), startOf(b)];
  if (one !== other) return one < other ? -1 : 1;
  return a.key < b.key ? -1 : 1;
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

/**
 * Splits pods, in their order, into those whose leaving would break a budget, and the others. `budgeted`: a budget selects
 * any of them.
 */
export function splitByBudgets(
  pods: readonly PodInfo[],
  budgets: ReadonlyMap<string, PodDisruptionBudget>,
): { violating: PodInfo[]; others: PodInfo[]; budgeted: boolean } {
  if (budgets.size === 0) return { violating: [], others: [...pods], budgeted: false };
  const all = [...budgets.values()].map(budgetOf);
  const violating: PodInfo[] = [];
  const others: PodInfo[] = [];
  let budgeted = false;
  for (const info of pods) {
    let breaks = false;
    for (const budget of all) {
      if (budget.namespace !== info.namespace || !budget.selects(info.labels)) continue;
      budgeted = true;
      // The api-server has counted its eviction already.
      if (Object.hasOwn(budget.disrupted, info.name)) continue;
      budget.left--;
      breaks ||= budget.left < 0;
    }
    (breaks ? violating : others).push(info);
  }
  return { violating, others, budgeted };
}

/** Makes every priority positive, so that few pods of a negative priority cost less than many. */
const PRIORITY_OFFSET = 2 ** 31;

/** `victims`: most important first. */
export function rankOf(victims: readonly PodInfo[]): Rank {
  const highest = victims[0]?.priority ?? 0;
  let prioritySum = 0;
  let earliestStart = "~";
  for (const victim of victims) {
    prioritySum += victim.priority + PRIORITY_OFFSET;
    if (victim.priority === highest && startOf(victim) < earliestStart) earliestStart = startOf(victim);
  }
  return { highest, prioritySum, earliestStart };
}

/**
 * Negative where `a` is better: fewer broken budgets; then less important victims, by the highest priority, the sum of
 * priorities, their number, the latest start.
 */
export function compareCandidates(a: Candidate, b: Candidate): number {
  const [one, other] = [a.rank, b.rank];
  const order =
    a.violations - b.violations ||
    one.highest - other.highest ||
    one.prioritySum - other.prioritySum ||
    a.victims.length - b.victims.length;
  if (order !== 0 || one.earliestStart === other.earliestStart) return order;
  return one.earliestStart > other.earliestStart ? -1 : 1;
}

/** The best candidate; among equals the first. */
export function pickCandidate(candidates: readonly Candidate[]): Candidate {
  return candidates.reduce((best, one) => (compareCandidates(one, best) < 0 ? one : best));
}
