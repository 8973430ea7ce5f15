// The node lifecycle controller: hears of nodes by their Leases and statuses, and says so when one falls silent.
// Guarantees: how long a node was silent is judged by this process's own clock, from the moment it began to lead; where
// every node is silent, nobody is driven off; in each zone nodes are given up one after the other.
import { NODES, PODS, type Lease, type Node, type Pod } from "@coxswain/api";
import { formatTime, isReason } from "@coxswain/apimachinery";
import { createController, settleAll, type ReconcileResult } from "@coxswain/controller-runtime";
import { BY_NODE, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { isPodReady } from "../pods/pod-state.ts";
import {
  evictionIntervalMs,
  type EvictionRates,
  healthOf,
  isFullyDisrupted,
  isNodeReady,
  nodeCondition,
  planSilentNode,
  planTaints,
  silentInMs,
  UNREACHABLE,
  NOT_READY,
  type ZoneHealth,
  zoneOf,
} from "./plan.ts";

const LEASE_NAMESPACE = "kube-node-lease";
const STRATEGIC = "application/strategic-merge-patch+json";
const MERGE = "application/merge-patch+json";

/** Rates where unset: 0.1, 0.01, 0.55, 50. */
export interface NodeLifecycleOptions extends Partial<EvictionRates> {
  /** 40,000 where unset. */
  readonly nodeMonitorGracePeriodMs?: number;
  /** For nodes that never said anything; 60,000 where unset. */
  readonly nodeStartupGracePeriodMs?: number;
  /** How often each node is looked at; 5,000 where unset. */
  readonly nodeMonitorPeriodMs?: number;
}

export function createNodeLifecycleController(
  context: ControllerContext,
  options: NodeLifecycleOptions = {},
): ManagedController {
  const logic = new NodeLifecycle(context, options);
  const { nodes, leases } = context.caches;
  const controller = createController(
    { name: "node-lifecycle-controller", workers: 8, reconcile: (name) => logic.reconcile(name) },
    context,
  );
  const heard = (lease: Lease): void => {
    if (lease.metadata?.namespace === LEASE_NAMESPACE) logic.heard(lease.metadata.name ?? "");
  };
  leases.addHandler({
    add: heard,
    update: (lease, old) => {
      if (lease.spec?.renewTime !== old.spec?.renewTime) heard(lease);
    },
  });
  nodes.addHandler({
    add: (node) => {
      logic.changed();
      controller.enqueue(node.metadata?.name ?? "");
    },
    update: (node, old) => {
      const name = node.metadata?.name ?? "";
      const beat = (one: Node): unknown => nodeCondition(one, "Ready")?.lastHeartbeatTime;
      if (beat(node) !== beat(old) && nodeCondition(node, "Ready")?.status !== "Unknown") logic.heard(name);
      if (isNodeReady(node) !== isNodeReady(old) || zoneOf(node) !== zoneOf(old)) logic.changed();
      controller.enqueue(name);
    },
    delete: (node) => logic.forget(node),
  });
  return { controller, prepare: async () => logic.begin() };
}

class NodeLifecycle {
  readonly #context: ControllerContext;
  readonly #options: Required<NodeLifecycleOptions>;
  /** Local monotonic time when each node was last heard of. */
  readonly #heardMs = new Map<string, number>();
  readonly #registered = new Set<string>();
  /** Local monotonic time when a node was last given up, by zone. */
  readonly #lastEvictionMs = new Map<string, number>();
  /** Undefined where nodes have changed since it was found. */
  #zones: Map<string, ZoneHealth> | undefined;
  #wasFull = false;

  readonly #metrics;

  constructor(context: ControllerContext, options: NodeLifecycleOptions) {
    const {
      nodeMonitorGracePeriodMs = 40_000,
      nodeStartupGracePeriodMs = 60_000,
      nodeMonitorPeriodMs = 5_000,
      nodeEvictionRate = 0.1,
      secondaryNodeEvictionRate = 0.01,
      unhealthyZoneThreshold = 0.55,
      largeClusterSizeThreshold = 50,
    } = options;
    this.#context = context;
    this.#options = {
      nodeMonitorGracePeriodMs,
      nodeStartupGracePeriodMs,
      nodeMonitorPeriodMs,
      nodeEvictionRate,
      secondaryNodeEvictionRate,
      unhealthyZoneThreshold,
      largeClusterSizeThreshold,
    };
    const { metrics } = context;
    this.#metrics = {
      size: metrics.gauge("node_collector_zone_size", "Nodes, by zone.", ["zone"]),
      health: metrics.gauge("node_collector_zone_health", "Nodes that are ready, in percent, by zone.", ["zone"]),
      unhealthy: metrics.gauge("node_collector_unhealthy_nodes_in_zone", "Nodes that are not ready.", ["zone"]),
      evictions: metrics.counter("node_collector_evictions_total", "Nodes that pods were driven off.", ["zone"]),
    };
  }

  /** Every node gets its full grace from now on: what was heard before this process stood still says nothing. */
  begin(): void {
    this.#heardMs.clear();
    this.changed();
  }

  /** A node came, went, changed its zone or its readiness. */
  changed(): void {
    this.#zones = undefined;
  }

  heard(name: string): void {
    this.#heardMs.set(name, this.#context.env.clock.monotonic());
  }

  forget(node: Node): void {
    const name = node.metadata?.name ?? "";
    this.#heardMs.delete(name);
    this.changed();
    if (this.#registered.delete(name)) this.#event(node, "RemovingNode", `Removing Node ${name} from Controller`);
  }

  async reconcile(name: string): Promise<ReconcileResult | void> {
    const { caches, env } = this.#context;
    const node = caches.nodes.lister.get(name);
    if (node === undefined) return undefined;
    this.#register(node, name);
    const nowMs = env.clock.monotonic();
    if (!this.#heardMs.has(name)) this.#heardMs.set(name, nowMs);
    const { nodeMonitorGracePeriodMs, nodeStartupGracePeriodMs, nodeMonitorPeriodMs } = this.#options;
    const graceMs = nodeCondition(node, "Ready") === undefined ? nodeStartupGracePeriodMs : nodeMonitorGracePeriodMs;
    const leftMs = silentInMs(this.#heardMs.get(name) ?? nowMs, graceMs, nowMs);
    const current = leftMs === 0 ? await this.#silence(node) : node;
    // Of a node that is there its kubelet says what its pods are.
    if (nodeCondition(current, "Ready")?.status === "Unknown") await this.#markPods(name);
    await this.#taint(current);
    return { requeueAfterMs: Math.min(nodeMonitorPeriodMs, leftMs === 0 ? nodeMonitorPeriodMs : leftMs + 1) };
  }

  #register(node: Node, name: string): void {
    if (this.#registered.has(name)) return;
    this.#registered.add(name);
    this.#event(node, "RegisteredNode", `Registered Node ${name} in Controller`);
  }

  /** Sets the conditions of a node that was not heard of; returns it as it is then. */
  async #silence(node: Node): Promise<Node> {
    const { client, env } = this.#context;
    const conditions = planSilentNode(node, env.clock.now());
    if (conditions.length === 0) return node;
    const name = node.metadata?.name ?? "";
    const wasReady = isNodeReady(node);
    const after = await client.patch<Node>(
      NODES,
      { name },
      STRATEGIC,
      { status: { conditions } },
      { subresource: "status" },
    );
    if (wasReady) {
      const about = { ...node, apiVersion: "v1", kind: "Node" };
      this.#context.recorder.event(about, "Normal", "NodeNotReady", `Node ${name} status is now: NodeNotReady`);
    }
    return after;
  }

  async #markPods(name: string): Promise<void> {
    const { caches } = this.#context;
    await settleAll(
      caches.pods.lister
        .byIndex(BY_NODE, name)
        .filter(isPodReady)
        .map((pod) => this.#markPod(pod)),
    );
  }

  async #markPod(pod: Pod): Promise<void> {
    const { client, env, recorder } = this.#context;
    const { namespace, name = "" } = pod.metadata ?? {};
    const lastTransitionTime = formatTime(env.clock.now());
    const patch = { status: { conditions: [{ type: "Ready", status: "False", lastTransitionTime }] } };
    try {
      await client.patch(PODS, { namespace, name }, STRATEGIC, patch, { subresource: "status" });
      recorder.event({ ...pod, apiVersion: "v1", kind: "Pod" }, "Warning", "NodeNotReady", "Node is not ready");
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }

  async #taint(node: Node): Promise<void> {
    const { client, env } = this.#context;
    const evict = this.#mayEvict(node);
    const taints = planTaints(node, evict, env.clock.now());
    if (taints === undefined) return;
    const { name = "", resourceVersion } = node.metadata ?? {};
    await client.patch(NODES, { name }, MERGE, { metadata: { resourceVersion }, spec: { taints } });
  }

  /** The health of all zones. Where the last outage of everything ended, every node gets its full grace anew. */
  #health(): ReadonlyMap<string, ZoneHealth> {
    if (this.#zones !== undefined) return this.#zones;
    const zones = healthOf(this.#context.caches.nodes.lister.list());
    const full = isFullyDisrupted(zones);
    if (this.#wasFull && !full) this.#heardMs.clear();
    this.#wasFull = full;
    for (const [zone, { ready, notReady }] of zones) {
      this.#metrics.size.set(ready + notReady, { zone });
      this.#metrics.health.set((100 * ready) / (ready + notReady), { zone });
      this.#metrics.unhealthy.set(notReady, { zone });
    }
    this.#zones = zones;
    return zones;
  }

  /** Nodes of a zone are given up one after the other, not all at once. */
  #mayEvict(node: Node): boolean | "keep" {
    const zones = this.#health();
    if (isFullyDisrupted(zones)) return false;
    if (isNodeReady(node) || nodeCondition(node, "Ready") === undefined) return "keep";
    const taints = node.spec?.taints ?? [];
    const tainted = taints.some(
      ({ key, effect }) => effect === "NoExecute" && (key === UNREACHABLE || key === NOT_READY),
    );
    const zone = zoneOf(node);
    const intervalMs = evictionIntervalMs(zones.get(zone) ?? { ready: 0, notReady: 1 }, this.#options);
    const nowMs = this.#context.env.clock.monotonic();
    const lastMs = this.#lastEvictionMs.get(zone) ?? Number.NEGATIVE_INFINITY;
    if (tainted || intervalMs === undefined || nowMs - lastMs < intervalMs) return "keep";
    this.#lastEvictionMs.set(zone, nowMs);
    this.#metrics.evictions.inc({ zone });
    return true;
  }

  #event(node: Node, reason: string, message: string): void {
    const name = node.metadata?.name;
    const about = { ...node, apiVersion: "v1", kind: "Node" };
    this.#context.recorder.event(about, "Normal", reason, `Node ${name} event: ${message}`);
  }
}
