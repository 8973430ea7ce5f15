// How far a rollout may go above and below the wanted number of replicas.
import type { Deployment, ReplicaSet } from "@coxswain/api";

export function wantedReplicas(deployment: Deployment): number {
  return deployment.spec?.replicas ?? 1;
}

export function replicasOf(rs: ReplicaSet): number {
  return rs.spec?.replicas ?? 1;
}

export function availableOf(rs: ReplicaSet): number {
  return rs.status?.availableReplicas ?? 0;
}

export function sumOf(replicaSets: readonly ReplicaSet[], value: (rs: ReplicaSet) => number): number {
  return replicaSets.reduce((total, rs) => total + value(rs), 0);
}

export function isRollingUpdate(deployment: Deployment): boolean {
  return deployment.spec?.strategy?.type !== "Recreate";
}

/** A number, or a percentage of `total` as `round` makes it whole. */
export function scaled(value: number | string | undefined, total: number, round: (n: number) => number): number {
  if (typeof value === "number") return value;
  const percent = /^(\d+)%$/.exec(value ?? "")?.[1];
  return percent === undefined ? 0 : round((Number(percent) * total) / 100);
}

/** maxSurge rounds up and maxUnavailable down; both 0 would stand still, so one may be missing then. */
export function rolloutLimits(deployment: Deployment): { maxSurge: number; maxUnavailable: number } {
  const wanted = wantedReplicas(deployment);
  if (!isRollingUpdate(deployment)) return { maxSurge: 0, maxUnavailable: 0 };
  const settings = deployment.spec?.strategy?.rollingUpdate;
  const maxSurge = scaled(settings?.maxSurge ?? "25%", wanted, Math.ceil);
  const unavailable = scaled(settings?.maxUnavailable ?? "25%", wanted, Math.floor);
  const fenced = maxSurge === 0 && unavailable === 0 ? 1 : unavailable;
  return { maxSurge, maxUnavailable: wanted === 0 ? 0 : Math.min(fenced, wanted) };
}
