// Pods that nobody else will take away. Pure.
import type { Node, Pod } from "@coxswain/api";
import { parseTime } from "@coxswain/apimachinery";
import { isNodeReady } from "../node-lifecycle/plan.ts";
import { isPodTerminal } from "../pods/pod-state.ts";

export interface PodGcPlan {
  /** Ended pods beyond the threshold: those that were evicted first, then the oldest. */
  readonly terminated: Pod[];
  /** Being deleted, and bound to no node that could end them. */
  readonly unscheduled: Pod[];
  /** Being deleted on a node that a person has declared out of service, and that is not ready. */
  readonly outOfService: Pod[];
  /** Bound to a node that the cache does not know; whether it is gone has to be verified. */
  readonly orphaned: Pod[];
}

/** The taint by which an administrator says that a node is down and its pods and volumes may go. */
export const OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";

function compareEnded(a: Pod, b: Pod): number {
  const evicted = (pod: Pod): number => (pod.status?.phase === "Failed" && pod.status.reason === "Evicted" ? 0 : 1);
  const created = (pod: Pod): number => parseTime(pod.metadata?.creationTimestamp) ?? 0;
  const byName = (a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1;
  return evicted(a) - evicted(b) || created(a) - created(b) || byName;
}

/** `threshold` 0 or less keeps all ended pods; `nodes` by their names. */
export function planPodGc(pods: readonly Pod[], nodes: ReadonlyMap<string, Node>, threshold: number): PodGcPlan {
  const ended = pods.filter(isPodTerminal);
  const surplus = threshold > 0 ? Math.max(0, ended.length - threshold) : 0;
  const name = (pod: Pod): string => pod.spec?.nodeName ?? "";
  const isGivenUp = (node: Node | undefined): boolean =>
    node !== undefined && !isNodeReady(node) && (node.spec?.taints ?? []).some(({ key }) => key === OUT_OF_SERVICE);
  const deleting = pods.filter((pod) => pod.metadata?.deletionTimestamp !== undefined);
  return {
    terminated: surplus === 0 ? [] : ended.toSorted(compareEnded).slice(0, surplus),
    unscheduled: deleting.filter((pod) => name(pod) === ""),
    outOfService: deleting.filter((pod) => isGivenUp(nodes.get(name(pod)))),
    orphaned: pods.filter((pod) => name(pod) !== "" && !nodes.has(name(pod))),
  };
}
