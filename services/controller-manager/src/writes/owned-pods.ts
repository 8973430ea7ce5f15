// Creates and deletes the pods of a workload (ReplicaSet, DaemonSet, Job), tells of each in an event, and lowers the workload's
// expectations where the informer will show nothing. Guarantee: a pod that may have been made, or may be gone, is still expected.
import { PODS, type Pod } from "@coxswain/api";
import { isReason, StatusError, type KubeObject } from "@coxswain/apimachinery";
import type { EventRecorder } from "@coxswain/client";
import type { Expectations } from "@coxswain/controller-runtime";
import { createSlowly, named, type CreateDeps } from "./create-named.ts";
import { deleteForSure } from "./delete-for-sure.ts";
import { isNamespaceTerminating } from "./namespace-terminating.ts";

export interface OwnedPodsDeps extends CreateDeps {
  readonly recorder: EventRecorder;
  readonly expectations: Expectations;
}

export interface PodWrites {
  /** How many pods were made, or deleted, for certain. */
  readonly done: number;
  /** How many were not for such a reason as is told in `problem`. */
  readonly failed: number;
  /** The last error that stands in the way; not that the namespace ends, nor that a pod was gone already. */
  readonly problem: Error | undefined;
}

const INITIAL_BATCH = 1;
const NOT_SENT = new StatusError("Conflict", 409, "not sent, because an earlier create failed");

/** Gives each pod a name of its own and makes it. `owner` needs its apiVersion and kind. */
export async function createPods(
  deps: OwnedPodsDeps,
  owner: KubeObject,
  templates: readonly Pod[],
  signal: AbortSignal,
): Promise<PodWrites> {
  const { env, recorder, expectations } = deps;
  const uid = owner.metadata?.uid ?? "";
  const pods = templates.map((template) => named(env, template));
  expectations.expectCreations(uid, pods.length);
  let done = 0;
  let failed = 0;
  let problem: Error | undefined;
  for (const outcome of await createSlowly(deps, PODS, pods, { initialBatch: INITIAL_BATCH, signal })) {
    if (outcome.kind === "created") {
      done++;
      recorder.event(owner, "Normal", "SuccessfulCreate", `Created pod: ${outcome.object.metadata?.name}`);
    } else if (outcome.kind === "skipped") expectations.creationFailed(uid, NOT_SENT);
    else if (outcome.kind === "failed") {
      expectations.creationFailed(uid, outcome.error);
      if (isNamespaceTerminating(outcome.error)) continue;
      recorder.event(owner, "Warning", "FailedCreate", `Error creating: ${outcome.error.message}`);
      problem = outcome.error;
      failed++;
    }
  }
  return { done, failed, problem };
}

/** `owner` needs its apiVersion and kind. */
export async function removePods(
  deps: OwnedPodsDeps,
  owner: KubeObject,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<PodWrites> {
  const { recorder, expectations } = deps;
  const uid = owner.metadata?.uid ?? "";
  const uids = pods.map((pod) => pod.metadata?.uid ?? "");
  expectations.expectDeletions(uid, uids);
  let done = 0;
  let failed = 0;
  let problem: Error | undefined;
  for (const [at, outcome] of (await deleteForSure(deps, PODS, pods, signal)).entries()) {
    if (outcome.ok) {
      done++;
      recorder.event(owner, "Normal", "SuccessfulDelete", `Deleted pod: ${pods[at]?.metadata?.name}`);
      continue;
    }
    expectations.deletionFailed(uid, uids[at]!, outcome.error);
    if (isReason(outcome.error, "NotFound", "Conflict")) continue;
    recorder.event(owner, "Warning", "FailedDelete", `Error deleting: ${outcome.error.message}`);
    problem = outcome.error;
    failed++;
  }
  return { done, failed, problem };
}
