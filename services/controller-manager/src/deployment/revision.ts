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

export function revisionOf(object: { metadata?: { annotations?: Record<string, string> } }): number {
  const text = object.metadata?.annotations?.[REVISION] ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
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
export function nextRevision(old: readonly ReplicaSet[]): number {
  return Math.max(0, ...old.map(revisionOf)) + 1;
}

/** The annotations that the new ReplicaSet should have: those of the Deployment, and its revision. */
export function newReplicaSetAnnotations(
  deployment: Deployment,
  present: Record<string, string>,
  revision: number,
): Record<string, string> {
  const annotations = { ...present };
  for (const [key, value] of Object.entries(deployment.metadata?.annotations ?? {})) {
    if (!NOT_COPIED.has(key)) annotations[key] = value;
  }
  const before = present[REVISION] ?? "";
  if (Number(before || 0) >= revision) return annotations;
  annotations[REVISION] = String(revision);
  if (before !== "") {
    const history = [...(present[REVISION_HISTORY] ?? "").split(","), before].filter((one) => one !== "");
    annotations[REVISION_HISTORY] = history.join(",");
  }
  return annotations;
}

/** Old ReplicaSets beyond the history limit that have nothing left to do; the oldest revisions first. */
export function planHistoryCleanup(deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] {
  const limit = deployment.spec?.revisionHistoryLimit;
  if (limit === undefined || limit === 2 ** 31 - 1) return [];
  const alive = old.filter((rs) => rs.metadata?.deletionTimestamp === undefined);
  return alive
    .toSorted((a, b) => revisionOf(a) - revisionOf(b) || byCreation(a, b))
    .slice(0, Math.max(0, alive.length - limit))
    .filter(
      (rs) =>
        (rs.status?.replicas ?? 0) === 0 &&
        rs.spec?.replicas === 0 &&
        (rs.metadata?.generation ?? 0) <= (rs.status?.observedGeneration ?? 0),
    );
}
