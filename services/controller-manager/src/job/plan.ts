// What a Job needs: whether it has succeeded or failed, and which pods to make or to take away. Pure. Reasons and messages are
// upstream's. https://kubernetes.io/docs/concepts/workloads/controllers/job/
import type { Job, JobCondition, Pod } from "@coxswain/api";
import { parseTime } from "@coxswain/apimachinery";
import { choosePodsToDelete } from "../pods/deletion-order.ts";
import { judgeFailure, type Verdict } from "./failure-policy.ts";
import { parseIndexSet } from "./indexes.ts";
import * as pods from "./job-pods.ts";
import type { JobPods } from "./job-pods.ts";

const FIRST_BACKOFF_MS = 10_000;
const MAX_BACKOFF_MS = 10 * 60_000;
/** Pods that are made or taken away in one go. */
export const BURST = 500;

export interface NewPod {
  readonly index: number | undefined;
  /** Of its index so far; undefined where the Job has no limit for an index. */
  readonly failures: number | undefined;
  readonly ignored: number;
}

/** What a look at a Job comes to, as upstream's metrics name it. */
export type SyncAction = "reconciling" | "tracking" | "pods_created" | "pods_deleted";
/** What pods are made for, likewise. */
export type CreationReason = "new" | "recreate_terminating_or_failed" | "recreate_failed";

/** The end that a Job is going towards. */
export interface Outcome {
  readonly type: "SuccessCriteriaMet" | "FailureTarget";
  readonly reason: string;
  readonly message: string;
}

export interface JobPlan {
  readonly create: readonly NewPod[];
  readonly remove: readonly Pod[];
  readonly outcome: Outcome | undefined;
  readonly action: SyncAction;
  readonly creationReason: CreationReason;
  /** What a rule for failures asks for, by UID of the pods that have failed and were not noted yet. */
  readonly ruled: ReadonlyMap<string, Verdict["action"]>;
  /** When to look again although nothing may have changed, ms. */
  readonly againInMs: number | undefined;
  /** Pods whose failure does not count. */
  readonly ignored: ReadonlySet<string>;
  /** Failed pods that tell their index's successor how often the index has failed: held and not counted until it is there. */
  readonly delayed: ReadonlySet<string>;
  readonly completedIndexes: ReadonlySet<number>;
  readonly failedIndexes: ReadonlySet<number>;
}

interface Facts {
  readonly job: Job;
  readonly all: readonly Pod[];
  readonly sorted: JobPods;
  readonly verdicts: ReadonlyMap<Pod, Verdict>;
  readonly completed: ReadonlySet<number>;
  readonly failedIndexes: ReadonlySet<number>;
  readonly nowMs: number;
}

export function conditionOf(job: Job, type: string): JobCondition | undefined {
  return job.status?.conditions?.find((condition) => condition.type === type && condition.status === "True");
}

export const isFinished = (job: Job): boolean =>
  conditionOf(job, "Complete") !== undefined || conditionOf(job, "Failed") !== undefined;

/** Those below the completions: a Job that was made smaller forgets the rest. */
function indexesOf(job: Job, text: string | undefined): Set<number> {
  const all = parseIndexSet(text);
  for (const index of all) if (index >= (job.spec?.completions ?? 0)) all.delete(index);
  return all;
}

function factsOf(job: Job, all: readonly Pod[], nowMs: number): Facts {
  const sorted = pods.sortPods(job, all);
  const failures = all.filter((pod) => pods.hasFailed(job, pod));
  const verdicts = new Map(failures.map((pod) => [pod, judgeFailure(job, pod)] as const));
  const completed = indexesOf(job, job.status?.completedIndexes);
  const failedIndexes = indexesOf(job, job.status?.failedIndexes);
  if (pods.isIndexed(job)) {
    for (const pod of sorted.newSucceeded) completed.add(pods.indexOf(pod)!);
    const limit = job.spec?.backoffLimitPerIndex;
    for (const pod of limit === undefined ? [] : sorted.newFailed) {
      const { action } = verdicts.get(pod) ?? { action: "Count" };
      const spent = action !== "Ignore" && pods.failuresBefore(pod) >= limit!;
      if (action === "FailIndex" || spent) failedIndexes.add(pods.indexOf(pod)!);
    }
  }
  return { job, all, sorted, verdicts, completed, failedIndexes, nowMs };
}

