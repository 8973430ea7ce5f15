// Which pods go first when there are too many: the least useful ones. The rules come one after the other; the first that
// tells two pods apart decides. https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset
import type { Pod } from "@coxswain/api";
import { parseTime } from "@coxswain/apimachinery";
import { isPodReady, readySinceMs } from "./pod-state.ts";

const DELETION_COST = "controller.kubernetes.io/pod-deletion-cost";
const PHASE_ORDER: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

export interface RankedPod {
  readonly pod: Pod;
  /** How many pods of the same workload share its node. */
  readonly rank: number;
}

function deletionCost(pod: Pod): number {
  const text = pod.metadata?.annotations?.[DELETION_COST] ?? "";
  return /^-?\d{1,10}$/.test(text) ? Number(text) : 0;
}

function restarts(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((status) => status.restartCount));
}

/** Ages of about the same size count as equal, so that chance spreads the deletions. */
function compareAges(aMs: number, bMs: number, nowMs: number, a: Pod, b: Pod): number {
  const scale = (sinceMs: number): number => {
    const age = nowMs - sinceMs;
    return age <= 0 ? -1 : Math.floor(Math.log2(age * 1e6));
  };
  const difference = scale(aMs) - scale(bMs);
  return difference !== 0 ? difference : (a.metadata?.uid ?? "") < (b.metadata?.uid ?? "") ? -1 : 1;
}

/** Negative where `a` should go before `b`. */
export function compareForDeletion(a: RankedPod, b: RankedPod, nowMs: number): number {
  const [x, y] = [a.pod, b.pod];
  const assigned = Number(Boolean(x.spec?.nodeName)) - Number(Boolean(y.spec?.nodeName));
  if (assigned !== 0) return assigned;
  const phase = (PHASE_ORDER[x.status?.phase ?? ""] ?? 0) - (PHASE_ORDER[y.status?.phase ?? ""] ?? 0);
  if (phase !== 0) return phase;
  const ready = Number(isPodReady(x)) - Number(isPodReady(y));
  if (ready !== 0) return ready;
  const cost = deletionCost(x) - deletionCost(y);
  if (cost !== 0) return cost;
  if (a.rank !== b.rank) return b.rank - a.rank;
  const [since, otherSince] = [readySinceMs(x), readySinceMs(y)];
  if (since !== undefined && otherSince !== undefined && since !== otherSince) {
    return compareAges(since, otherSince, nowMs, x, y);
  }
  const restarted = restarts(y) - restarts(x);
  if (restarted !== 0) return restarted;
  const created = (pod: Pod): number => parseTime(pod.metadata?.creationTimestamp) ?? 0;
  if (created(x) !== created(y)) return compareAges(created(x), created(y), nowMs, x, y);
  return (x.metadata?.uid ?? "") < (y.metadata?.uid ?? "") ? -1 : 1;
}

/** The `count` pods to delete. `related` are all active pods of the same workload; they decide how crowded a node is. */
export function choosePodsToDelete(pods: readonly Pod[], related: readonly Pod[], count: number, nowMs: number): Pod[] {
  if (count >= pods.length) return [...pods];
  const onNode = new Map<string, number>();
  for (const pod of related) {
    const node = pod.spec?.nodeName ?? "";
    if (node !== "") onNode.set(node, (onNode.get(node) ?? 0) + 1);
  }
  return pods
    .map((pod) => ({ pod, rank: onNode.get(pod.spec?.nodeName ?? "") ?? 0 }))
    .toSorted((a, b) => compareForDeletion(a, b, nowMs))
    .slice(0, count)
    .map(({ pod }) => pod);
}
