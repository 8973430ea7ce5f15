// Pods that nobody else will take away. Pure.
import type { Pod } from "@coxswain/api";
import { parseTime } from "@coxswain/apimachinery";
import { isPodTerminal } from "../pods/pod-state.ts";

export interface PodGcPlan {
  /** Ended pods beyond the threshold, oldest first. */
  readonly terminated: Pod[];
  /** Being deleted, and bound to no node that could end them. */
  readonly unscheduled: Pod[];
  /** Bound to a node that the cache does not know; whether it is gone has to be verified. */
  readonly orphaned: Pod[];
}

/** `threshold` 0 or less keeps all ended pods. */
export function planPodGc(pods: readonly Pod[], nodes: ReadonlySet<string>, threshold: number): PodGcPlan {
  const created = (pod: Pod): number => parseTime(pod.metadata?.creationTimestamp) ?? 0;
  const ended = pods.filter(isPodTerminal);
  const surplus = threshold > 0 ? Math.max(0, ended.length - threshold) : 0;
  const node = (pod: Pod): string => pod.spec?.nodeName ?? "";
  return {
    terminated: surplus === 0 ? [] : ended.toSorted((a, b) => created(a) - created(b)).slice(0, surplus),
    unscheduled: pods.filter((pod) => pod.metadata?.deletionTimestamp !== undefined && node(pod) === ""),
    orphaned: pods.filter((pod) => node(pod) !== "" && !nodes.has(node(pod))),
  };
}
