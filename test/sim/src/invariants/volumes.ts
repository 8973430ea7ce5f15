// Invariants of storage: a claim has one volume for as long as it lives, a volume has one claim, and a pod is bound only where all
// its claims have volumes that can be reached.
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@coxswain/api";
import { claimNameOf, isFullyBound, isReachableFrom } from "@coxswain/api/core-v1/persistent-volume/binding";
import type { Change, ClusterState } from "../cluster-state.ts";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

const volumeOf = (claim: PersistentVolumeClaim): string => claim.spec?.volumeName ?? "";

function ofClaim({ key, object, old }: Change, state: ClusterState): readonly string[] {
  const claim: PersistentVolumeClaim = object ?? {};
  const name = volumeOf(claim);
  const before: PersistentVolumeClaim | undefined = old;
  const was = before?.metadata?.uid === claim.metadata?.uid && before !== undefined ? volumeOf(before) : "";
  if (was !== "" && was !== name) return [`${key} went from volume ${was} to ${name || "none"}`];
  if (name === "") return OK;
  const others = state
    .list<PersistentVolumeClaim>("persistentvolumeclaims")
    .filter((one) => volumeOf(one) === name && one.metadata?.uid !== claim.metadata?.uid);
  return others.length === 0 ? OK : [`${key} and ${others[0]?.metadata?.name} both have volume ${name}`];
}

function ofVolume({ object, old }: Change, state: ClusterState): readonly string[] {
  const volume: PersistentVolume = object ?? {};
  const { name } = volume.metadata ?? {};
  const uid = volume.spec?.claimRef?.uid ?? "";
  const before: PersistentVolume | undefined = old;
  const was = before?.spec?.claimRef?.uid ?? "";
  if (was !== "" && was !== uid) return [`volume ${name} went from claim ${was} to ${uid || "none"}`];
  if (uid === "") return OK;
  const others = state
    .list<PersistentVolume>("persistentvolumes")
    .filter((one) => one.spec?.claimRef?.uid === uid && one.metadata?.name !== name);
  return others.length === 0 ? OK : [`volumes ${name} and ${others[0]?.metadata?.name} are both of claim ${uid}`];
}

function ofPod({ key, object, old }: Change, state: ClusterState): readonly string[] {
  const pod: Pod = object ?? {};
  const before: Pod | undefined = old;
  const at = pod.spec?.nodeName ?? "";
  if (at === "" || (before?.spec?.nodeName ?? "") === at) return OK;
  const node = state.nodes.find((one: Node) => one.metadata?.name === at);
  return (pod.spec?.volumes ?? []).flatMap((each) => {
    const name = claimNameOf(pod, each);
    if (name === undefined) return [];
    const claim = state
      .list<PersistentVolumeClaim>("persistentvolumeclaims")
      .find(({ metadata }) => metadata?.name === name && metadata.namespace === pod.metadata?.namespace);
    if (claim === undefined || !isFullyBound(claim)) return [`${key} was bound before its claim ${name}`];
    const volume = state
      .list<PersistentVolume>("persistentvolumes")
      .find(({ metadata }) => metadata?.name === volumeOf(claim));
    const reachable = volume !== undefined && (node === undefined || isReachableFrom(volume, node));
    return reachable ? [] : [`${key} was bound to ${at}, where the volume of ${name} is not`];
  });
}

const CHECKS: Readonly<Record<string, (change: Change, state: ClusterState) => readonly string[]>> = {
  persistentvolumeclaims: ofClaim,
  persistentvolumes: ofVolume,
  pods: ofPod,
};

/** No author of the simulated cluster takes a binding back by hand. */
export function claimsAreBoundOnce(): Invariant {
  return {
    name: "claims-bound-once",
    check(change, state) {
      return change.object === undefined ? OK : (CHECKS[change.ref.resource]?.(change, state) ?? OK);
    },
  };
}