/** Failures that count against backoffLimit. */
function countedFailures({ sorted, verdicts }: Facts): number {
  const ignored = sorted.newFailed.filter((pod) => verdicts.get(pod)?.action === "Ignore").length;
  return sorted.failed - ignored;
}

function restarts({ job, all }: Facts): number {
  if (job.spec?.template?.spec?.restartPolicy !== "OnFailure") return 0;
  return all
    .filter(({ status }) => status?.phase === "Running" || status?.phase === "Pending")
    .flatMap(({ status }) => [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])])
    .reduce((sum, { restartCount }) => sum + restartCount, 0);
}

function deadlineLeftMs({ job, nowMs }: Facts): number | undefined {
  const started = parseTime(job.status?.startTime);
  const seconds = job.spec?.activeDeadlineSeconds;
  if (seconds === undefined || started === undefined || job.spec?.suspend === true) return undefined;
  return started + seconds * 1000 - nowMs;
}

function failureOf(facts: Facts): Outcome | undefined {
  const { job, sorted, verdicts, completed, failedIndexes } = facts;
  const fail = (reason: string, message: string): Outcome => ({ type: "FailureTarget", reason, message });
  const fatal = sorted.newFailed.map((pod) => verdicts.get(pod)).find((verdict) => verdict?.action === "FailJob");
  if (fatal !== undefined) return fail("PodFailurePolicy", fatal.message ?? "");
  const limit = job.spec?.backoffLimit ?? 6;
  const restarted = restarts(facts);
  const spent = restarted > 0 && (limit === 0 || restarted >= limit);
  if (countedFailures(facts) > limit || spent) {
    return fail("BackoffLimitExceeded", "Job has reached the specified backoff limit");
  }
  const left = deadlineLeftMs(facts);
  if (left !== undefined && left <= 0) {
    return fail("DeadlineExceeded", "Job was active longer than specified deadline");
  }
  const most = job.spec?.maxFailedIndexes;
  if (most !== undefined && failedIndexes.size > most) {
    return fail("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes");
  }
  if (failedIndexes.size > 0 && failedIndexes.size + completed.size >= (job.spec?.completions ?? 0)) {
    return fail("FailedIndexes", "Job has failed indexes");
  }
  return undefined;
}

function successPolicyMatch({ job, completed }: Facts): number {
  return (job.spec?.successPolicy?.rules ?? []).findIndex(({ succeededIndexes, succeededCount }) => {
    const wanted = succeededIndexes === undefined ? undefined : parseIndexSet(succeededIndexes);
    const done = wanted === undefined ? completed.size : [...wanted].filter((index) => completed.has(index)).length;
    return done >= (succeededCount ?? wanted?.size ?? 0);
  });
}

function successOf(facts: Facts): Outcome | undefined {
  const { job, sorted, completed } = facts;
  const succeed = (reason: string, message: string): Outcome => ({ type: "SuccessCriteriaMet", reason, message });
  const rule = pods.isIndexed(job) ? successPolicyMatch(facts) : -1;
  if (rule >= 0) return succeed("SuccessPolicy", `Matched rules at index ${rule}`);
  const reached = succeed("CompletionsReached", "Reached expected number of succeeded pods");
  const { completions } = job.spec ?? {};
  if (completions === undefined) {
    return sorted.succeeded > 0 && sorted.active.length === 0 ? reached : undefined;
  }
  if (!pods.isIndexed(job)) return sorted.succeeded >= completions && sorted.active.length === 0 ? reached : undefined;
  return completed.size >= completions ? reached : undefined;
}

/** A decision that was written down stands. */
function outcomeOf(facts: Facts): Outcome | undefined {
  for (const type of ["FailureTarget", "SuccessCriteriaMet"] as const) {
    const known = conditionOf(facts.job, type);
    if (known !== undefined) return { type, reason: known.reason ?? "", message: known.message ?? "" };
  }
  return failureOf(facts) ?? successOf(facts);
}

