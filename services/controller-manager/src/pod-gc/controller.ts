// The pod garbage collector: every 20 seconds deletes ended pods over the threshold, pods of nodes that are gone or out of
// service, and pods that are being deleted and were never bound. Guarantees: a node counts as gone only after it was missing for
// a while and the api-server says so too; what had not ended is marked as failed before it goes.
import { NODES, PODS, type Pod } from "@coxswain/api";
import { formatTime, isReason } from "@coxswain/apimachinery";
import { createController, settleAll, type ReconcileResult } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { isPodTerminal } from "../pods/pod-state.ts";
import { planPodGc } from "./plan.ts";

const PERIOD_MS = 20_000;
const QUARANTINE_MS = 40_000;
const KEY = "pods";
const STRATEGIC = "application/strategic-merge-patch+json";

type Reason = "terminated" | "unscheduled" | "out-of-service" | "orphaned";

export interface PodGcOptions {
  /** 12,500 where unset. */
  readonly terminatedPodGcThreshold?: number;
}

export function createPodGcController(context: ControllerContext, options: PodGcOptions = {}): ManagedController {
  const { caches, client, env, metrics } = context;
  const labels = ["namespace", "reason"];
  const deleted = metrics.counter("pod_gc_collector_force_delete_pods_total", "Pods deleted by force.", labels);
  const failed = metrics.counter("pod_gc_collector_force_delete_pod_errors_total", "Pods that could not be.", labels);
  const threshold = options.terminatedPodGcThreshold ?? 12_500;
  const missingSinceMs = new Map<string, number>();

  async function reconcile(): Promise<ReconcileResult> {
    const nodes = new Map(caches.nodes.lister.list().map((node) => [node.metadata?.name ?? "", node]));
    const plan = planPodGc(caches.pods.lister.list(), nodes, threshold);
    const gone = await goneNodes(new Set(plan.orphaned.map((pod) => pod.spec?.nodeName ?? "")));
    const orphaned = plan.orphaned.filter((pod) => gone.has(pod.spec?.nodeName ?? ""));
    await settleAll([
      ...plan.terminated.map((pod) => remove(pod, "terminated")),
      ...plan.unscheduled.map((pod) => remove(pod, "unscheduled")),
      ...plan.outOfService.map((pod) => remove(pod, "out-of-service")),
      ...orphaned.map((pod) => remove(pod, "orphaned")),
    ]);
    return { requeueAfterMs: PERIOD_MS };
  }

  async function goneNodes(missing: ReadonlySet<string>): Promise<Set<string>> {
    const nowMs = env.clock.monotonic();
    for (const name of missingSinceMs.keys()) if (!missing.has(name)) missingSinceMs.delete(name);
    const gone = new Set<string>();
    for (const name of missing) {
      const sinceMs = missingSinceMs.get(name) ?? nowMs;
      missingSinceMs.set(name, sinceMs);
      if (nowMs - sinceMs >= QUARANTINE_MS && (await isGone(name))) gone.add(name);
    }
    return gone;
  }

  async function isGone(name: string): Promise<boolean> {
    try {
      await client.get(NODES, { name });
      return false;
    } catch (error) {
      if (isReason(error, "NotFound")) return true;
      throw error;
    }
  }

  async function remove(pod: Pod, reason: Reason): Promise<void> {
    const { namespace = "", name = "", uid } = pod.metadata ?? {};
    try {
      if (!isPodTerminal(pod)) await markFailed(pod, reason);
      await client.delete(PODS, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } });
      deleted.inc({ namespace, reason });
    } catch (error) {
      if (isReason(error, "NotFound", "Conflict")) return;
      failed.inc({ namespace, reason });
      throw error;
    }
  }

  async function markFailed(pod: Pod, reason: Reason): Promise<void> {
    const { namespace, name = "", uid } = pod.metadata ?? {};
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByPodGC",
      message: "PodGC: node no longer exists",
      lastTransitionTime: formatTime(env.clock.now()),
    };
    const status = { phase: "Failed", ...(reason === "orphaned" ? { conditions: [condition] } : {}) };
    await client.patch(PODS, { namespace, name }, STRATEGIC, { metadata: { uid }, status }, { subresource: "status" });
  }

  const controller = createController({ name: "pod-garbage-collector-controller", reconcile }, context);
  controller.enqueue(KEY);
  return { controller };
}
