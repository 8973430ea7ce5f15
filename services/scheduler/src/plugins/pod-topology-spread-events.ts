// What may make a pod schedulable that its spread constraints turned down.
import type { Node, Pod, TopologySpreadConstraint } from "@coxswain/api";
import type { PodInfo } from "../pod-info.ts";
import type { ClusterEvent, EventRegistration } from "../queue/cluster-event.ts";
import { compileLabelSelector } from "./label-matcher.ts";

function hardConstraints(waiting: PodInfo): TopologySpreadConstraint[] {
  return (waiting.pod.spec?.topologySpreadConstraints ?? []).filter((one) => one.whenUnsatisfiable === "DoNotSchedule");
}

/** Another pod came, went, or changed its labels: it helps where a constraint counts it (or counted it). */
function podHelps(waiting: PodInfo, { pod, oldPod }: ClusterEvent): boolean {
  const other = pod ?? oldPod;
  if (other?.metadata?.namespace !== waiting.namespace) return false;
  const constraints = hardConstraints(waiting);
  // Turned down by default constraints: which pods they count is not known here.
  if (constraints.length === 0) return true;
  const counted = (one: TopologySpreadConstraint, which: Pod | undefined): boolean =>
    which !== undefined && compileLabelSelector(one.labelSelector).matches(which.metadata?.labels ?? {});
  return constraints.some((one) => counted(one, pod) !== counted(one, oldPod));
}

/** A node joined, left, or is in other domains: it helps where it has all the labels, or had them. */
function nodeHelps(waiting: PodInfo, { node, oldNode }: ClusterEvent): boolean {
  const keys = hardConstraints(waiting).map((one) => one.topologyKey);
  const labels = (one: Node | undefined): (string | undefined)[] => keys.map((key) => one?.metadata?.labels?.[key]);
  const complete = (one: Node | undefined): boolean =>
    one !== undefined && labels(one).every((value) => value !== undefined);
  if (node !== undefined && oldNode !== undefined) {
    // Taints may decide which nodes count.
    if (JSON.stringify(labels(node)) === JSON.stringify(labels(oldNode))) return complete(node);
    return complete(node) || complete(oldNode);
  }
  return complete(node ?? oldNode);
}

export const spreadEvents: readonly EventRegistration[] = [
  { resource: "AssignedPod", actions: ["Add", "Delete", "UpdatePodLabel"], hint: podHelps },
  { resource: "Node", actions: ["Add", "Delete", "UpdateNodeLabel", "UpdateNodeTaint"], hint: nodeHelps },
  { resource: "TargetPod", actions: ["UpdatePodLabel"] },
];
