// CloudProvider: who makes and removes the machines that become nodes. Its suite (testing/cloud-provider-suite.ts) says what an
// implementation must do. Calls reject with a StatusError; nothing is known then of what they did.
import type { Node } from "@coxswain/api";

export interface NodeGroup {
  readonly id: string;
  readonly minSize: number;
  readonly maxSize: number;
}

export interface Instance {
  /** spec.providerID of the Node that it is or becomes. */
  readonly id: string;
  readonly state: "running" | "creating" | "deleting" | "unknown";
  /** Why it cannot become a node. */
  readonly error?: { readonly code: string; readonly message: string };
}

/** A node as the provider is told of it. */
export interface ProviderNode {
  readonly providerId: string;
  readonly name: string;
}

export interface CloudProvider {
  /** Comes before each round of questions. */
  refresh(): Promise<void>;
  nodeGroups(): Promise<NodeGroup[]>;
  /** The id of the node's group; undefined for a node that is not to be touched. */
  groupForNode(node: ProviderNode): Promise<string | undefined>;
  /** Machines that are there and those that are on their way. */
  targetSize(group: string): Promise<number>;
  /** Resolves when the target size is the new one. */
  increaseSize(group: string, delta: number): Promise<void>;
  /** Takes back requests for machines that are not there; `delta` is negative. */
  decreaseTargetSize(group: string, delta: number): Promise<void>;
  /** Resolves when the machines are gone, and the target size is smaller by as many. */
  deleteNodes(group: string, nodes: readonly ProviderNode[]): Promise<void>;
  instances(group: string): Promise<Instance[]>;
  /** The Node that a fresh machine would be; undefined where the provider does not say. */
  template(group: string): Promise<Node | undefined>;
  /** The autoscaler ends. */
  cleanup(): Promise<void>;
}
