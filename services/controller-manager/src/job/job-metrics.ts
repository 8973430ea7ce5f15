// What the Job controller counts, named and labelled as upstream's does.
import type { Job, Pod } from "@coxswain/api";
import { doublingBuckets, type Metrics } from "@coxswain/component-base";
import type { Clock } from "@coxswain/env";
import { isPodTerminal } from "../pods/pod-state.ts";
import { parseIndexSet } from "./indexes.ts";
import { isIndexed, isTracked, uidOf } from "./job-pods.ts";
import type { CreationReason, SyncAction } from "./plan.ts";

const name = (suffix: string): string => `job_controller_${suffix}`;
const BUCKETS = doublingBuckets(0.004, 15);

const modeOf = (job: Job): string => (isIndexed(job) ? "Indexed" : "NonIndexed");
const isHeld = (pod: Pod | undefined): boolean => pod !== undefined && isPodTerminal(pod) && isTracked(pod);

/** Indexes below the completions: a Job that was made smaller has lost the rest. */
function indexes(text: string | undefined, { spec }: Job): number {
  return [...parseIndexSet(text)].filter((index) => index < (spec?.completions ?? 0)).length;
}

export class JobMetrics {
  readonly #clock: Clock;
  readonly #syncs;
  readonly #syncSeconds;
  readonly #jobs;
  readonly #managedElsewhere;
  readonly #pods;
  readonly #handled;
  readonly #held;
  readonly #indexes;
  readonly #created;
  /** Failed pods that a rule has been counted for, as the cache had them. */
  readonly #seen = new WeakSet<Pod>();

  constructor(metrics: Metrics, clock: Clock) {
    this.#clock = clock;
    const sync = ["completion_mode", "result", "action"];
    this.#syncs = metrics.counter(name("job_syncs_total"), "Looks at Jobs.", sync);
    this.#syncSeconds = metrics.histogram(name("job_sync_duration_seconds"), "Time of a look at a Job.", BUCKETS, sync);
    const finished = ["completion_mode", "result", "reason"];
    this.#jobs = metrics.counter(name("jobs_finished_total"), "Jobs that have ended.", finished);
    const elsewhere = "Jobs that other controllers manage.";
    this.#managedElsewhere = metrics.counter(name("jobs_by_external_controller_total"), elsewhere, ["controller_name"]);
    const ended = "Pods that have ended and that their Jobs have counted.";
    this.#pods = metrics.counter(name("job_pods_finished_total"), ended, ["completion_mode", "result"]);
    const rules = "Failed pods that a rule of podFailurePolicy fits, by what it asks for.";
    this.#handled = metrics.counter(name("pod_failures_handled_by_failure_policy_total"), rules, ["action"]);
    const held = "Ended pods that came to be held for a Job (add), or no more (delete).";
    this.#held = metrics.counter(name("terminated_pods_tracking_finalizer_total"), held, ["event"]);
    const indexLabels = ["status", "backoffLimit"];
    this.#indexes = metrics.counter(name("job_finished_indexes_total"), "Indexes that are done.", indexLabels);
    const created = "Pods that were to be made, by what for and by outcome.";
    this.#created = metrics.counter(name("job_pods_creation_total"), created, ["reason", "status"]);
  }

  /** Counts a look at a Job; `work` says what it came to. */
  async synced<T>(job: Job, work: (sync: { action: SyncAction }) => Promise<T>): Promise<T> {
    const began = this.#clock.monotonic();
    const sync: { action: SyncAction } = { action: "reconciling" };
    let result = "error";
    try {
      const value = await work(sync);
      result = "success";
      return value;
    } finally {
      const labels = { completion_mode: modeOf(job), result, action: sync.action };
      this.#syncs.inc(labels);
      this.#syncSeconds.observe((this.#clock.monotonic() - began) / 1000, labels);
    }
  }

  finished(job: Job, result: "succeeded" | "failed", reason: string): void {
    this.#jobs.inc({ completion_mode: modeOf(job), result, reason });
  }

  found({ spec }: Job, ownManager: string): void {
    const { managedBy = ownManager } = spec ?? {};
    if (managedBy !== ownManager) this.#managedElsewhere.inc({ controller_name: managedBy });
  }

  /** The status went from `before` to `after`. */
  counted({ status: before }: Job, job: Job): void {
    const after = job.status;
    const more = (was = 0, is = 0): number => Math.max(0, is - was);
    let succeeded = more(before?.succeeded, after?.succeeded);
    if (isIndexed(job)) {
      const backoffLimit = job.spec?.backoffLimitPerIndex === undefined ? "global" : "perIndex";
      succeeded = more(indexes(before?.completedIndexes, job), indexes(after?.completedIndexes, job));
      const failed = more(indexes(before?.failedIndexes, job), indexes(after?.failedIndexes, job));
      this.#indexes.inc({ status: "succeeded", backoffLimit }, succeeded);
      if (failed > 0) this.#indexes.inc({ status: "failed", backoffLimit }, failed);
    }
    const mode = { completion_mode: modeOf(job) };
    this.#pods.inc({ ...mode, result: "succeeded" }, succeeded);
    this.#pods.inc({ ...mode, result: "failed" }, more(before?.failed, after?.failed));
  }

  /** `pods` are noted or let go now; `rules` says by UID what a rule asks for those of them that are new. */
  handled(pods: readonly Pod[], rules: ReadonlyMap<string, string>): void {
    for (const pod of pods) {
      const action = rules.get(uidOf(pod));
      if (action === undefined || this.#seen.has(pod)) continue;
      this.#seen.add(pod);
      this.#handled.inc({ action });
    }
  }

  /** Any pod, of a Job or not, went from `before` to `after`. */
  held(before: Pod | undefined, after: Pod | undefined): void {
    const now = isHeld(after);
    if (now !== isHeld(before)) this.#held.inc({ event: now ? "add" : "delete" });
  }

  created(reason: CreationReason, succeeded: number, failed: number): void {
    if (succeeded > 0) this.#created.inc({ reason, status: "succeeded" }, succeeded);
    if (failed > 0) this.#created.inc({ reason, status: "failed" }, failed);
  }
}
