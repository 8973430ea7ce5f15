// The Job controller. Guarantees:
// - Each pod that ends is counted once: it is held by a finalizer until the Job's status has it, and the status is written with
//   the version that it was computed from.
// - While the cache has not shown its own last writes, or shows pods that a newer Job has counted, it neither makes nor takes
//   away pods.
// - Pods whose Job is gone are let go.
import { JOBS, PODS, type Job, type Pod } from "@coxswain/api";
import {
  compareResourceVersions,
  deepEqual,
  isReason,
  labelSelectorAsSelector,
  objectKey,
} from "@coxswain/apimachinery";
import {
  createController,
  createExpectations,
  settleAll,
  type Controller,
  type Expectations,
  type ReconcileResult,
} from "@coxswain/controller-runtime";
import type { SharedInformer } from "@coxswain/client";
import {
  BY_CONTROLLER,
  BY_NAMESPACE,
  ORPHANS,
  type ControllerContext,
  type ManagedController,
} from "../controller-context.ts";
import { executeClaim } from "../ownership/claim.ts";
import { controllerOf, controllerReference, planClaim, selecting } from "../ownership/controller-ref.ts";
import { createPods, removePods, type OwnedPodsDeps } from "../writes/owned-pods.ts";
import { hasFailed, hasSucceeded, isBehind, isTracked, isValid, TRACKING_FINALIZER, uidOf } from "./job-pods.ts";
import { JobMetrics } from "./job-metrics.ts";
import { planJobStatus } from "./plan-status.ts";
import { isFinished, planJob, type JobPlan, type SyncAction } from "./plan.ts";
import { podFromJob } from "./pod-from-job.ts";

const WORKERS = 5;
const OWN_MANAGER = "kubernetes.io/job-controller";
const STALE_MS = 1_000;
const STRATEGIC = "application/strategic-merge-patch+json";
/** Key of a pod that has lost its Job. */
const POD_KEY = "pod:";

const about = (job: Job): Job => ({ ...job, apiVersion: "batch/v1", kind: "Job" });

export function createJobController(context: ControllerContext): ManagedController {
  const jobs = context.informers.informer<Job>(JOBS);
  jobs.addIndex(BY_NAMESPACE, (job) => [job.metadata?.namespace ?? ""]);
  const expectations = createExpectations(context);
  const metrics = new JobMetrics(context.metrics, context.env.clock);
  const logic = new JobLogic(context, jobs, expectations, metrics);
  const controller = createController(
    { name: "job-controller", workers: WORKERS, reconcile: (key, signal) => logic.reconcile(key, signal) },
    context,
  );
  follow(context, jobs, controller, expectations);
  jobs.addHandler({ add: (job) => metrics.found(job, OWN_MANAGER), delete: (job) => logic.forget(job) });
  context.caches.pods.addHandler({
    add: (pod) => metrics.held(undefined, pod),
    update: (pod, old) => metrics.held(old, pod),
    delete: (pod) => metrics.held(pod, undefined),
  });
  return { controller };
}

/** The Job that controls the pod, as far as it is known. */
function jobOf(jobs: SharedInformer<Job>, pod: Pod): Job | undefined {
  const reference = controllerOf(pod);
  if (reference?.kind !== "Job") return undefined;
  const job = jobs.lister.get(`${pod.metadata?.namespace ?? ""}/${reference.name}`);
  return job?.metadata?.uid === reference.uid ? job : undefined;
}

function follow(
  { caches }: ControllerContext,
  jobs: SharedInformer<Job>,
  controller: Controller,
  expectations: Expectations,
): void {
  jobs.addHandler({
    add: (job) => controller.enqueue(objectKey(job)),
    update: (job) => controller.enqueue(objectKey(job)),
    delete(job) {
      expectations.forget(job.metadata?.uid ?? "");
      for (const pod of caches.pods.lister.byIndex(BY_CONTROLLER, job.metadata?.uid ?? "")) {
        if (isTracked(pod)) controller.enqueue(`${POD_KEY}${objectKey(pod)}`);
      }
    },
  });
  const enqueueOwner = (pod: Pod): void => {
    const job = jobOf(jobs, pod);
    if (job !== undefined) controller.enqueue(objectKey(job));
    else if (isTracked(pod)) controller.enqueue(`${POD_KEY}${objectKey(pod)}`);
  };
  const changed = (pod: Pod): void => {
    enqueueOwner(pod);
    if (controllerOf(pod) !== undefined) return;
    const candidates = jobs.lister.byIndex(BY_NAMESPACE, pod.metadata?.namespace ?? "");
    for (const job of selecting(candidates, pod)) controller.enqueue(objectKey(job));
  };
  const removed = (pod: Pod): void => {
    const uid = controllerOf(pod)?.uid;
    if (uid !== undefined) expectations.deletionObserved(uid, uidOf(pod));
    enqueueOwner(pod);
  };
  caches.pods.addHandler({
    add(pod) {
      const uid = controllerOf(pod)?.uid;
      if (uid !== undefined) expectations.creationObserved(uid);
      if (pod.metadata?.deletionTimestamp === undefined) changed(pod);
      else removed(pod);
    },
    update(pod, old) {
      if (pod.metadata?.deletionTimestamp !== undefined) {
        removed(pod);
        return;
      }
      if (controllerOf(old) !== undefined && !deepEqual(controllerOf(pod), controllerOf(old))) enqueueOwner(old);
      changed(pod);
    },
    delete: removed,
  });
}

