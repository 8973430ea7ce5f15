// The claims of a pod's volumes, as the plugins of storage see them.
import type { PersistentVolumeClaim, Pod, Volume } from "@coxswain/api";
import {
  claimNameOf,
  delaysBinding,
  classOf,
  isClaimOfPod,
  isFullyBound,
} from "@coxswain/api/core-v1/persistent-volume/binding";
import { objectKey } from "@coxswain/apimachinery";
import type { ClusterEvent, EventRegistration } from "../queue/cluster-event.ts";
import type { PodInfo } from "../pod-info.ts";
import type { ClusterVolumes } from "../snapshot/cluster-volumes.ts";

export function hasClaims(pod: Pod): boolean {
  return (
    pod.spec?.volumes?.some((one) => one.persistentVolumeClaim !== undefined || one.ephemeral !== undefined) === true
  );
}

/** Keys of the claims that the pod uses, whether they are there or not. */
export function claimKeys(pod: Pod): string[] {
  const namespace = pod.metadata?.namespace ?? "";
  return (pod.spec?.volumes ?? []).flatMap((volume) => {
    const name = claimNameOf(pod, volume);
    return name === undefined ? [] : [`${namespace}/${name}`];
  });
}

/** A claim, or why the pod cannot be placed with it. */
function claimOf(pod: Pod, volume: Volume, volumes: ClusterVolumes): PersistentVolumeClaim | string | undefined {
  const name = claimNameOf(pod, volume);
  if (name === undefined) return undefined;
  const named = JSON.stringify(name);
  const claim = volumes.claims.get(`${pod.metadata?.namespace ?? ""}/${name}`);
  if (claim === undefined) {
    return volume.ephemeral === undefined
      ? `persistentvolumeclaim ${named} not found`
      : `waiting for ephemeral volume controller to create the persistentvolumeclaim ${named}`;
  }
  if (claim.status?.phase === "Lost") {
    const gone = JSON.stringify(claim.spec?.volumeName ?? "");
    return `persistentvolumeclaim ${named} bound to non-existent persistentvolume ${gone}`;
  }
  if (claim.metadata?.deletionTimestamp !== undefined) return `persistentvolumeclaim ${named} is being deleted`;
  if (volume.ephemeral !== undefined && !isClaimOfPod(claim, pod)) {
    return `PVC ${objectKey(claim)} was not created for pod ${objectKey(pod)} (pod is not owner)`;
  }
  return claim;
}

export interface PodClaims {
  readonly bound: readonly PersistentVolumeClaim[];
  /** Of classes that wait for the first consumer: this pod. */
  readonly delayed: readonly PersistentVolumeClaim[];
  readonly immediate: readonly PersistentVolumeClaim[];
}

/** All claims of the pod, sorted by what is left to do; or why it cannot be placed anywhere, in upstream's words. */
export function podClaims(pod: Pod, volumes: ClusterVolumes): PodClaims | string {
  const bound: PersistentVolumeClaim[] = [];
  const delayed: PersistentVolumeClaim[] = [];
  const immediate: PersistentVolumeClaim[] = [];
  for (const volume of pod.spec?.volumes ?? []) {
    const claim = claimOf(pod, volume, volumes);
    if (claim === undefined) continue;
    if (typeof claim === "string") return claim;
    if (isFullyBound(claim)) bound.push(claim);
    // One that names a volume is for the binder to bind, whatever its class.
    else if (delaysBinding(volumes.classes.get(classOf(claim))) && !claim.spec?.volumeName) delayed.push(claim);
    else immediate.push(claim);
  }
  return { bound, delayed, immediate };
}

/** A change of a claim helps the pods that use it. */
export function usesChangedClaim(waiting: PodInfo, { object }: ClusterEvent): boolean {
  return object === undefined || claimKeys(waiting.pod).includes(objectKey(object));
}

/** Registrations that all plugins of storage share. */
export const CLAIM_EVENTS: readonly EventRegistration[] = [
  { resource: "PersistentVolumeClaim", actions: ["Add", "Update"], hint: usesChangedClaim },
  { resource: "PersistentVolume", actions: ["Add", "Update"] },
];
