// The taint eviction controller: deletes pods whose node has a NoExecute taint that they do not tolerate, or no longer.
import { PODS, type Pod } from "@coxswain/api";
import { deepEqual, formatTime, isReason, objectKey } from "@coxswain/apimachinery";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import { BY_NODE, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { planEviction } from "./plan.ts";

const STRATEGIC = "application/strategic-merge-patch+json";
const LATENESS_BUCKETS = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240];

export function createTaintEvictionController(context: ControllerContext): ManagedController {
  const { caches, client, env, metrics, recorder } = context;
  const deleted = metrics.counter("taint_eviction_controller_pod_deletions_total", "Pods that taints drove off.");
  const seconds = metrics.histogram(
    "taint_eviction_controller_pod_deletion_duration_seconds",
    "Time from when a pod had to go until it was deleted.",
    LATENESS_BUCKETS,
  );
  /** When a pod that will have to go was first seen on its tainted node. */
  const scheduled = new Map<string, number>();

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const pod = caches.pods.lister.get(key);
    const node = caches.nodes.lister.get(pod?.spec?.nodeName ?? "");
    const present = pod !== undefined && node !== undefined && pod.metadata?.deletionTimestamp === undefined;
    const seenMs = scheduled.get(key) ?? env.clock.now();
    const dueMs = present ? planEviction(pod, node, seenMs) : undefined;
    if (!present || dueMs === undefined) {
      if (scheduled.delete(key) && present) note(pod, `Cancelling deletion of Pod ${key}`);
      return undefined;
    }
    const waitMs = dueMs - env.clock.now();
    if (waitMs > 0) {
      scheduled.set(key, seenMs);
      return { requeueAfterMs: waitMs };
    }
    scheduled.delete(key);
    note(pod, `Marking for deletion Pod ${key}`);
    await evict(pod, dueMs);
    return undefined;
  }

  function note(pod: Pod, message: string): void {
    recorder.event({ ...pod, apiVersion: "v1", kind: "Pod" }, "Normal", "TaintManagerEviction", message);
  }

  async function evict(pod: Pod, dueMs: number): Promise<void> {
    const { namespace, name = "", uid } = pod.metadata ?? {};
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByTaintManager",
      message: "Taint manager: deleting due to NoExecute taint",
      lastTransitionTime: formatTime(env.clock.now()),
    };
    try {
      const patch = { metadata: { uid }, status: { conditions: [condition] } };
      await client.patch(PODS, { namespace, name }, STRATEGIC, patch, { subresource: "status" });
      await client.delete(PODS, { namespace, name }, { preconditions: { uid } });
      deleted.inc();
      seconds.observe((env.clock.now() - dueMs) / 1000);
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }

  const controller = createController({ name: "taint-eviction-controller", workers: 8, reconcile }, context);
  const enqueueNode = (name: string): void => {
    for (const pod of caches.pods.lister.byIndex(BY_NODE, name)) controller.enqueue(objectKey(pod));
  };
  caches.pods.addHandler({
    add: (pod) => {
      if (pod.spec?.nodeName) controller.enqueue(objectKey(pod));
    },
    update: (pod, old) => {
      const same = pod.spec?.nodeName === old.spec?.nodeName && deepEqual(pod.spec?.tolerations, old.spec?.tolerations);
      if (pod.spec?.nodeName && !same) controller.enqueue(objectKey(pod));
    },
    delete: (pod) => controller.enqueue(objectKey(pod)),
  });
  caches.nodes.addHandler({
    add: (node) => enqueueNode(node.metadata?.name ?? ""),
    update: (node, old) => {
      if (!deepEqual(node.spec?.taints, old.spec?.taints)) enqueueNode(node.metadata?.name ?? "");
    },
  });
  return { controller };
}
