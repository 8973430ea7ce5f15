// The Node object that a kubelet reports: pure. Labels, addresses, capacity and conditions as upstream's kubelet has them.
import { isIP } from "node:net";
import type { Node, NodeCondition, NodeStatus } from "@coxswain/api";
import { sameValue } from "@coxswain/api";
import { aggregateText, formatTime } from "@coxswain/apimachinery";

export const KUBELET_VERSION = "v1.35.2";
export const KUBELET_GRPC_ANNOTATION = "coxswain.dev/kubelet-grpc";
/** Heartbeat in the status where nothing else changes. */
export const STATUS_REPORT_MS = 300_000;

export interface NodeFacts {
  readonly name: string;
  /** Host name or address under which the process can be reached. */
  readonly advertiseAddress: string;
  readonly httpsPort: number;
  readonly grpcPort: number;
  /** simulated://0.1.0 */
  readonly containerRuntimeVersion: string;
  readonly capacity: Readonly<Record<string, string>>;
  readonly osImage: string;
  /** A stable id of the (simulated) machine. */
  readonly machineId: string;
  readonly bootId: string;
  readonly arch: "amd64" | "arm64";
  readonly kernelVersion: string;
  /** The range of the node's pods, where it is known before the node is registered. */
  readonly podCidr?: string;
  /** What the one who made the machine calls it. */
  readonly providerId?: string;
}

export interface NodeImage {
  readonly names: readonly string[];
  readonly sizeBytes: number;
}

/** How a node's runtime is. */
export interface NodeHealth {
  /** Why the node is not Ready; empty where it is. */
  readonly problems: readonly string[];
  readonly images: readonly NodeImage[];
}

export const HEALTHY: NodeHealth = { problems: [], images: [] };

/** The address in the Node's InternalIP. */
export function hostIpOf(facts: Pick<NodeFacts, "advertiseAddress">): string {
  return isIP(facts.advertiseAddress) === 0 ? "127.0.0.1" : facts.advertiseAddress;
}

export function planNodeLabels(facts: NodeFacts): Record<string, string> {
  return {
    "beta.kubernetes.io/arch": facts.arch,
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": facts.arch,
    "kubernetes.io/hostname": facts.name,
    "kubernetes.io/os": "linux",
  };
}

export function planNodeAnnotations(facts: NodeFacts): Record<string, string> {
  const host = isIP(facts.advertiseAddress) === 6 ? `[${facts.advertiseAddress}]` : facts.advertiseAddress;
  return {
    [KUBELET_GRPC_ANNOTATION]: `${host}:${facts.grpcPort}`,
    "volumes.kubernetes.io/controller-managed-attach-detach": "true",
  };
}

