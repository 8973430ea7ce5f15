// What a cluster consists of: pure. Which processes there are, in which order they end, and the ports they would like.
import { nodeCapacity, type ClusterSpec } from "./cluster-spec.ts";

export type Component =
  | "gateway"
  | "etcd"
  | "nats"
  | "containerd"
  | "api-server"
  | "scheduler"
  | "controller-manager"
  | "cluster-dns"
  | "metrics-server"
  | "cluster-autoscaler"
  | "kubelet"
  | "kube-proxy"
  | "egress"
  | "image-puller";

/** Start order; stopping goes the other way. */
export const COMPONENTS: readonly Component[] = [
  "gateway",
  "etcd",
  "nats",
  "containerd",
  "api-server",
  "scheduler",
  "controller-manager",
  "cluster-dns",
  "metrics-server",
  "cluster-autoscaler",
  "image-puller",
  "kubelet",
  "kube-proxy",
  "egress",
];

/** Processes that are not ours: they serve no gRPC of ours, and take flags of their own. */
const FOREIGN: readonly string[] = ["etcd", "nats", "containerd", "egress", "image-puller"];
export const isOurs = (component: string): boolean => !FOREIGN.includes(component);

/** Which components know things that nobody else knows any more where a process of `component` has died: they must start anew. */
export function lostWith({ storage }: Pick<ClusterSpec, "storage">, component: Component): Component[] {
  if (storage !== "memory" || component !== "api-server") return [];
  return COMPONENTS.filter((one) => isOurs(one) && one !== "api-server" && one !== "gateway");
}

/**
 * What starts once the cluster is ready, so that it does not take the processor from what a pod needs to run: simulated
 * containers send no packets, and nothing is measured yet.
 */
export const startedLate = ({ runtime }: Pick<ClusterSpec, "runtime">): readonly Component[] =>
  runtime === "simulated" ? ["metrics-server", "kube-proxy"] : [];

/** What dies with a node. */
export const NODE_COMPONENTS: readonly Component[] = ["containerd", "kubelet", "kube-proxy", "egress"];

/** Which components end together, in which order: followers first, then the api-servers, then what they stand on. */
export function stopWaves(components: readonly string[]): string[][] {
  const base = ["api-server", "nats", "etcd", "gateway"];
  // A supervisor goes first of all: it would start the others again.
  const followers = components.filter((component) => !base.includes(component) && component !== "supervisor");
  return [["supervisor"], followers, ...base.map((component) => [component])].filter((wave) =>
    wave.some((component) => components.includes(component)),
  );
}

export interface ProcessPorts {
  /** HTTPS for health and metrics (the REST API of the api-server, the client port of etcd and NATS); 0 where there is none. */
  readonly main: number;
  /** 0 where the process serves no gRPC of ours. */
  readonly grpc: number;
}

export interface Slot {
  readonly component: Component;
  readonly instance: string;
  readonly node: string;
  readonly wanted: ProcessPorts;
}

/** Up to this many simulated nodes have processes of their own; more share processes. */
export const MAX_UNPACKED_NODES = 5;
const NODES_PER_PACK = 5_000;

export const slotKey = (component: string, instance: string): string => `${component}/${instance}`;

/** Node names, or ranges of them as kubelet and kube-proxy take them: "node-1" or "node-[1-5000]". */
export function nodeGroups(
  spec: Pick<ClusterSpec, "nodes" | "runtime" | "autoscale"> & Partial<Pick<ClusterSpec, "packNodes">>,
): string[] {
  const nodes = nodeCapacity(spec);
  const packed = spec.packNodes === true || nodes > MAX_UNPACKED_NODES;
  // What comes and goes one by one has processes of its own.
  if (spec.runtime === "containerd" || !packed || spec.autoscale !== undefined)
    return Array.from({ length: nodes }, (_, at) => `node-${at + 1}`);
  const groups: string[] = [];
  for (let first = 1; first <= nodes; first += NODES_PER_PACK) {
    groups.push(`node-[${first}-${Math.min(nodes, first + NODES_PER_PACK - 1)}]`);
  }
  return groups;
}

/** Whether somebody on the machine fetches images for the nodes. */
export const hasPuller = ({ runtime, egress }: Pick<ClusterSpec, "runtime" | "egress">): boolean =>
  runtime === "containerd" && egress !== "none";

/** The way out of cluster-dns: pods ask it for names of the outside. */
const CLUSTER_DNS_EGRESS: Slot = {
  component: "egress",
  instance: "cluster-dns-0",
  node: "",
  wanted: { main: 0, grpc: 0 },
};

/** What the cluster consists of, nodes that may yet come included, with the well-known ports that each process would like. */
export function planSlots(spec: ClusterSpec): Slot[] {
  const real = spec.runtime === "containerd";
  const several = (component: Component, howMany: number, wanted: ProcessPorts): Slot[] =>
    Array.from({ length: howMany }, (_, at) => ({ component, instance: String(at), node: "", wanted }));
  const groups = nodeGroups(spec);
  // A packed process is named by its first node, so that the name is easy to type.
  const onNodes = (component: Component, wanted: ProcessPorts): Slot[] =>
    groups.map((node) => ({
      component,
      instance: node.includes("[") ? `pack-${node.replace(/\D*(\d+).*/, "$1")}` : node,
      node,
      wanted,
    }));
  return [
    ...several("gateway", real ? 1 : 0, { main: 10254, grpc: 10264 }),
    ...several("etcd", spec.storage === "etcd" ? 1 : 0, { main: 2379, grpc: 0 }),
    ...several("nats", 1, { main: 4222, grpc: 0 }),
    ...(real ? onNodes("containerd", { main: 0, grpc: 0 }) : []),
    ...several("api-server", spec.apiServers, { main: 6443, grpc: 6444 }),
    ...several("scheduler", spec.schedulers, { main: 10259, grpc: 10269 }),
    ...several("controller-manager", spec.controllerManagers, { main: 10257, grpc: 10267 }),
    ...several("cluster-dns", real ? 1 : 0, { main: 10271, grpc: 10281 }),
    ...several("metrics-server", 1, { main: 10272, grpc: 10282 }),
    ...several("cluster-autoscaler", spec.autoscale === undefined ? 0 : 1, { main: 10273, grpc: 10283 }),
    ...several("image-puller", hasPuller(spec) ? 1 : 0, { main: 0, grpc: 0 }),
    ...onNodes("kubelet", { main: 10250, grpc: 10260 }),
    ...onNodes("kube-proxy", { main: 10256, grpc: 10266 }),
    ...(spec.egress === "nat" ? [CLUSTER_DNS_EGRESS, ...onNodes("egress", { main: 0, grpc: 0 })] : []),
  ];
}

/** The member of the platform that a process lives in: its node, or a place of its own. A way out is named by its member. */
export function memberOf({ component, instance, node }: Slot): string {
  if (component === "egress") return instance;
  return node === "" ? `${component}-${instance}` : node;
}

/** The members of a containerd cluster that are no nodes; the image puller stays outside, where there is a way to registries. */
export function controlMembers(spec: ClusterSpec): string[] {
  return planSlots(spec)
    .filter(({ component, node }) => node === "" && component !== "image-puller" && component !== "egress")
    .map(memberOf);
}
