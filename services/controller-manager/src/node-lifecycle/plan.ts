// Health and taints of nodes. Pure. https://kubernetes.io/docs/concepts/architecture/nodes/
import type { Node, NodeCondition, Pod, Taint, Toleration } from "@coxswain/api";
import { tolerates } from "@coxswain/api/core-v1/node-match";
import { formatTime, parseTime } from "@coxswain/apimachinery";

export const NOT_READY = "node.kubernetes.io/not-ready";
export const UNREACHABLE = "node.kubernetes.io/unreachable";
const EXCLUDED = "node.kubernetes.io/exclude-disruption";
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

/** How fast pods are driven off nodes that are not ready. */
export interface EvictionRates {
  /** Nodes a second in a zone, while most of it is healthy. */
  readonly nodeEvictionRate: number;
  /** Nodes a second in a large zone of which much is unhealthy; a small one is left alone then. */
  readonly secondaryNodeEvictionRate: number;
  /** The share of a zone's nodes from which it counts as unhealthy; at least three nodes it takes. */
  readonly unhealthyZoneThreshold: number;
  /** A zone with more nodes is large. */
  readonly largeClusterSizeThreshold: number;
}

export interface ZoneHealth {
  readonly ready: number;
  readonly notReady: number;
}

/** The zone of a node: its region and its zone; one of their own have nodes without any. */
export function zoneOf(node: Node): string {
  const labels = node.metadata?.labels ?? {};
  const region = labels["topology.kubernetes.io/region"] ?? labels["failure-domain.beta.kubernetes.io/region"] ?? "";
  const zone = labels["topology.kubernetes.io/zone"] ?? labels["failure-domain.beta.kubernetes.io/zone"] ?? "";
  return region === "" && zone === "" ? "" : `${region}:\0:${zone}`;
}

/** Nodes that an administrator excludes say nothing of their zone. */
export function healthOf(nodes: readonly Node[]): Map<string, ZoneHealth> {
  const zones = new Map<string, { ready: number; notReady: number }>();
  for (const node of nodes) {
    if (node.metadata?.labels?.[EXCLUDED] !== undefined) continue;
    const zone = zoneOf(node);
    let health = zones.get(zone);
    if (health === undefined) zones.set(zone, (health = { ready: 0, notReady: 0 }));
    if (isNodeReady(node)) health.ready++;
    else health.notReady++;
  }
  return zones;
}

/** No node of any zone is ready: more likely the control plane is cut off than all nodes dead, so nobody is driven off. */
export function isFullyDisrupted(zones: ReadonlyMap<string, ZoneHealth>): boolean {
  return zones.size > 0 && [...zones.values()].every(({ ready }) => ready === 0);
}

/** Ms between two nodes of the zone that pods are driven off; undefined where none should be. */
export function evictionIntervalMs({ ready, notReady }: ZoneHealth, rates: EvictionRates): number | undefined {
  const interval = (rate: number): number | undefined => (rate > 0 ? 1_000 / rate : undefined);
  const size = ready + notReady;
  const partial = ready > 0 && notReady > 2 && notReady / size >= rates.unhealthyZoneThreshold;
  if (!partial) return interval(rates.nodeEvictionRate);
  return size > rates.largeClusterSizeThreshold ? interval(rates.secondaryNodeEvictionRate) : undefined;
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

/** Since when the pod has been on its node, as far as is known; ms since the epoch. */
function boundSinceMs(pod: Pod): number {
  const scheduled = pod.status?.conditions?.find(({ type, status }) => type === "PodScheduled" && status === "True");
  return parseTime(scheduled?.lastTransitionTime) ?? parseTime(pod.metadata?.creationTimestamp) ?? 0;
}

/**
 * When the pod has to leave its node: ms since the epoch, at once where 0; undefined where it may stay. What it tolerates for a
 * while it tolerates from when the taint and the pod were both there.
 */
export function planEviction(pod: Pod, node: Node, seenMs: number): number | undefined {
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
  const since = Math.max(boundSinceMs(pod), ...taints.map((taint) => parseTime(taint.timeAdded) ?? seenMs));
  return since + shortest * 1000;
}
