// Revisions: which ReplicaSet is the new one, and the annotations by which `kubectl rollout history` and `undo` find the
// others. Pure.
import type { Deployment, ReplicaSet } from "@coxswain/api";
import { parseTime } from "@coxswain/apimachinery";
import { sameTemplate } from "./template-hash.ts";

export const REVISION = "deployment.kubernetes.io/revision";
const REVISION_HISTORY = "deployment.kubernetes.io/revision-history";
export const DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas";
export const MAX_REPLICAS = "deployment.kubernetes.io/max-replicas";

/** Annotations of a Deployment that say nothing about its ReplicaSets. */
const NOT_COPIED: ReadonlySet<string> = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  "deprecated.deployment.rollback.to",
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
]);

/** Of the annotation, as upstream. */
const MAX_HISTORY_CHARACTERS = 2_000;
const MAX_INT64 = 2n ** 63n - 1n;

/** 0 where the annotation is none. */
function revisionIn(text: string): bigint {
  const revision = /^\d{1,19}$/.test(text) ? BigInt(text) : 0n;
  return revision <= MAX_INT64 ? revision : 0n;
}

export function revisionOf(object: { metadata?: { annotations?: Record<string, string> } }): bigint {
  return revisionIn(object.metadata?.annotations?.[REVISION] ?? "");
}

const createdMs = (rs: ReplicaSet): number => parseTime(rs.metadata?.creationTimestamp) ?? 0;
const nameOf = (rs: ReplicaSet): string => rs.metadata?.name ?? "";

/** Oldest first; names decide between equals. */
export function byCreation(a: ReplicaSet, b: ReplicaSet): number {
  return createdMs(a) - createdMs(b) || (nameOf(a) < nameOf(b) ? -1 : 1);
}

/** The ReplicaSet of the Deployment's present template: the oldest, where several match. */
export function findNewReplicaSet(deployment: Deployment, replicaSets: readonly ReplicaSet[]): ReplicaSet | undefined {
  const template = deployment.spec?.template ?? {};
  return replicaSets.toSorted(byCreation).find((rs) => sameTemplate(rs.spec?.template ?? {}, template));
}

/** The revision that the new ReplicaSet should carry. */
export function nextRevision(old: readonly ReplicaSet[]): bigint {
  return old.map(revisionOf).reduce((highest, one) => (one > highest ? one : highest), 0n) + 1n;
}

/** The oldest revisions go where the text would be too long. */
function longerHistory(history: string, revision: string): string {
  const revisions = [...history.split(","), revision].filter((one) => one !== "");
  while (revisions.length > 1 && revisions.join().length > MAX_HISTORY_CHARACTERS) revisions.shift();
  return revisions.join();
}

/** The annotations that the new ReplicaSet should have: those of the Deployment, and its revision. */
export function newReplicaSetAnnotations(
  deployment: Deployment,
  present: Record<string, string>,
  revision: bigint,
): Record<string, string> {
  const annotations = { ...present };
  for (const [key, value] of Object.entries(deployment.metadata?.annotations ?? {})) {
    if (!NOT_COPIED.has(key)) annotations[key] = value;
  }
  const before = present[REVISION] ?? "";
  if (revisionIn(before) >= revision) return annotations;
  annotations[REVISION] = String(revision);
  if (before !== "") {
    annotations[REVISION_HISTORY] = longerHistory(present[REVISION_HISTORY] ?? "", before);
  }
  return annotations;
}

/** Old ReplicaSets beyond the history limit that have nothing left to do; the oldest revisions first. */
export function planHistoryCleanup(deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] {
  const limit = deployment.spec?.revisionHistoryLimit;
  if (limit === undefined || limit === 2 ** 31 - 1) return [];
  const alive = old.filter((rs) => rs.metadata?.deletionTimestamp === undefined);
  return alive
    .toSorted((a, b) => Number(revisionOf(a) - revisionOf(b)) || byCreation(a, b))
    .slice(0, Math.max(0, alive.length - limit))
    .filter(
      (rs) =>
        (rs.status?.replicas ?? 0) === 0 &&
        rs.spec?.replicas === 0 &&
        (rs.metadata?.generation ?? 0) <= (rs.status?.observedGeneration ?? 0),
    );
}
