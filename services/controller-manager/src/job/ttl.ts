// Deletes Jobs that have ended some time ago, as their ttlSecondsAfterFinished says.
// https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/
import { JOBS, type Job } from "@coxswain/api";
import { isReason, objectKey, parseTime } from "@coxswain/apimachinery";
import { doublingBuckets } from "@coxswain/component-base";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { conditionOf, isFinished } from "./plan.ts";

const BUCKETS = doublingBuckets(0.1, 14);

/** Ms until the Job may go, below 0 where it is late; undefined for one that stays. */
export function expiresInMs(job: Job, nowMs: number): number | undefined {
  const { ttlSecondsAfterFinished: seconds } = job.spec ?? {};
  if (seconds === undefined || !isFinished(job) || job.metadata?.deletionTimestamp !== undefined) return undefined;
  const ended = parseTime((conditionOf(job, "Complete") ?? conditionOf(job, "Failed"))?.lastTransitionTime);
  return ended === undefined ? undefined : ended + seconds * 1000 - nowMs;
}

export function createTtlController(context: ControllerContext): ManagedController {
  const { client, env, informers, metrics } = context;
  const seconds = metrics.histogram(
    "ttl_after_finished_controller_job_deletion_duration_seconds",
    "How late Jobs are deleted, after their time was over.",
    BUCKETS,
  );
  const jobs = informers.informer<Job>(JOBS);

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const cached = jobs.lister.get(key);
    const left = cached === undefined ? undefined : expiresInMs(cached, env.clock.now());
    if (left === undefined) return undefined;
    if (left > 0) return { requeueAfterMs: left + 1 };
    const { namespace, name = "" } = cached?.metadata ?? {};
    try {
      // The time to live may have been changed a moment ago.
      const job = await client.get<Job>(JOBS, { namespace, name });
      const now = expiresInMs(job, env.clock.now());
      if (now === undefined) return undefined;
      if (now > 0) return { requeueAfterMs: now + 1 };
      const { uid, resourceVersion } = job.metadata ?? {};
      const preconditions = { ...(uid && { uid }), ...(resourceVersion && { resourceVersion }) };
      await client.delete(JOBS, { namespace, name }, { propagationPolicy: "Foreground", preconditions });
      seconds.observe(-(expiresInMs(job, env.clock.now()) ?? 0) / 1000);
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
    return undefined;
  }

  const controller = createController({ name: "ttl-after-finished-controller", reconcile }, context);
  jobs.addHandler({
    add: (job) => controller.enqueue(objectKey(job)),
    update: (job) => controller.enqueue(objectKey(job)),
  });
  return { controller };
}
