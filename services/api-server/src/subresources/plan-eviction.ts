// Whether a pod may be evicted now, and what its disruption budget has to say of it. Pure. The wording is upstream's.
// https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
import type { Pod, PodDisruptionBudget } from "@coxswain/api";
import { formatTime, labelSelectorAsSelector, newForbidden, StatusError } from "@coxswain/apimachinery";

const BUDGETS = { group: "policy", resource: "poddisruptionbudgets" };
const MAX_DISRUPTED_PODS = 2_000;
const STILL_PROCESSED_RETRY_S = 10;
const SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

const conditionOf = <T extends { type: string }>(list: readonly T[] | undefined, type: string): T | undefined =>
  list?.find((condition) => condition.type === type);

/** Pods that no budget protects: they have ended, have not begun, or are on their way out. */
export function ignoresBudgets({ metadata, status }: Pod): boolean {
  const phase = status?.phase ?? "";
  return ["Succeeded", "Failed", "Pending"].includes(phase) || metadata?.deletionTimestamp !== undefined;
}

/** True where the pod has yet to begin, and may. */
export function mayBegin({ metadata, status }: Pod): boolean {
  return status?.phase === "Pending" && metadata?.deletionTimestamp === undefined;
}

/** The budget that holds for the pod. Throws InternalError where several do. */
export function budgetOf(pod: Pod, budgets: readonly PodDisruptionBudget[]): PodDisruptionBudget | undefined {
  const matching = budgets.filter(
    ({ spec }) => spec?.selector !== undefined && labelSelectorAsSelector(spec.selector).matches(pod.metadata?.labels),
  );
  if (matching.length > 1) throw new StatusError("InternalError", 500, SEVERAL);
  return matching[0];
}

/** True where the pod is not ready and the budget's policy lets such pods go without counting them. */
export function isFreeToGo(pod: Pod, { spec, status }: PodDisruptionBudget): boolean {
  if (conditionOf(pod.status?.conditions, "Ready")?.status === "True") return false;
  if (spec?.unhealthyPodEvictionPolicy === "AlwaysAllow") return true;
  const desired = status?.desiredHealthy ?? 0;
  return desired > 0 && (status?.currentHealthy ?? 0) >= desired;
}

function tooMany(cause: string, retryAfterSeconds: number): StatusError {
  const message = "Cannot evict pod as it would violate the pod's disruption budget.";
  const retry = retryAfterSeconds > 0 ? { retryAfterSeconds } : {};
  return new StatusError("TooManyRequests", 429, message, {
    ...retry,
    causes: [{ reason: "DisruptionBudget", message: cause }],
  });
}

function exhausted({ metadata, status }: PodDisruptionBudget): StatusError {
  const name = metadata?.name ?? "";
  const { currentHealthy = 0, desiredHealthy = 0, conditions } = status ?? {};
  const allowed = conditionOf(conditions, "DisruptionAllowed");
  const refused = `The disruption budget ${name} does not allow evicting pods currently`;
  const why = allowed?.status === "False" ? (allowed.message ?? "") : "";
  // What a budget that could not be looked at says of its pods is not to be trusted.
  if (why !== "" && allowed?.reason === "SyncFailed") return tooMany(`${refused} because it failed sync: ${why}`, 0);
  if (currentHealthy <= desiredHealthy) {
    return tooMany(
      `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`,
      0,
    );
  }
  return tooMany(why === "" ? refused : `${refused} (${allowed?.reason ?? ""}): ${why}`, 0);
}

/** The budget with the pod's eviction counted. Throws TooManyRequests, or Forbidden where its status makes no sense. */
export function countEviction(budget: PodDisruptionBudget, podName: string, nowMs: number): PodDisruptionBudget {
  const { metadata, status } = budget;
  const name = metadata?.name ?? "";
  if ((status?.observedGeneration ?? 0) < (metadata?.generation ?? 0)) {
    throw tooMany(`The disruption budget ${name} is still being processed by the server.`, STILL_PROCESSED_RETRY_S);
  }
  const allowed = status?.disruptionsAllowed ?? 0;
  if (allowed < 0) throw newForbidden(BUDGETS, name, "pdb disruptions allowed is negative");
  if (Object.keys(status?.disruptedPods ?? {}).length > MAX_DISRUPTED_PODS) {
    throw newForbidden(BUDGETS, name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
  }
  if (allowed === 0) throw exhausted(budget);
  const now = formatTime(nowMs);
  const left = allowed - 1;
  const conditions = (status?.conditions ?? []).map((condition) =>
    left === 0 && condition.type === "DisruptionAllowed"
      ? { ...condition, status: "False", reason: "InsufficientPods", lastTransitionTime: now }
      : condition,
  );
  const disruptedPods = { ...status?.disruptedPods, [podName]: now };
  return { ...budget, status: { ...status!, disruptionsAllowed: left, disruptedPods, conditions } };
}
