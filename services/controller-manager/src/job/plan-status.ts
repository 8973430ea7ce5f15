// A Job's status after a look at its pods: what was counted, conditions, times. Pure. Guarantee: a pod is counted once.
import type { Job, JobCondition, JobStatus, Pod } from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import { formatIndexSet } from "./indexes.ts";
import { isPodReady } from "../pods/pod-state.ts";
import * as pods from "./job-pods.ts";
import { BURST, type JobPlan } from "./plan.ts";

function withCondition(
  list: readonly JobCondition[],
  next: Pick<JobCondition, "type" | "status" | "reason" | "message">,
  nowMs: number,
): JobCondition[] {
  const now = formatTime(nowMs);
  const known = list.find(({ type }) => type === next.type);
  if (known?.status === next.status && known.reason === next.reason) return [...list];
  const made = { ...next, lastProbeTime: now, lastTransitionTime: now };
  return known === undefined ? [...list, made] : list.map((one) => (one === known ? made : one));
}

function suspension(job: Job, list: readonly JobCondition[], nowMs: number): JobCondition[] {
  const known = list.find(({ type }) => type === "Suspended");
  if (job.spec?.suspend === true) {
    return withCondition(
      list,
      { type: "Suspended", status: "True", reason: "JobSuspended", message: "Job suspended" },
      nowMs,
    );
  }
  if (known?.status !== "True") return [...list];
  return withCondition(
    list,
    { type: "Suspended", status: "False", reason: "JobResumed", message: "Job resumed" },
    nowMs,
  );
}

/** What has just been counted, and what is being counted now. */
export interface Accounting {
  readonly succeeded: number;
  readonly failed: number;
  readonly uncounted: { readonly succeeded: readonly string[]; readonly failed: readonly string[] };
}

/**
 * Moves pods on: from new to the lists, and from the lists to the numbers once they are no longer held. A pod is never in two
 * places, so that none is counted twice or lost.
 */
export function account(
  job: Job,
  all: readonly Pod[],
  { ignored, delayed }: Pick<JobPlan, "ignored" | "delayed">,
): Accounting {
  const sorted = pods.sortPods(job, all);
  const held = new Set(all.filter(pods.isTracked).map(pods.uidOf));
  const { succeeded, failed } = sorted.uncounted;
  const kept = (list: ReadonlySet<string>): string[] => [...list].filter((uid) => held.has(uid));
  const moved = (list: ReadonlySet<string>): number => [...list].filter((uid) => !held.has(uid)).length;
  const counted = sorted.newFailed.map(pods.uidOf).filter((uid) => !ignored.has(uid) && !delayed.has(uid));
  return {
    succeeded: (job.status?.succeeded ?? 0) + moved(succeeded),
    failed: (job.status?.failed ?? 0) + moved(failed),
    uncounted: {
      succeeded: [...kept(succeeded), ...sorted.newSucceeded.map(pods.uidOf)].slice(0, BURST),
      failed: [...kept(failed), ...counted].slice(0, BURST),
    },
  };
}

/** The status for what was planned. `active` counts pods after the plan's changes. */
export function planJobStatus(
  job: Job,
  all: readonly Pod[],
  plan: JobPlan,
  changes: { readonly created: number; readonly removed: number },
  nowMs: number,
): JobStatus {
  const sorted = pods.sortPods(job, all);
  const { succeeded, failed, uncounted } = account(job, all, plan);
  const active = sorted.active.length + changes.created - changes.removed;
  const terminating = sorted.terminating + changes.removed;
  const empty = uncounted.succeeded.length === 0 && uncounted.failed.length === 0;
  // Readiness that goes with a pod that was just taken away: the api-server refuses more ready pods than active ones.
  const leaving = changes.removed === plan.remove.length ? plan.remove.filter(isPodReady).length : 0;
  const ready = Math.min(sorted.ready - leaving, active);
  // What ends is not suspended any more; its start stays as it was.
  const ending = plan.outcome !== undefined;
  let conditions = ending ? [...(job.status?.conditions ?? [])] : suspension(job, job.status?.conditions ?? [], nowMs);
  if (plan.outcome !== undefined) conditions = withCondition(conditions, { status: "True", ...plan.outcome }, nowMs);
  const done =
    plan.outcome !== undefined && active === 0 && terminating === 0 && empty && sorted.newFailed.length === 0;
  const success = plan.outcome?.type === "SuccessCriteriaMet";
  if (done) {
    const { reason, message } = plan.outcome;
    conditions = withCondition(
      conditions,
      { type: success ? "Complete" : "Failed", status: "True", reason, message },
      nowMs,
    );
  }
  const suspended = job.spec?.suspend === true;
  const started = job.status?.startTime ?? (suspended ? undefined : formatTime(nowMs));
  const startTime = suspended && !ending ? undefined : started;
  const positive = (name: string, value: number): object => (value === 0 ? {} : { [name]: value });
  return {
    ...(conditions.length === 0 ? {} : { conditions }),
    ...(startTime === undefined ? {} : { startTime }),
    ...(done && success ? { completionTime: formatTime(nowMs) } : {}),
    ...positive("active", active),
    ...positive("succeeded", pods.isIndexed(job) ? plan.completedIndexes.size : succeeded),
    ...positive("failed", failed),
    ready: done ? 0 : ready,
    terminating: done ? 0 : terminating,
    uncountedTerminatedPods: {
      ...(uncounted.succeeded.length === 0 ? {} : { succeeded: [...uncounted.succeeded] }),
      ...(uncounted.failed.length === 0 ? {} : { failed: [...uncounted.failed] }),
    },
    ...(plan.completedIndexes.size === 0 ? {} : { completedIndexes: formatIndexSet(plan.completedIndexes) }),
    ...(job.spec?.backoffLimitPerIndex === undefined ? {} : { failedIndexes: formatIndexSet(plan.failedIndexes) }),
  };
}
