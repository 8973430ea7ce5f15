// What a disruption budget allows at the moment. Pure. The rules are the disruption controller's of upstream:
// https://kubernetes.io/docs/tasks/run-application/configure-pdb/
import type { Pod, PodDisruptionBudget } from "@coxswain/api";
import { formatTime, parseTime } from "@coxswain/apimachinery";
import { scaled } from "../deployment/limits.ts";
import { isPodReady } from "../pods/pod-state.ts";

/** How long an evicted pod may stay before it counts as there again. */
export const DELETION_TIMEOUT_MS = 2 * 60_000;

export interface BudgetFacts {
  readonly nowMs: number;
  /** Pods that the selector matches. */
  readonly pods: readonly Pod[];
  /** Replicas that the owners of those pods want, all together; or why that is not known. */
  readonly expectedScale: number | { readonly failure: string };
}

export interface BudgetPlan {
  readonly status: NonNullable<PodDisruptionBudget["status"]>;
  /** When to look again because an evicted pod may not have gone by then. */
  readonly recheckInMs: number | undefined;
  /** Pods that were evicted and are still there. */
  readonly notDeleted: readonly string[];
}

type Status = BudgetPlan["status"];
type Condition = NonNullable<Status["conditions"]>[number];

interface Wanted {
  readonly expectedPods: number;
  readonly desiredHealthy: number;
}

/** Says why where the number of replicas is needed and not known. */
function wanted({ spec }: PodDisruptionBudget, { pods, expectedScale }: BudgetFacts): Wanted | { failure: string } {
  const { maxUnavailable, minAvailable } = spec ?? {};
  if (maxUnavailable === undefined && typeof minAvailable !== "string") {
    return { expectedPods: pods.length, desiredHealthy: minAvailable ?? 0 };
  }
  if (typeof expectedScale !== "number") return expectedScale;
  if (maxUnavailable === undefined) {
    return { expectedPods: expectedScale, desiredHealthy: scaled(minAvailable, expectedScale, Math.ceil) };
  }
  const away = scaled(maxUnavailable, expectedScale, Math.ceil);
  return { expectedPods: expectedScale, desiredHealthy: Math.max(0, expectedScale - away) };
}

function disrupted(budget: PodDisruptionBudget, { pods, nowMs }: BudgetFacts) {
  const there = new Map(pods.map((pod) => [pod.metadata?.name ?? "", pod]));
  const kept: Record<string, string> = {};
  const notDeleted: string[] = [];
  let recheckInMs: number | undefined;
  for (const [name, time] of Object.entries(budget.status?.disruptedPods ?? {})) {
    const pod = there.get(name);
    if (pod === undefined || pod.metadata?.deletionTimestamp !== undefined) continue;
    const leftMs = (parseTime(time) ?? 0) + DELETION_TIMEOUT_MS - nowMs;
    if (leftMs < 0) notDeleted.push(name);
    else {
      kept[name] = time;
      recheckInMs = Math.min(recheckInMs ?? leftMs, leftMs);
    }
  }
  return { kept, notDeleted, recheckInMs };
}

function withCondition(
  budget: PodDisruptionBudget,
  next: Pick<Condition, "status" | "reason" | "message">,
  nowMs: number,
): Condition[] {
  const before = budget.status?.conditions ?? [];
  const old = before.find(({ type }) => type === "DisruptionAllowed");
  const lastTransitionTime = old?.status === next.status ? old.lastTransitionTime : formatTime(nowMs);
  const observedGeneration = budget.metadata?.generation ?? 0;
  const condition = { type: "DisruptionAllowed", ...next, observedGeneration, lastTransitionTime };
  return [...before.filter(({ type }) => type !== "DisruptionAllowed"), condition];
}

/** Nothing may be disrupted while it is not known how much may. */
function failed(budget: PodDisruptionBudget, failure: string, nowMs: number): Status {
  const conditions = withCondition(budget, { status: "False", reason: "SyncFailed", message: failure }, nowMs);
  const none = { currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 };
  return { ...none, ...budget.status, disruptionsAllowed: 0, conditions };
}

/** The budget's status as it has to be. */
export function planBudget(budget: PodDisruptionBudget, facts: BudgetFacts): BudgetPlan {
  const { kept, notDeleted, recheckInMs } = disrupted(budget, facts);
  const want = wanted(budget, facts);
  if ("failure" in want) {
    return { status: failed(budget, want.failure, facts.nowMs), recheckInMs: undefined, notDeleted: [] };
  }
  const healthy = (pod: Pod): boolean =>
    isPodReady(pod) && pod.metadata?.deletionTimestamp === undefined && !Object.hasOwn(kept, pod.metadata?.name ?? "");
  const currentHealthy = facts.pods.filter(healthy).length;
  const { expectedPods, desiredHealthy } = want;
  const disruptionsAllowed = expectedPods <= 0 ? 0 : Math.max(0, currentHealthy - desiredHealthy);
  const enough = disruptionsAllowed > 0;
  const verdict = {
    status: enough ? "True" : "False",
    reason: enough ? "SufficientPods" : "InsufficientPods",
    message: "",
  };
  const status: Status = {
    currentHealthy,
    desiredHealthy,
    expectedPods,
    disruptionsAllowed,
    observedGeneration: budget.metadata?.generation ?? 0,
    conditions: withCondition(budget, verdict, facts.nowMs),
    ...(Object.keys(kept).length === 0 ? {} : { disruptedPods: kept }),
  };
  return { status, recheckInMs, notDeleted };
}