/** How long to wait before the next pod, after failures in a row. */
function backoffMs(failed: readonly Pod[], failures: number, nowMs: number): number {
  if (failures <= 0) return 0;
  const delay = Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(failures - 1, 20), MAX_BACKOFF_MS);
  const last = Math.max(...failed.map((pod) => pods.endedAtMs(pod) ?? nowMs), Number.NEGATIVE_INFINITY);
  return Math.max(0, last + delay - nowMs);
}

/** Failures since the last success, of the pods that are still there; those that do not count delay the next pod like others. */
function failuresInARow({ all, job }: Facts): readonly Pod[] {
  const lastSuccess = Math.max(
    ...all.filter(pods.hasSucceeded).map((pod) => pods.endedAtMs(pod) ?? 0),
    Number.NEGATIVE_INFINITY,
  );
  return all.filter(
    (pod) =>
      pods.hasFailed(job, pod) &&
      // One that was taken away on purpose was let go before.
      (pod.status?.phase === "Failed" || pods.isTracked(pod)) &&
      (pods.endedAtMs(pod) ?? Number.POSITIVE_INFINITY) >= lastSuccess,
  );
}

interface Wanted {
  readonly create: readonly NewPod[];
  readonly againInMs: number | undefined;
}

/** The lowest indexes that nobody works on. */
function freeIndexes({ job, all, completed, failedIndexes }: Facts, count: number): number[] {
  const taken = new Set<number | undefined>(
    all.filter((pod) => !pods.hasSucceeded(pod) && !pods.hasFailed(job, pod)).map((pod) => pods.indexOf(pod)),
  );
  const free: number[] = [];
  for (let index = 0; index < (job.spec?.completions ?? 0) && free.length < count; index++) {
    if (!taken.has(index) && !completed.has(index) && !failedIndexes.has(index)) free.push(index);
  }
  return free;
}

/** Of an index's failed pods the one that knows of the most failures. */
function lastFailed({ all, job }: Facts, index: number): Pod | undefined {
  const ended = (pod: Pod): number => pods.endedAtMs(pod) ?? 0;
  return all
    .filter((pod) => pods.indexOf(pod) === index && pods.hasFailed(job, pod))
    .toSorted((a, b) => pods.allFailuresBefore(b) - pods.allFailuresBefore(a) || ended(b) - ended(a))[0];
}

/** With a limit for each index, each waits for itself. */
function perIndex(facts: Facts, free: readonly number[]): Wanted {
  const { verdicts, nowMs } = facts;
  const create: NewPod[] = [];
  const waits: number[] = [];
  for (const index of free) {
    const last = lastFailed(facts, index);
    const ignores = last !== undefined && verdicts.get(last)?.action === "Ignore";
    const failures = last === undefined ? 0 : pods.failuresBefore(last) + (ignores ? 0 : 1);
    const ignored = last === undefined ? 0 : pods.ignoredBefore(last) + (ignores ? 1 : 0);
    const waitMs = last === undefined ? 0 : backoffMs([last], failures + ignored, nowMs);
    if (waitMs > 0) waits.push(waitMs);
    else create.push({ index, failures, ignored });
  }
  return { create, againInMs: waits.length === 0 ? undefined : Math.min(...waits) };
}

/** The last failed pods of indexes that wait for another one. */
function delayedPods(facts: Facts): Set<string> {
  const { job, sorted, completed, failedIndexes } = facts;
  if (job.spec?.backoffLimitPerIndex === undefined) return new Set();
  const settled = new Set([...completed, ...failedIndexes, ...sorted.active.map((pod) => pods.indexOf(pod))]);
  const waiting = new Set(sorted.newFailed.map((pod) => pods.indexOf(pod)!).filter((index) => !settled.has(index)));
  const last = [...waiting].map((index) => lastFailed(facts, index));
  return new Set(last.filter((pod) => pod !== undefined).map(pods.uidOf));
}

function missing(facts: Facts, howMany: number): Wanted {
  const { job, nowMs } = facts;
  const free = pods.isIndexed(job) ? freeIndexes(facts, howMany) : Array.from({ length: howMany }, () => undefined);
  if (job.spec?.backoffLimitPerIndex !== undefined) return perIndex(facts, free as number[]);
  const failed = failuresInARow(facts);
  const waitMs = backoffMs(failed, failed.length, nowMs);
  if (waitMs > 0) return { create: [], againInMs: waitMs };
  return { create: free.map((index) => ({ index, failures: undefined, ignored: 0 })), againInMs: undefined };
}

