// The pod garbage collector: every 20 seconds deletes ended pods over the threshold, pods of nodes that are gone, and
// pods that are being deleted and were never bound. Guarantee: a node counts as gone only after it was missing for a
// while and the api-server says so too.
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

export interface PodGcOptions {
  /** 12,500 where unset. */
  readonly terminatedPodGcThreshold?: number;
}

export function createPodGcController(context: ControllerContext, options: PodGcOptions = {}): ManagedController {
  const { caches, client, env } = context;
  const threshold = options.terminatedPodGcThreshold ?? 12_500;
  const missingSinceMs = new Map<string, number>();

  async function reconcile(): Promise<ReconcileResult> {
    const nodes = new Set(caches.nodes.lister.list().map((node) => node.metadata?.name ?? ""));
    const plan = planPodGc(caches.pods.lister.list(), nodes, threshold);
    const gone = await goneNodes(new Set(plan.orphaned.map((pod) => pod.spec?.nodeName ?? "")));
    await settleAll([
      ...plan.terminated.map((pod) => remove(pod)),
      ...plan.unscheduled.map((pod) => remove(pod)),
      ...plan.orphaned.filter((pod) => gone.has(pod.spec?.nodeName ?? "")).map((pod) => removeOrphan(pod)),
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

  async function remove(pod: Pod): Promise<void> {
    const { namespace, name = "", uid } = pod.metadata ?? {};
    try {
      await client.delete(PODS, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } });
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }

  async function removeOrphan(pod: Pod): Promise<void> {
    const { namespace, name = "", uid } = pod.metadata ?? {};
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByPodGC",
      message: "PodGC: node no longer exists",
      lastTransitionTime: formatTime(env.clock.now()),
    };
    const phase = isPodTerminal(pod) ? {} : { phase: "Failed" };
    const patch = { metadata: { uid }, status: { ...phase, conditions: [condition] } };
    try {
      await client.patch(PODS, { namespace, name }, STRATEGIC, patch, { subresource: "status" });
    } catch (error) {
      if (isReason(error, "NotFound", "Conflict")) return;
      throw error;
    }
    await remove(pod);
  }

  const controller = createController({ name: "pod-garbage-collector-controller", reconcile }, context);
  controller.enqueue(KEY);
  return { controller };
}
