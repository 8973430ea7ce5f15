// Which pods ask for a node: pure.
import type { Pod } from "@coxswain/api";
import type { AutoscalerOptions } from "./options.ts";
import { isDaemonPod, isOver, podKey, requestsOf } from "./pod-facts.ts";

/** More pods than that are looked at in the next scan. */
const MOST = 1_000;

type Options = Pick<AutoscalerOptions, "newPodScaleUpDelayMs" | "expendablePodsPriorityCutoff">;

/**
 * Pods that the scheduler has found no node for, and that no preemption is making room for; those that belong to a node of
 * their own, and those that may starve, are left out. The largest first, so that they are placed before small ones fill gaps.
 */
export function unschedulablePods(pods: readonly Pod[], options: Options, nowMs: number): Pod[] {
  const asking = pods.filter((pod) => asksForNode(pod, options, nowMs));
  const size = new Map(asking.map((pod) => [pod, requestsOf(pod)]));
  return asking
    .toSorted((a, b) => {
      const [left, right] = [size.get(a)!, size.get(b)!];
      return (
        right.cpuMillis - left.cpuMillis || right.memoryBytes - left.memoryBytes || (podKey(a) < podKey(b) ? -1 : 1)
      );
    })
    .slice(0, MOST);
}

function asksForNode(pod: Pod, options: Options, nowMs: number): boolean {
  const { metadata, spec, status } = pod;
  if (spec?.nodeName || metadata?.deletionTimestamp !== undefined || isOver(pod) || isDaemonPod(pod)) return false;
  if (status?.nominatedNodeName) return false;
  if ((spec?.priority ?? 0) < options.expendablePodsPriorityCutoff) return false;
  const born = Date.parse(metadata?.creationTimestamp ?? "");
  if (nowMs - born < options.newPodScaleUpDelayMs) return false;
  return (
    status?.conditions?.some(
      ({ type, status: value, reason }) => type === "PodScheduled" && value === "False" && reason === "Unschedulable",
    ) ?? false
  );
}
