// What a Job's pods are to it: running, ended, counted already or not yet. Pure.
// https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers
import type { Job, Pod } from "@coxswain/api";
import { parseTime } from "@coxswain/apimachinery";
import { parseIndexSet } from "./indexes.ts";
import { isPodActive, isPodReady, isPodTerminal } from "../pods/pod-state.ts";

/** On pods until the Job has counted them. */
export const TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking";
export const INDEX_KEY = "batch.kubernetes.io/job-completion-index";
export const INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count";
export const INDEX_IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count";

export const uidOf = (pod: Pod): string => pod.metadata?.uid ?? "";
export const isIndexed = ({ spec }: Job): boolean => spec?.completionMode === "Indexed";
export const isTracked = (pod: Pod): boolean => pod.metadata?.finalizers?.includes(TRACKING_FINALIZER) === true;
export const isTerminating = (pod: Pod): boolean =>
  pod.metadata?.deletionTimestamp !== undefined && !isPodTerminal(pod);

/** Undefined for a pod without a proper index. */
export function indexOf(pod: Pod): number | undefined {
  const text = pod.metadata?.annotations?.[INDEX_KEY];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Pods on their way out are replaced at once, or only when they have ended. */
export const replacesOnlyFailed = ({ spec }: Job): boolean => spec?.podReplacementPolicy === "Failed";

export const hasSucceeded = (pod: Pod): boolean => pod.status?.phase === "Succeeded";

/** A pod that is taken away before it has ended counts as failed, unless the Job waits for its end. */
export function hasFailed(job: Job, pod: Pod): boolean {
  if (pod.status?.phase === "Failed") return true;
  if (replacesOnlyFailed(job) || hasSucceeded(pod)) return false;
  return pod.metadata?.deletionTimestamp !== undefined;
}

export interface JobPods {
  readonly active: readonly Pod[];
  readonly ready: number;
  readonly terminating: number;
  /** Ended, and not in the Job's numbers or lists yet. */
  readonly newSucceeded: readonly Pod[];
  readonly newFailed: readonly Pod[];
  /** In the lists of the status, and still held for them. */
  readonly uncounted: { readonly succeeded: ReadonlySet<string>; readonly failed: ReadonlySet<string> };
  /** All that have succeeded or failed, in the numbers, the lists or new. */
  readonly succeeded: number;
  readonly failed: number;
}

export function sortPods(job: Job, pods: readonly Pod[]): JobPods {
  const lists = job.status?.uncountedTerminatedPods;
  const uncounted = { succeeded: new Set(lists?.succeeded), failed: new Set(lists?.failed) };
  const isNew = (pod: Pod): boolean =>
    isTracked(pod) && !uncounted.succeeded.has(uidOf(pod)) && !uncounted.failed.has(uidOf(pod));
  const newSucceeded = pods.filter((pod) => isNew(pod) && hasSucceeded(pod) && isValid(job, pod));
  const newFailed = pods.filter((pod) => isNew(pod) && hasFailed(job, pod) && isValid(job, pod));
  const active = pods.filter(isPodActive);
  return {
    active,
    ready: active.filter(isPodReady).length,
    terminating: pods.filter(isTerminating).length,
    newSucceeded,
    newFailed,
    uncounted,
    succeeded: (job.status?.succeeded ?? 0) + uncounted.succeeded.size + newSucceeded.length,
    failed: (job.status?.failed ?? 0) + uncounted.failed.size + newFailed.length,
  };
}

/**
 * True where the pods show that the Job is not the newest: some have been counted and let go, and the Job does not know of them yet.
 * Counting from it would make pods too many.
 */
export function isBehind(job: Job, pods: readonly Pod[]): boolean {
  const { succeeded = 0, uncountedTerminatedPods: lists, completedIndexes } = job.status ?? {};
  const listed = new Set([...(lists?.succeeded ?? []), ...(lists?.failed ?? [])]);
  const counted = pods.filter((pod) => hasSucceeded(pod) && !isTracked(pod) && !listed.has(uidOf(pod)));
  if (!isIndexed(job)) return counted.length > succeeded;
  const known = parseIndexSet(completedIndexes);
  return counted.some((pod) => isValid(job, pod) && !known.has(indexOf(pod)!));
}

/** A pod of an Indexed Job needs an index below the completions. */
export function isValid(job: Job, pod: Pod): boolean {
  if (!isIndexed(job)) return true;
  const index = indexOf(pod);
  return index !== undefined && index < (job.spec?.completions ?? 0);
}

/** When the last of the containers that matter ended; undefined while one of them runs. */
function lastFinishedMs({ spec, status }: Pod): number | undefined {
  const sidecars = new Set(
    (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always").map(({ name }) => name),
  );
  const alongside = (status?.initContainerStatuses ?? []).filter(({ name }) => sidecars.has(name));
  const times = [...(status?.containerStatuses ?? []), ...alongside].map(({ state }) =>
    parseTime(state?.terminated?.finishedAt),
  );
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 || known.length < times.length ? undefined : Math.max(...known);
}

/** When the pod ended, as far as it is known; ms since the epoch. */
export function endedAtMs(pod: Pod): number | undefined {
  const finished = lastFinishedMs(pod);
  if (finished !== undefined) return finished;
  const ready = pod.status?.conditions?.find(({ type, status }) => type === "Ready" && status === "False");
  const unready = parseTime(ready?.lastTransitionTime);
  if (unready !== undefined) return unready;
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, creationTimestamp } = pod.metadata ?? {};
  const gone = parseTime(deletionTimestamp);
  return gone === undefined ? parseTime(creationTimestamp) : gone - deletionGracePeriodSeconds * 1000;
}

const count = (pod: Pod, key: string): number => Number(pod.metadata?.annotations?.[key] ?? 0) || 0;
/** How often the pod's index had failed before it. */
export const failuresBefore = (pod: Pod): number => count(pod, INDEX_FAILURES);
export const ignoredBefore = (pod: Pod): number => count(pod, INDEX_IGNORED);
/** Those that do not count are among them. */
export const allFailuresBefore = (pod: Pod): number => failuresBefore(pod) + ignoredBefore(pod);
