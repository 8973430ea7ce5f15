// What a CronJob has to do now: which Jobs are too old to be kept, which still run, and whether a new one is due. Pure. Reasons and
// messages are upstream's. https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
import type { CronJob, Job, ObjectReference } from "@coxswain/api";
import { parseSchedule, ScheduleError, type CronSchedule } from "@coxswain/api/batch-v1/cron-job/schedule";
import { deepClone, parseTime } from "@coxswain/apimachinery";
import { conditionOf, isFinished } from "../job/plan.ts";
import { controllerReference } from "../ownership/controller-ref.ts";
import { nextTime, timeInZone, timesDue, wallClock } from "./schedule-times.ts";

export const SCHEDULED_TIME = "batch.kubernetes.io/cronjob-scheduled-timestamp";
const TOO_MANY = 100;
const SUCCESSES_KEPT = 3;
const FAILURES_KEPT = 1;
/** A Job must not be started a moment before its time. */
const SLACK_MS = 100;

export interface Report {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

const report = (type: Report["type"], reason: string, message: string): Report => ({ type, reason, message });

export interface Observed {
  readonly active: readonly ObjectReference[];
  readonly lastSuccessfulTime: string | undefined;
  readonly reports: readonly Report[];
}

const nameOf = (job: Job): string => job.metadata?.name ?? "";

export function referenceTo(job: Job): ObjectReference {
  const { name, namespace, uid, resourceVersion } = job.metadata ?? {};
  return {
    kind: "Job",
    apiVersion: "batch/v1",
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

/** Jobs that run and that the status does not list. */
export function unlistedJobs({ status }: CronJob, jobs: readonly Job[]): Job[] {
  const listed = new Set((status?.active ?? []).map(({ uid }) => uid));
  return jobs.filter(
    (job) => !isFinished(job) && job.metadata?.deletionTimestamp === undefined && !listed.has(job.metadata?.uid),
  );
}

/** Jobs that the status lists and that are not among `jobs`. */
export function missingJobs({ status }: CronJob, jobs: readonly Job[]): ObjectReference[] {
  const known = new Set(jobs.map(({ metadata }) => metadata?.uid));
  return (status?.active ?? []).filter(({ uid }) => !known.has(uid));
}

/** What has become of the Jobs that the status lists, and of those that it does not. */
export function observeJobs(cron: CronJob, jobs: readonly Job[]): Observed {
  const reports: Report[] = [];
  let lastSuccessfulTime = cron.status?.lastSuccessfulTime;
  let active = [...(cron.status?.active ?? [])];
  for (const job of unlistedJobs(cron, jobs)) {
    const message = `Saw a job that the controller did not create or forgot: ${nameOf(job)}`;
    reports.push(report("Warning", "UnexpectedJob", message));
  }
  for (const job of jobs.filter(isFinished)) {
    const listed = active.some(({ uid }) => uid === job.metadata?.uid);
    const state = conditionOf(job, "Complete") === undefined ? "Failed" : "Complete";
    if (listed) {
      active = active.filter(({ uid }) => uid !== job.metadata?.uid);
      reports.push(report("Normal", "SawCompletedJob", `Saw completed job: ${nameOf(job)}, condition: ${state}`));
    }
    const ended = job.status?.completionTime;
    const later = (parseTime(ended) ?? 0) > (parseTime(lastSuccessfulTime) ?? 0);
    if (state === "Complete" && ended !== undefined && later) lastSuccessfulTime = ended;
  }
  const missing = missingJobs(cron, jobs);
  for (const { name, uid } of missing) {
    reports.push(report("Normal", "MissingJob", `Active job went missing: ${name ?? uid ?? ""}`));
  }
  const gone = new Set(missing.map(({ uid }) => uid));
  return { active: active.filter(({ uid }) => !gone.has(uid)), lastSuccessfulTime, reports };
}

/** Ended Jobs beyond the limits, oldest first. */
export function surplusJobs({ spec }: CronJob, jobs: readonly Job[]): Job[] {
  const started = (job: Job): number => parseTime(job.status?.startTime) ?? Number.POSITIVE_INFINITY;
  const oldest = (type: string, keep: number): Job[] => {
    const ended = jobs
      .filter((job) => conditionOf(job, type) !== undefined)
      .toSorted((a, b) => started(a) - started(b) || (nameOf(a) < nameOf(b) ? -1 : 1));
    return ended.slice(0, Math.max(0, ended.length - keep));
  };
  return [
    ...oldest("Complete", spec?.successfulJobsHistoryLimit ?? SUCCESSES_KEPT),
    ...oldest("Failed", spec?.failedJobsHistoryLimit ?? FAILURES_KEPT),
  ];
}

export interface CronPlan {
  /** The time for which a Job is to be made now. */
  readonly startMs: number | undefined;
  /** Whether those that run have to make way. */
  readonly replace: boolean;
  readonly reports: readonly Report[];
  readonly againInMs: number | undefined;
}

type Clock = ReturnType<typeof wallClock>;

function readSchedule({ spec }: CronJob): { schedule: CronSchedule; clock: Clock } | Report {
  const text = spec?.schedule ?? "";
  let clock: Clock;
  try {
    clock = wallClock(spec?.timeZone);
  } catch {
    const message = `invalid timeZone: ${JSON.stringify(spec?.timeZone ?? "")}: unknown time zone ${spec?.timeZone ?? ""}`;
    return report("Warning", "UnknownTimeZone", message);
  }
  try {
    return { schedule: parseSchedule(text), clock };
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    return report("Warning", "UnparseableSchedule", `unparseable schedule: ${JSON.stringify(text)} : ${error.message}`);
  }
}

/** The first time after now. What comes at fixed intervals goes on from the time before, whenever it is looked at. */
function nextFire(schedule: CronSchedule, lastMs: number, nowMs: number, clock: Clock): number | undefined {
  if (!("everyMs" in schedule)) return nextTime(schedule, nowMs, clock);
  return nextTime(schedule, timesDue(schedule, lastMs, nowMs, clock).dueMs ?? lastMs, clock);
}

/** `active` are the Jobs that run. */
export function planCronJob(cron: CronJob, active: readonly ObjectReference[], nowMs: number): CronPlan {
  const nothing = { startMs: undefined, replace: false, reports: [], againInMs: undefined };
  if (cron.metadata?.deletionTimestamp !== undefined || cron.spec?.suspend === true) return nothing;
  const read = readSchedule(cron);
  if ("reason" in read) return { ...nothing, reports: [read] };
  const { schedule, clock } = read;
  const deadlineMs = (cron.spec?.startingDeadlineSeconds ?? Number.POSITIVE_INFINITY) * 1000;
  const lastMs = parseTime(cron.status?.lastScheduleTime) ?? parseTime(cron.metadata?.creationTimestamp) ?? nowMs;
  const sinceMs = Math.max(lastMs, nowMs - deadlineMs);
  const { dueMs, missed } = timesDue(schedule, sinceMs, nowMs, clock);
  const nextMs = nextFire(schedule, lastMs, nowMs, clock);
  // A day that no month has, as in 31 February: upstream finds the year 1 twice.
  if (nextMs === undefined) {
    const message = `invalid schedule: ${cron.spec?.schedule ?? ""} : time difference between two schedules is less than 1 second`;
    return { ...nothing, reports: [report("Warning", "InvalidSchedule", message)] };
  }
  const again = { againInMs: nextMs - nowMs + SLACK_MS };
  if (dueMs === undefined) return { ...nothing, ...again };
  const reports: Report[] = [];
  if (missed > TOO_MANY) {
    const message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
    reports.push(report("Warning", "TooManyMissedTimes", message));
  }
  if (dueMs + deadlineMs < nowMs) {
    const message = `Missed scheduled time to start a job: ${new Date(dueMs).toUTCString().replace("GMT", "+0000")}`;
    return { ...nothing, ...again, reports: [...reports, report("Warning", "MissSchedule", message)] };
  }
  const name = jobName(cron, dueMs);
  if (active.some((one) => one.name === name)) return { ...nothing, ...again, reports };
  const policy = cron.spec?.concurrencyPolicy;
  if (policy === "Forbid" && active.length > 0) {
    const message = "Not starting job because prior execution is running and concurrency policy is Forbid";
    return { ...nothing, ...again, reports: [...reports, report("Normal", "JobAlreadyActive", message)] };
  }
  return { startMs: dueMs, replace: policy === "Replace", reports, ...again };
}

/** The same time always makes the same name, so that no Job is made twice. */
export function jobName(cron: CronJob, scheduledMs: number): string {
  return `${cron.metadata?.name ?? ""}-${Math.floor(scheduledMs / 60_000)}`;
}

export function jobFromTemplate(cron: CronJob, scheduledMs: number): Job {
  const template = deepClone(cron.spec?.jobTemplate ?? {});
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: jobName(cron, scheduledMs),
      namespace: cron.metadata?.namespace,
      ...(template.metadata?.labels === undefined ? {} : { labels: template.metadata.labels }),
      annotations: {
        ...template.metadata?.annotations,
        [SCHEDULED_TIME]: timeInZone(scheduledMs, cron.spec?.timeZone),
      },
      ownerReferences: [controllerReference(cron, "batch/v1", "CronJob")],
    },
    ...(template.spec === undefined ? {} : { spec: template.spec }),
  };
}
