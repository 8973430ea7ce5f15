// How the replicas of a Deployment are spread over its ReplicaSets. Pure; every function returns the wanted size of the
// ReplicaSets that should change, by name. Guarantees for rolling updates: the sum of sizes never exceeds
// replicas + maxSurge, and no available pod is taken away below replicas - maxUnavailable.
import type { Deployment, ReplicaSet } from "@coxswain/api";
import { availableOf, isRollingUpdate, replicasOf, rolloutLimits, sumOf, wantedReplicas } from "./limits.ts";
import { byCreation, DESIRED_REPLICAS, MAX_REPLICAS } from "./revision.ts";

export type Sizes = Map<string, number>;

const nameOf = (rs: ReplicaSet): string => rs.metadata?.name ?? "";
const isActive = (rs: ReplicaSet): boolean => replicasOf(rs) > 0;

function annotated(rs: ReplicaSet, key: string): number | undefined {
  const text = rs.metadata?.annotations?.[key];
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/** True where the Deployment was scaled since its ReplicaSets were last sized. */
export function isScalingEvent(deployment: Deployment, replicaSets: readonly ReplicaSet[]): boolean {
  return replicaSets.some((rs) => {
    const desired = annotated(rs, DESIRED_REPLICAS);
    return isActive(rs) && desired !== undefined && desired !== wantedReplicas(deployment);
  });
}

/** The size that a new ReplicaSet should have: as far as maxSurge allows. `all` may hold it already. */
export function newReplicaSetSize(deployment: Deployment, all: readonly ReplicaSet[], current: number): number {
  const wanted = wantedReplicas(deployment);
  if (!isRollingUpdate(deployment)) return wanted;
  const room = wanted + rolloutLimits(deployment).maxSurge - sumOf(all, replicasOf);
  return room <= 0 ? current : current + Math.min(room, Math.max(0, wanted - current));
}

/** One step of a rolling update up: the new ReplicaSet. */
export function planScaleUp(deployment: Deployment, newRs: ReplicaSet, old: readonly ReplicaSet[]): Sizes {
  const current = replicasOf(newRs);
  const wanted = wantedReplicas(deployment);
  const size = current > wanted ? wanted : newReplicaSetSize(deployment, [...old, newRs], current);
  return size === current ? new Map() : new Map([[nameOf(newRs), size]]);
}

/**
 * What stays available once the ReplicaSet has the size that it was told: its status may still count pods that it was told
 * to remove, and counting those as spare would remove others in their place.
 */
function keptAvailable(rs: ReplicaSet): number {
  return Math.min(availableOf(rs), replicasOf(rs));
}

/** One step of a rolling update down: first what is not available anyway, then as much as availability allows. */
export function planScaleDown(deployment: Deployment, newRs: ReplicaSet, old: readonly ReplicaSet[]): Sizes {
  const sizes: Sizes = new Map();
  if (sumOf(old, replicasOf) === 0) return sizes;
  const all = [...old, newRs];
  const minAvailable = wantedReplicas(deployment) - rolloutLimits(deployment).maxUnavailable;
  const newUnavailable = replicasOf(newRs) - keptAvailable(newRs);
  const most = sumOf(all, replicasOf) - minAvailable - newUnavailable;
  if (most <= 0) return sizes;
  const oldestFirst = old.toSorted(byCreation);
  const sizeOf = (rs: ReplicaSet): number => sizes.get(nameOf(rs)) ?? replicasOf(rs);
  let unhealthy = most;
  for (const rs of oldestFirst) {
    const down = Math.min(unhealthy, Math.max(0, replicasOf(rs) - availableOf(rs)));
    unhealthy -= down;
    if (down > 0) sizes.set(nameOf(rs), replicasOf(rs) - down);
  }
  let healthy = sumOf(all, keptAvailable) - minAvailable;
  for (const rs of oldestFirst) {
    const down = Math.min(healthy, sizeOf(rs));
    if (down <= 0) continue;
    healthy -= down;
    sizes.set(nameOf(rs), sizeOf(rs) - down);
  }
  return sizes;
}

/** The sizes after the Deployment was scaled, or while it is paused. */
export function planScale(deployment: Deployment, newRs: ReplicaSet | undefined, old: readonly ReplicaSet[]): Sizes {
  const wanted = wantedReplicas(deployment);
  const only = activeOrLatest(newRs, old);
  if (only !== undefined) return replicasOf(only) === wanted ? new Map() : new Map([[nameOf(only), wanted]]);
  if (newRs !== undefined && isSaturated(newRs, wanted)) {
    return new Map(old.filter(isActive).map((rs) => [nameOf(rs), 0]));
  }
  return isRollingUpdate(deployment) ? planProportional(deployment, newRs, old) : new Map();
}

function activeOrLatest(newRs: ReplicaSet | undefined, old: readonly ReplicaSet[]): ReplicaSet | undefined {
  const active = [...old, ...(newRs === undefined ? [] : [newRs])].filter(isActive);
  if (active.length === 0) return newRs ?? old.toSorted(byCreation).at(-1);
  return active.length === 1 ? active[0] : undefined;
}

function isSaturated(rs: ReplicaSet, wanted: number): boolean {
  return annotated(rs, DESIRED_REPLICAS) === wanted && replicasOf(rs) === wanted && availableOf(rs) === wanted;
}

/** Spreads what is to be added or taken over all ReplicaSets by their share, so that a bad new one gains no weight. */
function planProportional(deployment: Deployment, newRs: ReplicaSet | undefined, old: readonly ReplicaSet[]): Sizes {
  const wanted = wantedReplicas(deployment);
  const active = [...old, ...(newRs === undefined ? [] : [newRs])].filter(isActive);
  const allowed = wanted > 0 ? wanted + rolloutLimits(deployment).maxSurge : 0;
  const toAdd = allowed - sumOf(active, replicasOf);
  // Larger ones take the rounding; of equals the newer grows and the older shrinks first.
  const ordered = active.toSorted(
    (a, b) => replicasOf(b) - replicasOf(a) || (toAdd > 0 ? byCreation(b, a) : byCreation(a, b)),
  );
  const sizes: Sizes = new Map();
  let added = 0;
  for (const rs of ordered) {
    const left = toAdd - added;
    const share = left === 0 ? 0 : shareOf(deployment, rs);
    const change = toAdd > 0 ? Math.min(share, left) : Math.max(share, left);
    sizes.set(nameOf(rs), replicasOf(rs) + change);
    added += change;
  }
  const [first] = ordered;
  if (first !== undefined && toAdd !== 0) {
    sizes.set(nameOf(first), Math.max(0, (sizes.get(nameOf(first)) ?? 0) + toAdd - added));
  }
  return sizes;
}

function shareOf(deployment: Deployment, rs: ReplicaSet): number {
  const wanted = wantedReplicas(deployment);
  if (wanted === 0) return -replicasOf(rs);
  // A missing annotation falls back to what the Deployment said last.
  const before = annotated(rs, MAX_REPLICAS) || (deployment.status?.replicas ?? 0);
  if (before === 0) return 0;
  const size = (replicasOf(rs) * (wanted + rolloutLimits(deployment).maxSurge)) / before;
  return Math.round(size) - replicasOf(rs);
}
