// The claims of a StatefulSet's pods: made before the pod, and owned by who has to take them along when it goes. Guarantee: a claim
// that is there is never made anew or changed but for its owners.
// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention
import { PERSISTENT_VOLUME_CLAIMS, type PersistentVolumeClaim, type Pod, type StatefulSet } from "@coxswain/api";
import { deepEqual, isReason, type OwnerReference } from "@coxswain/apimachinery";
import type { EventRecorder, ResourceClient } from "@coxswain/client";
import { claimsFor, podName } from "./stateful-pod.ts";

export interface ClaimOwners {
  readonly set: StatefulSet;
  /** Of the ordinal, where there is one. */
  readonly pod: Pod | undefined;
  readonly condemned: boolean;
}

const reference = (apiVersion: string, kind: string, object: Pod | StatefulSet): OwnerReference => ({
  apiVersion,
  kind,
  name: object.metadata?.name ?? "",
  uid: object.metadata?.uid ?? "",
});

/** The owners that the claim should have: those of others stay. */
export function planOwners(present: readonly OwnerReference[], { set, pod, condemned }: ClaimOwners): OwnerReference[] {
  const policy = set.spec?.persistentVolumeClaimRetentionPolicy;
  const others = present.filter(({ uid }) => uid !== set.metadata?.uid && uid !== pod?.metadata?.uid);
  const own: OwnerReference[] = [];
  if (policy?.whenScaled === "Delete" && condemned && pod !== undefined) own.push(reference("v1", "Pod", pod));
  else if (policy?.whenDeleted === "Delete") own.push(reference("apps/v1", "StatefulSet", set));
  return [...others, ...own];
}

/** Rejects where a claim can neither be read nor made. */
export async function ensureClaims(
  client: ResourceClient,
  recorder: EventRecorder,
  set: StatefulSet,
  ordinal: number,
): Promise<void> {
  const about = { ...set, apiVersion: "apps/v1", kind: "StatefulSet" };
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
    const owners = planOwners([], { set, pod: undefined, condemned: false });
    const metadata = owners.length === 0 ? claim.metadata : { ...claim.metadata, ownerReferences: owners };
    try {
      await client.create<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, { ...claim, metadata });
      recorder.event(about, "Normal", "SuccessfulCreate", `create ${what} success`);
    } catch (error) {
      if (isReason(error, "AlreadyExists")) continue;
      const text = error instanceof Error ? error.message : String(error);
      recorder.event(about, "Warning", "FailedCreate", `create ${what} failed error: ${text}`);
      throw error;
    }
  }
}

/** Puts the owners of an ordinal's claims right; claims that are not there are passed over. */
export async function settleOwners(client: ResourceClient, ordinal: number, owners: ClaimOwners): Promise<void> {
  for (const claim of claimsFor(owners.set, ordinal)) {
    const { namespace, name = "" } = claim.metadata ?? {};
    try {
      const present = await client.get<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, { namespace, name });
      const before = present.metadata?.ownerReferences ?? [];
      const wanted = planOwners(before, owners);
      if (deepEqual(before, wanted)) continue;
      await client.update(PERSISTENT_VOLUME_CLAIMS, {
        ...present,
        metadata: { ...present.metadata, ownerReferences: wanted },
      });
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }
}
