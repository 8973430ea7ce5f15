// The claims of a StatefulSet's pods: made before the pod, and owned by who has to take them along when it goes. Guarantee: a claim
// that is there is never made anew or changed but for its owners.
// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention
import { PERSISTENT_VOLUME_CLAIMS, type PersistentVolumeClaim, type Pod, type StatefulSet } from "@coxswain/api";
import { deepEqual, isReason, type OwnerReference } from "@coxswain/apimachinery";
import type { EventRecorder, ResourceClient } from "@coxswain/client";
import { controllerReference } from "../ownership/controller-ref.ts";
import { about, claimsFor, podName } from "./stateful-pod.ts";

export interface ClaimOwners {
  readonly set: StatefulSet;
  /** Of the ordinal, where there is one. */
  readonly pod: Pod | undefined;
  readonly condemned: boolean;
}

/** The reference means an object of that kind and name, be it this one or an earlier one of the same name. */
function names(owner: OwnerReference, { apiVersion, kind, name }: OwnerReference): boolean {
  return owner.apiVersion === apiVersion && owner.kind === kind && owner.name === name;
}

const owns = ({ set, pod }: ClaimOwners): OwnerReference[] => [
  controllerReference(set, "apps/v1", "StatefulSet"),
  ...(pod === undefined ? [] : [controllerReference(pod, "v1", "Pod")]),
];

export interface OwnersPlan {
  /** Those of others stay, and what an earlier set or pod of the name owns is left alone. */
  readonly wanted: readonly OwnerReference[];
  /** Another's claim, where the policy would have this set look after it: it is left to that controller. */
  readonly conflict: boolean;
}

/** Pure: the owners that a claim should have. */
export function planOwners(present: readonly OwnerReference[], owners: ClaimOwners): OwnersPlan {
  const { set, pod, condemned } = owners;
  const { whenDeleted, whenScaled } = set.spec?.persistentVolumeClaimRetentionPolicy ?? {};
  const own = owns(owners);
  const mine = (owner: OwnerReference): OwnerReference | undefined => own.find((one) => names(owner, one));
  const others = present.filter((owner) => mine(owner) === undefined);
  const earlier = present.some((owner) => (mine(owner)?.uid ?? owner.uid) !== owner.uid);
  const cares = whenDeleted === "Delete" || whenScaled === "Delete";
  const conflict = cares && (earlier || others.some((owner) => owner.controller === true));
  if (earlier) return { wanted: present, conflict };
  if (conflict) return { wanted: others, conflict };
  const [ofSet, ofPod] = own;
  if (whenScaled === "Delete" && condemned && pod !== undefined) return { wanted: [...others, ofPod!], conflict };
  return { wanted: whenDeleted === "Delete" ? [...others, ofSet!] : others, conflict };
}

/** Rejects where a claim can neither be read nor made. */
export async function ensureClaims(
  client: ResourceClient,
  recorder: EventRecorder,
  set: StatefulSet,
  ordinal: number,
): Promise<void> {
  for (const claim of claimsFor(set, ordinal)) {
    const { namespace, name = "" } = claim.metadata ?? {};
    try {
      const present = await client.get<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, { namespace, name });
      if (present.metadata?.deletionTimestamp !== undefined) throw new Error(`pvc ${name} is being deleted`);
      continue;
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
    const what = `Claim ${name} Pod ${podName(set, ordinal)} in StatefulSet ${set.metadata?.name ?? ""}`;
    const { wanted } = planOwners([], { set, pod: undefined, condemned: false });
    const metadata = wanted.length === 0 ? claim.metadata : { ...claim.metadata, ownerReferences: [...wanted] };
    try {
      await client.create<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, { ...claim, metadata });
      recorder.event(about(set), "Normal", "SuccessfulCreate", `create ${what} success`);
    } catch (error) {
      if (isReason(error, "AlreadyExists")) continue;
      const text = error instanceof Error ? error.message : String(error);
      recorder.event(about(set), "Warning", "FailedCreate", `create ${what} failed error: ${text}`);
      throw error;
    }
  }
}

/** Puts the owners of an ordinal's claims right; claims that are not there are passed over. */
export async function settleOwners(
  client: ResourceClient,
  recorder: EventRecorder,
  ordinal: number,
  owners: ClaimOwners,
): Promise<void> {
  for (const claim of claimsFor(owners.set, ordinal)) {
    const { namespace, name = "" } = claim.metadata ?? {};
    try {
      const present = await client.get<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, { namespace, name });
      const before = present.metadata?.ownerReferences ?? [];
      const { wanted, conflict } = planOwners(before, owners);
      if (deepEqual(before, wanted)) continue;
      if (conflict) {
        const text = `PersistentVolumeClaim ${name} has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim`;
        recorder.event(about(owners.set), "Warning", "ConflictingController", text);
      }
      await client.update(PERSISTENT_VOLUME_CLAIMS, {
        ...present,
        metadata: { ...present.metadata, ownerReferences: [...wanted] },
      });
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }
}