class JobLogic {
  readonly #context: ControllerContext;
  readonly #jobs: SharedInformer<Job>;
  readonly #expectations: Expectations;
  readonly #metrics: JobMetrics;
  /** The version of each Job's last status by this process, by UID. */
  readonly #written = new Map<string, string>();

  constructor(context: ControllerContext, jobs: SharedInformer<Job>, expectations: Expectations, metrics: JobMetrics) {
    this.#context = context;
    this.#metrics = metrics;
    this.#jobs = jobs;
    this.#expectations = expectations;
  }

  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    if (key.startsWith(POD_KEY)) return await this.#letGoOrphan(key.slice(POD_KEY.length));
    const job = this.#jobs.lister.get(key);
    if (job === undefined) return undefined;
    const { managedBy = OWN_MANAGER } = job.spec ?? {};
    if (managedBy !== OWN_MANAGER) return undefined;
    if (!isFinished(job)) return await this.#metrics.synced(job, (sync) => this.#look(job, sync, signal));
    return await this.#look(job, { action: "reconciling" }, signal);
  }

  async #look(job: Job, sync: { action: SyncAction }, signal: AbortSignal): Promise<ReconcileResult | void> {
    const pods = await this.#claim(job);
    // The cache's next change of the Job leads back here; the delay is for the case that none comes.
    if (await this.#isStale(job, pods)) return { requeueAfterMs: STALE_MS };
    if (isFinished(job)) {
      await this.#letGo(pods.filter(isTracked));
      return undefined;
    }
    return await this.#sync(job, pods, sync, signal);
  }

  forget(job: Job): void {
    this.#written.delete(job.metadata?.uid ?? "");
  }

  /** Is there a newer Job than the cache's? Asked for only where something speaks for it. */
  async #isStale(job: Job, pods: readonly Pod[]): Promise<boolean> {
    const { namespace, name = "", uid = "", resourceVersion = "" } = job.metadata ?? {};
    const version = this.#written.get(uid);
    if (version !== undefined && compareResourceVersions(resourceVersion, version) < 0) return true;
    if (!isBehind(job, pods)) return false;
    try {
      const live = await this.#context.client.get<Job>(JOBS, { namespace, name });
      return live.metadata?.resourceVersion !== resourceVersion;
    } catch (error) {
      if (isReason(error, "NotFound")) return true;
      throw error;
    }
  }

  async #sync(
    job: Job,
    pods: readonly Pod[],
    sync: { action: SyncAction },
    signal: AbortSignal,
  ): Promise<ReconcileResult | void> {
    const { env } = this.#context;
    const uid = job.metadata?.uid ?? "";
    const nowMs = env.clock.now();
    const plan = planJob(job, pods, nowMs);
    const satisfied = this.#expectations.satisfied(uid);
    const manages = satisfied && job.metadata?.deletionTimestamp === undefined;
    if (manages) sync.action = plan.action;
    const { created, removed, problem } = manages
      ? await this.#manage(job, plan, signal)
      : { created: 0, removed: 0, problem: undefined };
    const status = planJobStatus(job, pods, plan, { created, removed }, nowMs);
    const stored = deepEqual(status, job.status) || (await this.#store({ ...job, status }));
    if (!stored) return { requeueAfterMs: 0 };
    this.#tell(job, { ...job, status });
    const accounted = this.#accounted({ ...job, status }, pods, plan);
    this.#metrics.handled(accounted, plan.ruled);
    await this.#letGo(accounted);
    if (problem !== undefined) throw problem;
    const waits = [plan.againInMs, this.#expectations.expiresInMs(uid) || undefined, deadlineOf(job)];
    const next = waits.filter((ms) => ms !== undefined);
    return next.length === 0 ? undefined : { requeueAfterMs: Math.min(...next) + 1 };
  }

  /** Pods that the stored status has taken note of, and those that do not count. */
  #accounted(job: Job, pods: readonly Pod[], { ignored, delayed }: JobPlan): Pod[] {
    const lists = job.status?.uncountedTerminatedPods;
    const noted = new Set([...(lists?.succeeded ?? []), ...(lists?.failed ?? [])]);
    const ended = (pod: Pod): boolean => hasSucceeded(pod) || hasFailed(job, pod);
    const settled = (pod: Pod): boolean => noted.has(uidOf(pod)) || ignored.has(uidOf(pod)) || !isValid(job, pod);
    return pods.filter((pod) => isTracked(pod) && ended(pod) && settled(pod) && !delayed.has(uidOf(pod)));
  }

  #claim(job: Job): Promise<Pod[]> {
    const { caches, client } = this.#context;
    const { lister } = caches.pods;
    const candidates = [
      ...lister.byIndex(BY_CONTROLLER, job.metadata?.uid ?? ""),
      ...lister.byIndex(ORPHANS, job.metadata?.namespace ?? ""),
    ];
    const plan = planClaim(job, labelSelectorAsSelector(job.spec?.selector), candidates);
    const ownerReference = controllerReference(job, "batch/v1", "Job");
    const finalizers = [TRACKING_FINALIZER];
    return executeClaim(client, { ref: PODS, owner: job, ownerRef: JOBS, ownerReference, finalizers }, plan);
  }

  /** False where somebody else was quicker: the cache's next change leads back here. */
  async #store(job: Job): Promise<boolean> {
    try {
      const stored = await this.#context.client.update(JOBS, job, { subresource: "status" });
      this.#written.set(stored.metadata?.uid ?? "", stored.metadata?.resourceVersion ?? "");
      return true;
    } catch (error) {
      if (isReason(error, "Conflict", "NotFound")) return false;
      throw error;
    }
  }

  async #manage(job: Job, plan: JobPlan, signal: AbortSignal): Promise<Managed> {
    if (plan.create.length > 0) return await this.#create(job, plan, signal);
    if (plan.remove.length === 0) return { created: 0, removed: 0, problem: undefined };
    // On the way to its end a Job counts the pods that it takes away; else they are nobody's failure.
    if (plan.outcome === undefined) await this.#letGo(plan.remove.filter(isTracked));
    return await this.#remove(job, plan.remove, signal);
  }

  async #create(job: Job, { create, creationReason }: JobPlan, signal: AbortSignal): Promise<Managed> {
    const pods = create.map((one) => podFromJob(job, one));
    const { done, failed, problem } = await createPods(this.#writes(), about(job), pods, signal);
    this.#metrics.created(creationReason, done, failed);
    return { created: done, removed: 0, problem };
  }

  async #remove(job: Job, pods: readonly Pod[], signal: AbortSignal): Promise<Managed> {
    const { done, problem } = await removePods(this.#writes(), about(job), pods, signal);
    return { created: 0, removed: done, problem };
  }

  #writes(): OwnedPodsDeps {
    return { ...this.#context, expectations: this.#expectations };
  }

  async #letGo(pods: readonly Pod[]): Promise<void> {
    await settleAll(pods.map((pod) => this.#letGoOne(pod)));
  }

  /** Whatever changed in between leads back here, with a `resourceVersion` also where the pod is the same. */
  async #letGoOne(pod: Pod, resourceVersion?: string): Promise<undefined> {
    const { namespace, name = "", uid } = pod.metadata ?? {};
    const patch = { metadata: { uid, resourceVersion, "$deleteFromPrimitiveList/finalizers": [TRACKING_FINALIZER] } };
    try {
      await this.#context.client.patch(PODS, { namespace, name }, STRATEGIC, patch);
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
    return undefined;
  }

  async #letGoOrphan(key: string): Promise<undefined> {
    const pod = this.#context.caches.pods.lister.get(key);
    if (pod === undefined || !isTracked(pod) || jobOf(this.#jobs, pod) !== undefined) return undefined;
    // A Job that matches may be adopting it just now.
    return await this.#letGoOne(pod, pod.metadata?.resourceVersion);
  }

  /** Events and figures for what has just become true. */
  #tell(before: Job, after: Job): void {
    const { recorder } = this.#context;
    this.#metrics.counted(before, after);
    for (const { type, status, reason = "", message = "" } of after.status?.conditions ?? []) {
      const known = before.status?.conditions?.find((one) => one.type === type);
      if (known?.status === status) continue;
      if (type === "Complete") {
        if ((after.status?.succeeded ?? 0) > (after.spec?.completions ?? Number.POSITIVE_INFINITY)) {
          const text = "Too many succeeded pods running after completion count reached";
          recorder.event(about(after), "Warning", "TooManySucceededPods", text);
        }
        recorder.event(about(after), "Normal", "Completed", "Job completed");
        this.#metrics.finished(after, "succeeded", reason);
      } else if (type === "Failed") {
        recorder.event(about(after), "Warning", reason, message);
        this.#metrics.finished(after, "failed", reason);
      } else if (type === "Suspended" && status === "True") {
        recorder.event(about(after), "Normal", "Suspended", "Job suspended");
      } else if (type === "Suspended") recorder.event(about(after), "Normal", "Resumed", "Job resumed");
    }
  }
}

interface Managed {
  readonly created: number;
  readonly removed: number;
  readonly problem: Error | undefined;
}

/** The status that was just written has the start; a later look reckons from it. */
function deadlineOf({ spec, status }: Job): number | undefined {
  if (spec?.activeDeadlineSeconds === undefined || status?.startTime !== undefined) return undefined;
  return spec.activeDeadlineSeconds * 1000;
}
