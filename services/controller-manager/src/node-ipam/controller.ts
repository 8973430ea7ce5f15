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
  const { caches, client, metrics, recorder } = context;
  const text = options.clusterCidr ?? "10.244.0.0/16";
  const pool = parseRange(text);
  if (pool === undefined) throw new Error(`--cluster-cidr: Invalid value: "${text}": must be an IPv4 CIDR`);
  /** By the UID of the node: given out, whether the cache shows it or not. */
  const given = new Map<string, Range>();
  const labels = ["clusterCIDR"];
  const named = (suffix: string): string => `node_ipam_controller_${suffix}`;
  const allocations = metrics.counter(named("cidrset_cidrs_allocations_total"), "Ranges that were given out.", labels);
  const releases = metrics.counter(named("cidrset_cidrs_releases_total"), "Ranges that came back.", labels);
  const most = metrics.gauge(named("cirdset_max_cidrs"), "Ranges that can be given out.", labels);
  const usage = metrics.gauge(named("cidrset_usage_cidrs"), "The part of the ranges that is given out.", labels);
  const prefixNow = (): number => options.nodeCidrMaskSize ?? nodePrefix(pool, caches.nodes.lister.size);
  const count = (): void => {
    const max = 2 ** (prefixNow() - pool.prefix);
    most.set(max, { clusterCIDR: text });
    usage.set(given.size / max, { clusterCIDR: text });
  };
  const give = (uid: string, range: Range): void => {
    if (!given.has(uid)) allocations.inc({ clusterCIDR: text });
    given.set(uid, range);
    count();
  };
  const release = (uid: string): void => {
    if (given.delete(uid)) releases.inc({ clusterCIDR: text });
    count();
  };
  const learn = (node: Node): void => {
    const range = parseRange(node.spec?.podCIDR ?? "");
    if (range !== undefined) give(node.metadata?.uid ?? "", range);
  };

  async function reconcile(name: string): Promise<void> {
    const node = caches.nodes.lister.get(name);
    if (node === undefined || node.spec?.podCIDR || node.metadata?.deletionTimestamp !== undefined) return;
    const uid = node.metadata?.uid ?? "";
    const exact = options.nodeCidrMaskSize !== undefined;
    const range = given.get(uid) ?? planPodCidr(pool!, [...given.values()], prefixNow(), exact);
    if (range === undefined) {
      const message = `Node ${name} status is now: CIDRNotAvailable`;
      recorder.event({ ...node, apiVersion: "v1", kind: "Node" }, "Normal", "CIDRNotAvailable", message);
      throw new Error(`failed to allocate a pod CIDR for node ${name}: ${text} is full`);
    }
    give(uid, range);
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
    delete: (node) => release(node.metadata?.uid ?? ""),
  });
  async function prepare(): Promise<void> {
    const { items } = await client.list<Node>(NODES);
    for (const node of items) learn(node);
  }
  return { controller, prepare };
}