const CONDITIONS: readonly [string, string, string, string][] = [
  ["MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
  ["DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
  ["PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"],
  ["Ready", "True", "KubeletReady", "kubelet is posting ready status"],
];

function planConditions(old: readonly NodeCondition[], nowMs: number, problems: readonly string[]): NodeCondition[] {
  const now = formatTime(nowMs);
  const told = aggregateText(problems);
  return CONDITIONS.map((condition) => {
    const [type] = condition;
    const failed = type === "Ready" && problems.length > 0;
    const [, status, reason, message] = failed ? [type, "False", "KubeletNotReady", told] : condition;
    const before = old.find((condition) => condition.type === type);
    const lastTransitionTime = before?.status === status ? (before.lastTransitionTime ?? now) : now;
    return { type, status, lastHeartbeatTime: now, lastTransitionTime, reason, message };
  });
}

/** `volumesInUse`: undefined where it is not known, and stays as it was. */
export function planNodeStatus(
  facts: NodeFacts,
  old: NodeStatus | undefined,
  nowMs: number,
  health: NodeHealth = HEALTHY,
  volumesInUse?: readonly string[],
): NodeStatus {
  const images = health.images.map(({ names, sizeBytes }) => ({ names: [...names], sizeBytes }));
  return {
    ...(images.length === 0 ? {} : { images }),
    ...(volumesInUse === undefined ? {} : { volumesInUse: [...volumesInUse] }),
    addresses: [
      { type: "InternalIP", address: hostIpOf(facts) },
      { type: "Hostname", address: facts.name },
    ],
    capacity: { ...facts.capacity },
    allocatable: { ...facts.capacity },
    conditions: planConditions(old?.conditions ?? [], nowMs, health.problems),
    daemonEndpoints: { kubeletEndpoint: { Port: facts.httpsPort } },
    nodeInfo: {
      machineID: facts.machineId,
      systemUUID: facts.machineId,
      bootID: facts.bootId,
      kernelVersion: facts.kernelVersion,
      osImage: facts.osImage,
      containerRuntimeVersion: facts.containerRuntimeVersion,
      kubeletVersion: KUBELET_VERSION,
      kubeProxyVersion: "",
      operatingSystem: "linux",
      architecture: facts.arch,
    },
  };
}

/** The Node of a first registration. */
export function planNode(facts: NodeFacts, nowMs: number, health: NodeHealth = HEALTHY): Node {
  const { podCidr, providerId } = facts;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: facts.name, labels: planNodeLabels(facts), annotations: planNodeAnnotations(facts) },
    spec: {
      ...(podCidr === undefined ? {} : { podCIDR: podCidr, podCIDRs: [podCidr] }),
      ...(providerId === undefined ? {} : { providerID: providerId }),
    },
    status: planNodeStatus(facts, undefined, nowMs, health),
  };
}

/** What a Node that exists lacks of labels, annotations, its pod CIDR and provider ID; undefined where nothing. Others' stay. */
export function planMetadataPatch(facts: NodeFacts, node: Node): Record<string, unknown> | undefined {
  const { labels: hasLabels = {}, annotations: hasAnnotations = {} } = node.metadata ?? {};
  const labels = difference(planNodeLabels(facts), hasLabels);
  const annotations = difference(planNodeAnnotations(facts), hasAnnotations);
  const metadata = { ...(labels && { labels }), ...(annotations && { annotations }) };
  const { podCidr, providerId } = facts;
  const spec = {
    ...(podCidr !== undefined && !node.spec?.podCIDR ? { podCIDR: podCidr, podCIDRs: [podCidr] } : {}),
    ...(providerId !== undefined && !node.spec?.providerID ? { providerID: providerId } : {}),
  };
  const patch = {
    ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
    ...(Object.keys(spec).length === 0 ? {} : { spec }),
  };
  return Object.keys(patch).length === 0 ? undefined : patch;
}

function difference(
  wanted: Record<string, string>,
  present: Readonly<Record<string, string>>,
): Record<string, string> | undefined {
  const entries = Object.entries(wanted).filter(([key, value]) => present[key] !== value);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** True where the Node says something else than this kubelet would, heartbeats aside. */
export function statusDiffers(node: Node, wanted: NodeStatus): boolean {
  const has = node.status ?? {};
  for (const field of ["addresses", "capacity", "allocatable", "nodeInfo", "daemonEndpoints"] as const) {
    if (!sameValue(has[field], wanted[field])) return true;
  }
  if (wanted.volumesInUse !== undefined && !sameValue(has.volumesInUse ?? [], wanted.volumesInUse)) return true;
  if (wanted.images !== undefined && !sameValue(has.images, wanted.images)) return true;
  return (wanted.conditions ?? []).some((condition) => {
    const found = has.conditions?.find((one) => one.type === condition.type);
    const unlike = found?.status !== condition.status || found?.reason !== condition.reason;
    return unlike || found?.message !== condition.message;
  });
}

/** A strategic merge patch of the status subresource; conditions of others stay. */
export function planStatusPatch(wanted: NodeStatus): Record<string, unknown> {
  const { volumesInUse } = wanted;
  return {
    status: {
      ...wanted,
      ...(volumesInUse === undefined ? {} : { volumesInUse: volumesInUse.length === 0 ? null : volumesInUse }),
      addresses: [{ $patch: "replace" }, ...(wanted.addresses ?? [])],
    },
  };
}