function wantedActive({ job, sorted, completed }: Facts): number {
  const parallelism = job.spec?.parallelism ?? 1;
  const { completions } = job.spec ?? {};
  // Where one success is enough, no pod is added after it, and none taken away.
  if (completions === undefined) return sorted.succeeded > 0 ? sorted.active.length : parallelism;
  const done = pods.isIndexed(job) ? completed.size : sorted.succeeded;
  return Math.max(0, Math.min(parallelism, completions - done));
}

/** Pods that an Indexed Job has no use for: without a proper index, or beside another one of the same index. */
function useless({ job, sorted, nowMs }: Facts): Pod[] {
  if (!pods.isIndexed(job)) return [];
  const found = sorted.active.filter((pod) => !pods.isValid(job, pod));
  for (const group of Map.groupBy(sorted.active, (pod) => pods.indexOf(pod)).values()) {
    if (pods.isValid(job, group[0]!)) found.push(...choosePodsToDelete(group, group, group.length - 1, nowMs));
  }
  return found;
}

/** Those that are of no use first, and as many others as are too many. */
function surplusPods(facts: Facts, surplus: number): Pod[] {
  const { active } = facts.sorted;
  const remove = useless(facts);
  const rest = active.filter((pod) => !remove.includes(pod));
  const more = Math.max(0, surplus - remove.length);
  if (more > 0) remove.push(...choosePodsToDelete(rest, active, more, facts.nowMs));
  return remove.slice(0, BURST);
}

function creationReason(facts: Facts): CreationReason {
  const failed = countedFailures(facts) > 0;
  if (failed && pods.replacesOnlyFailed(facts.job)) return "recreate_failed";
  return failed || facts.sorted.terminating > 0 ? "recreate_terminating_or_failed" : "new";
}

function managed(facts: Facts): Pick<JobPlan, "create" | "remove" | "againInMs" | "action"> {
  const { job, sorted } = facts;
  const { active, terminating } = sorted;
  const nothing = { create: [], againInMs: undefined };
  if (job.spec?.suspend === true) return { ...nothing, remove: active, action: "pods_deleted" };
  const wanted = wantedActive(facts);
  const remove = surplusPods(facts, active.length - wanted);
  if (remove.length > 0) return { ...nothing, remove, action: "pods_deleted" };
  const busy = active.length + (pods.replacesOnlyFailed(job) ? terminating : 0);
  const lacking = Math.min(wanted - busy, BURST);
  if (lacking <= 0) return { ...nothing, remove: [], action: "tracking" };
  return { ...missing(facts, lacking), remove: [], action: "pods_created" };
}

/** `all` are the pods that the Job controls. */
export function planJob(job: Job, all: readonly Pod[], nowMs: number): JobPlan {
  const facts = factsOf(job, all, nowMs);
  const { sorted, verdicts, completed, failedIndexes } = facts;
  const ignored = new Set(sorted.newFailed.filter((pod) => verdicts.get(pod)?.action === "Ignore").map(pods.uidOf));
  const outcome = outcomeOf(facts);
  const delayed = outcome === undefined ? delayedPods(facts) : new Set<string>();
  const ruled = new Map<string, Verdict["action"]>();
  for (const pod of sorted.newFailed) {
    const verdict = verdicts.get(pod);
    if (verdict?.message !== undefined) ruled.set(pods.uidOf(pod), verdict.action);
  }
  const indexes = { completedIndexes: completed, failedIndexes };
  const common = { outcome, ignored, delayed, ruled, creationReason: creationReason(facts), ...indexes };
  if (outcome !== undefined) {
    return { ...common, create: [], remove: sorted.active, againInMs: undefined, action: "reconciling" };
  }
  const { create, remove, againInMs, action } = managed(facts);
  const waits = [againInMs, deadlineLeftMs(facts)].filter((ms) => ms !== undefined);
  return { ...common, create, remove, action, againInMs: waits.length === 0 ? undefined : Math.min(...waits) };
}
