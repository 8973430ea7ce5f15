// Taints that keep pods off nodes. https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
import type { Node, Pod } from "@coxswain/api";
import { untolerated } from "@coxswain/api/core-v1/node-match";

/** The effects that keep a pod off a node. */
export const HARD_EFFECTS: readonly string[] = ["NoSchedule", "NoExecute"];

export function podTolerates(pod: Pod, node: Node): boolean {
  return untolerated(node.spec?.taints ?? [], pod.spec?.tolerations ?? [], HARD_EFFECTS) === undefined;
}
