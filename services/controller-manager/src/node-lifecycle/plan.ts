// Health and taints of nodes. Pure. https://kubernetes.io/docs/concepts/architecture/nodes/
import type { Node, NodeCondition, Pod, Taint, Toleration } from "@coxswain/api";
import { tolerates } from "@coxswain/api/core-v1/node-match";
import { formatTime, parseTime } from "@coxswain/apimachinery";

export const NOT_READY = "node.kubernetes.io/not-ready";
export const UNREACHABLE = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE = "node.kubernetes.io/unschedulable";

/** Taints that follow from a condition's status; they keep new pods away. */
const CONDITION_TAINTS: readonly (readonly [type: string, status: string, taint: string])[] = [
  ["Ready", "False", NOT_READY],
  ["Ready", "Unknown", UNREACHABLE],
  ["MemoryPressure", "True", "node.kubernetes.io/memory-pressure"],
  ["DiskPressure", "True", "node.kubernetes.io/disk-pressure"],
  ["PIDPressure", "True", "node.kubernetes.io/pid-pressure"],
  ["NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"],
];
const OWN_KEYS: ReadonlySet<string> = new Set([...CONDITION_TAINTS.map(([, , key]) => key), UNSCHEDULABLE]);
const KUBELET_CONDITIONS = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] as const;

export function nodeCondition(node: Node, type: string): NodeCondition | undefined {
  return node.status?.conditions?.find((condition) => condition.type === type);
}

export function isNodeReady(node: Node): boolean {
  return nodeCondition(node, "Ready")?.status === "True";
}

/** The conditions that a node which has gone silent should have; none where they are right already. */
export function planSilentNode(node: Node, nowMs: number): NodeCondition[] {
  const time = formatTime(nowMs);
  return KUBELET_CONDITIONS.flatMap((type): NodeCondition[] => {
    const known = nodeCondition(node, type);
    if (known?.status === "Unknown") return [];
    const told = { type, status: "Unknown", lastTransitionTime: time };
    if (known === undefined) {
      const lastHeartbeatTime = node.metadata?.creationTimestamp ?? time;
      const message = "Kubelet never posted node status.";
      return [{ ...told, lastHeartbeatTime, reason: "NodeStatusNeverUpdated", message }];
    }
    const message = "Kubelet stopped posting node status.";
    return [{ ...known, ...told, reason: "NodeStatusUnknown", message }];
  });
}

/** Ms until the node counts as silent; 0 where it does. `seenMs` is when it was last heard of. */
export function silentInMs(seenMs: number, graceMs: number, nowMs: number): number {
  return Math.max(0, seenMs + graceMs - nowMs);
}

/** How pods are driven off nodes, given all nodes of the cluster. */
export interface DisruptionState {
  /** No node is ready: more likely the control plane is cut off than all nodes dead, so nobody is driven off. */
  readonly full: boolean;
  readonly ready: number;
  readonly notReady: number;
}

export function disruptionOf(nodes: readonly Node[]): DisruptionState {
  const ready = nodes.filter(isNodeReady).length;
  return { full: nodes.length > 0 && ready === 0, ready, notReady: nodes.length - ready };
}

/** Ms between two nodes that pods are driven off; undefined where none should be. */
export function evictionIntervalMs(state: DisruptionState): number | undefined {
  if (state.full) return undefined;
  const partial = state.notReady > 2 && state.notReady / (state.ready + state.notReady) >= 0.55;
  if (!partial) return 10_000;
  return state.ready + state.notReady > 50 ? 100_000 : undefined;
}

/**
 * The taints that the node should have; undefined where it has them. With `evict`, pods that do not tolerate a node
 * without a ready kubelet are to leave; with "keep", what was decided before stands.
 */
export function planTaints(node: Node, evict: boolean | "keep", nowMs: number): Taint[] | undefined {
  const wanted: Taint[] = CONDITION_TAINTS.filter(([type, status]) => nodeCondition(node, type)?.status === status).map(
    ([, , key]) => ({ key, effect: "NoSchedule" }),
  );
  if (node.spec?.unschedulable === true) wanted.push({ key: UNSCHEDULABLE, effect: "NoSchedule" });
  const present = node.spec?.taints ?? [];
  const has = (key: string, effect: string): boolean => present.some((one) => one.key === key && one.effect === effect);
  const status = nodeCondition(node, "Ready")?.status;
  const key = status === "False" ? NOT_READY : status === "Unknown" ? UNREACHABLE : undefined;
  const tainted = has(NOT_READY, "NoExecute") || has(UNREACHABLE, "NoExecute");
  if (key !== undefined && (evict === true || (evict === "keep" && tainted))) wanted.push({ key, effect: "NoExecute" });
  const isOwn = (taint: Taint): boolean =>
    OWN_KEYS.has(taint.key) &&
    (taint.effect === "NoSchedule" ||
      (taint.effect === "NoExecute" && (taint.key === NOT_READY || taint.key === UNREACHABLE)));
  const missing = wanted.filter((taint) => !has(taint.key, taint.effect));
  const kept = present.filter(
    (taint) => !isOwn(taint) || wanted.some((one) => one.key === taint.key && one.effect === taint.effect),
  );
  if (missing.length === 0 && kept.length === present.length) return undefined;
  return [...kept, ...missing.map((taint) => ({ ...taint, timeAdded: formatTime(nowMs) }))];
}

/** When the pod has to leave its node: ms since the epoch, at once where 0; undefined where it may stay. */
export function planEviction(pod: Pod, node: Node, nowMs: number): number | undefined {
  const taints = (node.spec?.taints ?? []).filter((taint) => taint.effect === "NoExecute");
  if (taints.length === 0) return undefined;
  const used: Toleration[] = [];
  for (const taint of taints) {
    const toleration = (pod.spec?.tolerations ?? []).find((one) => tolerates(one, taint));
    if (toleration === undefined) return 0;
    used.push(toleration);
  }
  const seconds = used.map((one) => one.tolerationSeconds).filter((one) => one !== undefined);
  if (seconds.length === 0) return undefined;
  const shortest = Math.min(...seconds);
  if (shortest <= 0) return 0;
  const since = Math.max(...taints.map((taint) => parseTime(taint.timeAdded) ?? nowMs));
  return since + shortest * 1000;
}
