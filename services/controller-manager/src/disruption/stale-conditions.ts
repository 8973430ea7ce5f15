// Takes back the word that a pod is about to be disrupted where nothing came of it: a condition DisruptionTarget that has stood for
// two minutes on a pod that is not being deleted.
import { PODS, type Pod } from "@coxswain/api";
import { formatTime, isReason, objectKey, parseTime } from "@coxswain/apimachinery";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { isPodTerminal, podCondition } from "../pods/pod-state.ts";

const STALE_AFTER_MS = 2 * 60_000;
const STRATEGIC = "application/strategic-merge-patch+json";

/** Ms until the condition is stale, 0 where it is; undefined where it never will be. A kubelet's own word stands. */
export function staleInMs(pod: Pod, nowMs: number): number | undefined {
  const condition = podCondition(pod, "DisruptionTarget");
  if (condition?.status !== "True" || condition.reason === "TerminationByKubelet") return undefined;
  if (pod.metadata?.deletionTimestamp !== undefined || isPodTerminal(pod)) return undefined;
  return Math.max(0, (parseTime(condition.lastTransitionTime) ?? 0) + STALE_AFTER_MS - nowMs);
}

export function createStaleConditionController(context: ControllerContext): ManagedController {
  const { caches, client, env } = context;

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const pod = caches.pods.lister.get(key);
    const leftMs = pod === undefined ? undefined : staleInMs(pod, env.clock.now());
    if (pod === undefined || leftMs === undefined) return undefined;
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    const { namespace, name = "", uid } = pod.metadata ?? {};
    const lastTransitionTime = formatTime(env.clock.now());
    const condition = { type: "DisruptionTarget", status: "False", reason: null, message: null, lastTransitionTime };
    const patch = { metadata: { uid }, status: { conditions: [condition] } };
    try {
      await client.patch(PODS, { namespace, name }, STRATEGIC, patch, { subresource: "status" });
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
    return undefined;
  }

  const controller = createController({ name: "stale-pod-disruption", reconcile }, context);
  const enqueue = (pod: Pod): void => {
    if (podCondition(pod, "DisruptionTarget")?.status === "True") controller.enqueue(objectKey(pod));
  };
  caches.pods.addHandler({ add: enqueue, update: enqueue });
  return { controller };
}
