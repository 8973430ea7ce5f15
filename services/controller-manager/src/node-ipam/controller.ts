// The node IPAM controller: gives every node its range of pod addresses. Guarantee: each range is in use once. Before
// this process gives out the first one it reads all nodes live, so that it knows what its predecessor gave out last.
import { NODES, type Node } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import { createController } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { formatRange, nodePrefix, parseRange, planPodCidr, type Range } from "./plan.ts";

const MERGE = "application/merge-patch+json";

export interface NodeIpamOptions {
  /** 10.244.0.0/16 where unset. */
  readonly clusterCidr?: string;
  /** /24, or smaller where there are more nodes, where unset. */
  readonly nodeCidrMaskSize?: number;
}

export function createNodeIpamController(context: ControllerContext, options: NodeIpamOptions = {}): ManagedController {
  const { caches, client, recorder } = context;
  const text = options.clusterCidr ?? "10.244.0.0/16";
  const pool = parseRange(text);
  if (pool === undefined) throw new Error(`--cluster-cidr: Invalid value: "${text}": must be an IPv4 CIDR`);
  /** By the UID of the node: given out, whether the cache shows it or not. */
  const given = new Map<string, Range>();
  const learn = (node: Node): void => {
    const range = parseRange(node.spec?.podCIDR ?? "");
    if (range !== undefined) given.set(node.metadata?.uid ?? "", range);
  };

  async function reconcile(name: string): Promise<void> {
    const node = caches.nodes.lister.get(name);
    if (node === undefined || node.spec?.podCIDR || node.metadata?.deletionTimestamp !== undefined) return;
    const uid = node.metadata?.uid ?? "";
    const { nodeCidrMaskSize } = options;
    const prefix = nodeCidrMaskSize ?? nodePrefix(pool!, caches.nodes.lister.size);
    const range = given.get(uid) ?? planPodCidr(pool!, [...given.values()], prefix, nodeCidrMaskSize !== undefined);
    if (range === undefined) {
      const message = `Node ${name} status is now: CIDRNotAvailable`;
      recorder.event({ ...node, apiVersion: "v1", kind: "Node" }, "Normal", "CIDRNotAvailable", message);
      throw new Error(`failed to allocate a pod CIDR for node ${name}: ${text} is full`);
    }
    given.set(uid, range);
    const podCIDR = formatRange(range);
    try {
      await client.patch(NODES, { name }, MERGE, { metadata: { uid }, spec: { podCIDR, podCIDRs: [podCIDR] } });
    } catch (error) {
      // A node that refuses its range has one, or is another node now; the cache will show it.
      if (!isReason(error, "NotFound")) throw error;
    }
  }

  const controller = createController({ name: "node-ipam-controller", reconcile }, context);
  caches.nodes.addHandler({
    add: (node) => {
      learn(node);
      controller.enqueue(node.metadata?.name ?? "");
    },
    update: learn,
    delete: (node) => void given.delete(node.metadata?.uid ?? ""),
  });
  async function prepare(): Promise<void> {
    const { items } = await client.list<Node>(NODES);
    for (const node of items) learn(node);
  }
  return { controller, prepare };
}
