// What the autoscaler asks of a Node, and the marks that it leaves there: pure.
import { parseBytes, parseCpuMillis } from "@coxswain/apimachinery";
import type { Node, Taint } from "@coxswain/api";
import type { ProviderNode } from "./cloud-provider.ts";
import type { Requests } from "./pod-facts.ts";

export const TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler";
export const DELETION_CANDIDATE = "DeletionCandidateOfClusterAutoscaler";
const SCALE_DOWN_DISABLED = "cluster-autoscaler.kubernetes.io/scale-down-disabled";

export const nameOf = (node: Node): string => node.metadata?.name ?? "";
/** The name stands in for an ID that a node does not have. */
export const idOf = (node: Node): string => node.spec?.providerID || nameOf(node);
export const providerNode = (node: Node): ProviderNode => ({
  providerId: node.spec?.providerID ?? "",
  name: nameOf(node),
});

export const isReady = (node: Node): boolean =>
  node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;

export const hasTaint = (node: Node, key: string): boolean =>
  node.spec?.taints?.some((taint) => taint.key === key) ?? false;
export const mayGo = (node: Node): boolean => node.metadata?.annotations?.[SCALE_DOWN_DISABLED] !== "true";

export function allocatableOf(node: Node): Requests {
  const { cpu = "0", memory = "0" } = node.status?.allocatable ?? {};
  return { cpuMillis: parseCpuMillis(cpu), memoryBytes: parseBytes(memory) };
}

/** The mark of a node that is going, or may soon go; its value is the time in seconds since 1970. */
export function mark(key: typeof TO_BE_DELETED | typeof DELETION_CANDIDATE, nowMs: number): Taint {
  const effect = key === TO_BE_DELETED ? "NoSchedule" : "PreferNoSchedule";
  return { key, value: String(Math.floor(nowMs / 1000)), effect };
}

/** Taints that say how a node is at the moment, not what it is. */
const PASSING = /^(node\.kubernetes\.io\/|node\.cloudprovider\.kubernetes\.io\/|ToBeDeletedBy|DeletionCandidateOf)/;

/** A node as its like would be when it is new: without what has happened to this one. */
export function templateOf(node: Node, group: string): Node {
  const name = `template-node-for-${group}`;
  const { taints = [], ...spec } = node.spec ?? {};
  const { podCIDR, podCIDRs, providerID, unschedulable, ...lasting } = spec;
  void [podCIDR, podCIDRs, providerID, unschedulable];
  const { images, ...status } = node.status ?? {};
  void images;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { ...node.metadata?.labels, "kubernetes.io/hostname": name } },
    spec: { ...lasting, taints: taints.filter(({ key }) => !PASSING.test(key)) },
    status,
  };
}
