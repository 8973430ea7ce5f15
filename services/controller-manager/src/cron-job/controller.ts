// The CronJob controller: makes Jobs when their time has come. Guarantees: a Job's name is of its time, so that however often it is
// tried, one is made; what was made is in the status before the next is looked at; where the caches of CronJobs and of Jobs do not
// agree, one of them is behind, and the server is asked.
import { CRON_JOBS, JOBS, type CronJob, type Job, type ObjectReference } from "@coxswain/api";
import { doublingBuckets } from "@coxswain/component-base";
import {
  deepEqual,
  formatTime,
  isReason,
  objectKey,
  parseTime,
  type KubeObject,
  type ResourceRef,
} from "@coxswain/apimachinery";
import { createController, settleAll, type ReconcileResult } from "@coxswain/controller-runtime";
import {
  BY_CONTROLLER,
  controllerIndex,
  type ControllerContext,
  type ManagedController,
} from "../controller-context.ts";
import { controllerOf } from "../ownership/controller-ref.ts";
import { isNamespaceTerminating } from "../writes/namespace-terminating.ts";
import {
  jobFromTemplate,
  missingJobs,
  observeJobs,
  planCronJob,
  referenceTo,
  surplusJobs,
  unlistedJobs,
  type Report,
} from "./plan.ts";

const WORKERS = 5;
const SKEW_BUCKETS = doublingBuckets(1, 10);
const about = (cron: CronJob): CronJob => ({ ...cron, apiVersion: "batch/v1", kind: "CronJob" });

export function createCronJobController(context: ControllerContext): ManagedController {
  const { client, env, informers, metrics, recorder } = context;
  const skew = metrics.histogram(
    "cronjob_controller_job_creation_skew_duration_seconds",
    "How late Jobs are made, after their time.",
    SKEW_BUCKETS,
  );
  const crons = informers.informer<CronJob>(CRON_JOBS);
  const jobs = informers.informer<Job>(JOBS);
  jobs.addIndex(BY_CONTROLLER, controllerIndex);

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const cached = crons.lister.get(key);
    if (cached === undefined) return undefined;
    const owned = jobs.lister.byIndex(BY_CONTROLLER, cached.metadata?.uid ?? "");
    const cron = unlistedJobs(cached, owned).length === 0 ? cached : await live<CronJob>(CRON_JOBS, cached.metadata);
    if (cron === undefined) return undefined;
    const found = await settleAll(missingJobs(cron, owned).map((one) => live<Job>(JOBS, one)));
    const { active, lastSuccessfulTime, reports } = observeJobs(cron, [
      ...owned,
      ...found.filter((job) => job !== undefined),
    ]);
    tell(cron, reports);
    for (const job of surplusJobs(cron, owned)) await remove(cron, job.metadata?.name ?? "");
    const plan = planCronJob(cron, active, env.clock.now());
    tell(cron, plan.reports);
    let running: readonly ObjectReference[] = active;
    if (plan.startMs !== undefined) {
      if (plan.replace) {
        for (const { name = "" } of active) await remove(cron, name);
        running = [];
      }
      const made = await start(cron, plan.startMs);
      if (made === undefined) return undefined;
      running = [...running, referenceTo(made)];
    }
    const started = plan.startMs === undefined ? {} : { lastScheduleTime: formatTime(plan.startMs) };
    const status: NonNullable<CronJob["status"]> = {
      ...cron.status,
      ...started,
      ...(lastSuccessfulTime === undefined ? {} : { lastSuccessfulTime }),
      active: [...running],
    };
    if (running.length === 0) delete status.active;
    if (!deepEqual(status, cron.status ?? {})) await store({ ...cron, status });
    return plan.againInMs === undefined ? undefined : { requeueAfterMs: plan.againInMs };
  }

  /** As the server has it; undefined where it is gone, or where another took its name. */
  async function live<T extends KubeObject>(
    ref: ResourceRef,
    { namespace, name = "", uid }: Pick<ObjectReference, "namespace" | "name" | "uid"> = {},
  ): Promise<T | undefined> {
    try {
      const object = await client.get<T>(ref, { namespace, name });
      return object.metadata?.uid === uid ? object : undefined;
    } catch (error) {
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    }
  }

  function tell(cron: CronJob, reports: readonly Report[]): void {
    for (const { type, reason, message } of reports) recorder.event(about(cron), type, reason, message);
  }

  /** Undefined where the namespace is going. */
  async function start(cron: CronJob, startMs: number): Promise<Job | undefined> {
    const wanted = jobFromTemplate(cron, startMs);
    const { namespace, name = "" } = wanted.metadata ?? {};
    try {
      const made = await client.create<Job>(JOBS, wanted);
      skew.observe(((parseTime(made.metadata?.creationTimestamp) ?? startMs) - startMs) / 1000);
      recorder.event(about(cron), "Normal", "SuccessfulCreate", `Created job ${name}`);
      return made;
    } catch (error) {
      if (isNamespaceTerminating(error)) return undefined;
      if (!isReason(error, "AlreadyExists")) {
        const text = error instanceof Error ? error.message : String(error);
        recorder.event(about(cron), "Warning", "FailedCreate", `Error creating job: ${text}`);
        throw error;
      }
    }
    // Made by a try that had no answer, or by somebody else.
    const present = await client.get<Job>(JOBS, { namespace, name });
    if (controllerOf(present)?.uid === cron.metadata?.uid) return present;
    throw new Error(`job ${name} exists and is not of this CronJob`);
  }

  async function remove(cron: CronJob, name: string): Promise<void> {
    try {
      const target = { namespace: cron.metadata?.namespace, name };
      await client.delete(JOBS, target, { propagationPolicy: "Background" });
      recorder.event(about(cron), "Normal", "SuccessfulDelete", `Deleted job ${name}`);
    } catch (error) {
      if (isReason(error, "NotFound")) return;
      const text = error instanceof Error ? error.message : String(error);
      recorder.event(about(cron), "Warning", "FailedDelete", `Deleted job: ${text}`);
      throw error;
    }
  }

  async function store(cron: CronJob): Promise<void> {
    try {
      await client.update(CRON_JOBS, cron, { subresource: "status" });
    } catch (error) {
      // The cache's next change leads back here, and the Job's name is the same again.
      if (!isReason(error, "Conflict", "NotFound")) throw error;
    }
  }

  const controller = createController({ name: "cronjob-controller", workers: WORKERS, reconcile }, context);
  crons.addHandler({
    add: (cron) => controller.enqueue(objectKey(cron)),
    update: (cron) => controller.enqueue(objectKey(cron)),
  });
  const enqueueOwner = (job: Job): void => {
    const owner = controllerOf(job);
    if (owner?.kind === "CronJob") controller.enqueue(`${job.metadata?.namespace ?? ""}/${owner.name}`);
  };
  jobs.addHandler({ add: enqueueOwner, update: enqueueOwner, delete: enqueueOwner });
  return { controller };
}
