// The node lifecycle controller: hears of nodes by their Leases and statuses, and says so when one falls silent.
// Guarantees: how long a node was silent is judged by this process's own clock, from the moment it began to lead; where
// every node is silent, nobody is driven off.
import { NODES, PODS, type Lease, type Node, type Pod } from "@coxswain/api";
import { formatTime, isReason } from "@coxswain/apimachinery";
import { createController, settleAll, type ReconcileResult } from "@coxswain/controller-runtime";
import { BY_NODE, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { isPodReady } from "../pods/pod-state.ts";
import {
  disruptionOf,
  evictionIntervalMs,
  isNodeReady,
  nodeCondition,
  planSilentNode,
  planTaints,
  silentInMs,
  UNREACHABLE,
  NOT_READY,
} from "./plan.ts";

const LEASE_NAMESPACE = "kube-node-lease";
const STRATEGIC = "application/strategic-merge-patch+json";
const MERGE = "application/merge-patch+json";

export interface NodeLifecycleOptions {
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
    add: (node) => controller.enqueue(node.metadata?.name ?? ""),
    update: (node, old) => {
      const name = node.metadata?.name ?? "";
      const beat = (one: Node): unknown => nodeCondition(one, "Ready")?.lastHeartbeatTime;
      if (beat(node) !== beat(old) && nodeCondition(node, "Ready")?.status !== "Unknown") logic.heard(name);
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
  #lastEvictionMs = Number.NEGATIVE_INFINITY;

  constructor(context: ControllerContext, options: NodeLifecycleOptions) {
    const {
      nodeMonitorGracePeriodMs = 40_000,
      nodeStartupGracePeriodMs = 60_000,
      nodeMonitorPeriodMs = 5_000,
    } = options;
    this.#context = context;
    this.#options = { nodeMonitorGracePeriodMs, nodeStartupGracePeriodMs, nodeMonitorPeriodMs };
  }

  /** Every node gets its full grace from now on: what was heard before this process stood still says nothing. */
  begin(): void {
    this.#heardMs.clear();
  }

  heard(name: string): void {
    this.#heardMs.set(name, this.#context.env.clock.monotonic());
  }

  forget(node: Node): void {
    const name = node.metadata?.name ?? "";
    this.#heardMs.delete(name);
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
    if (!isNodeReady(current) && nodeCondition(current, "Ready") !== undefined) await this.#markPods(name);
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

  /** Nodes are given up one after the other, not all at once. */
  #mayEvict(node: Node): boolean | "keep" {
    const { caches, env } = this.#context;
    const state = disruptionOf(caches.nodes.lister.list());
    if (state.full) return false;
    if (isNodeReady(node) || nodeCondition(node, "Ready") === undefined) return "keep";
    const taints = node.spec?.taints ?? [];
    const tainted = taints.some(
      ({ key, effect }) => effect === "NoExecute" && (key === UNREACHABLE || key === NOT_READY),
    );
    const intervalMs = evictionIntervalMs(state);
    const nowMs = env.clock.monotonic();
    if (tainted || intervalMs === undefined || nowMs - this.#lastEvictionMs < intervalMs) return "keep";
    this.#lastEvictionMs = nowMs;
    return true;
  }

  #event(node: Node, reason: string, message: string): void {
    const name = node.metadata?.name;
    const about = { ...node, apiVersion: "v1", kind: "Node" };
    this.#context.recorder.event(about, "Normal", reason, `Node ${name} event: ${message}`);
  }
}
