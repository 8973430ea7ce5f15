// Invariants of Jobs: what a Job says of its pods is true. A pod counts once, and only for an end that it has come to; no index has
// two pods at work; no more pods are at work than the parallelism allows.
import type { Job, Pod } from "@coxswain/api";
import { controllerUid, isLive, type ClusterState } from "../cluster-state.ts";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

interface Ends {
  readonly succeeded: Set<string>;
  /** Indexes that a pod has succeeded for. */
  readonly indexes: Set<string>;
  /** Failed, or taken away before they had ended. */
  readonly failed: Set<string>;
}

const INDEX = "batch.kubernetes.io/job-completion-index";
const uidOf = (object: { metadata?: { uid?: string } }): string => object.metadata?.uid ?? "";

export interface JobInvariant extends Invariant {
  /** How many pods of the Job have ended, and how many of its indexes are done, by the pods' own words. */
  ended(uid: string): { readonly succeeded: number; readonly failed: number; readonly indexes: number };
}

function miscounts(job: Job, ends: Ends): string[] {
  const { succeeded = 0, failed = 0, uncountedTerminatedPods: lists } = job.status ?? {};
  const name = `job ${job.metadata?.name}`;
  const told = { succeeded: lists?.succeeded ?? [], failed: lists?.failed ?? [] };
  const all = new Set([...ends.succeeded, ...ends.failed]);
  const wrong: string[] = [];
  const claim = (what: string, count: number, most: number): void => {
    if (count > most) wrong.push(`${name} counts ${count} pods as ${what}, and ${most} were`);
  };
  // An Indexed Job counts its indexes, as soon as their pods are in the list.
  if (job.spec?.completionMode === "Indexed") claim("succeeded", succeeded, ends.indexes.size);
  else claim("succeeded", succeeded + told.succeeded.length, ends.succeeded.size);
  claim("failed", failed + told.failed.length, ends.failed.size);
  for (const uid of [...told.succeeded, ...told.failed]) {
    if (!all.has(uid)) wrong.push(`${name} counts ${uid}, which has not ended`);
  }
  if (new Set([...told.succeeded, ...told.failed]).size < told.succeeded.length + told.failed.length) {
    wrong.push(`${name} counts a pod twice`);
  }
  return wrong;
}

export function jobCountsAreExact(): JobInvariant {
  const byJob = new Map<string, Ends>();
  const endsOf = (uid: string): Ends => {
    let ends = byJob.get(uid);
    if (ends === undefined) byJob.set(uid, (ends = { succeeded: new Set(), indexes: new Set(), failed: new Set() }));
    return ends;
  };
  return {
    name: "job-counts-are-exact",
    ended(uid) {
      const { succeeded, failed, indexes } = endsOf(uid);
      return { succeeded: succeeded.size, failed: failed.size, indexes: indexes.size };
    },
    check({ ref, object, old }) {
      if (ref.resource === "jobs" && object !== undefined) return miscounts(object, endsOf(uidOf(object)));
      if (ref.resource !== "pods") return OK;
      for (const pod of [old, object] as (Pod | undefined)[]) {
        const owner = pod?.metadata?.ownerReferences?.find(({ kind, controller }) => controller && kind === "Job")?.uid;
        if (pod === undefined || owner === undefined) continue;
        const ends = endsOf(owner);
        if (pod.status?.phase === "Succeeded") {
          ends.succeeded.add(uidOf(pod));
          ends.indexes.add(pod.metadata?.annotations?.[INDEX] ?? "");
        } else if (pod.status?.phase === "Failed" || pod.metadata?.deletionTimestamp !== undefined) {
          ends.failed.add(uidOf(pod));
        }
      }
      return OK;
    },
  };
}

/** Checked where a pod is made. A create that a thawed server carries out late is beyond any controller. */
export function jobsNeverOverwork(): Invariant {
  return {
    name: "jobs-never-overwork",
    check({ ref, object, old, actor }, state: ClusterState) {
      if (ref.resource !== "pods" || object === undefined || old !== undefined || actor?.abandoned === true) return OK;
      const owner = controllerUid(object);
      const job = state.list<Job>("jobs").find((one) => uidOf(one) === owner);
      if (job === undefined) return OK;
      const live = state.owned<Pod>("pods", owner).filter(isLive);
      const most = job.spec?.parallelism ?? 1;
      if (live.length > most) return [`${ref.name} is pod ${live.length} at work of a Job that allows ${most}`];
      const index = object.metadata?.annotations?.[INDEX];
      const same = live.filter((pod) => pod.metadata?.annotations?.[INDEX] === index);
      return index === undefined || same.length <= 1 ? OK : [`${ref.name} has index ${index}, and so has another pod`];
    },
  };
}
