// The claims of devices that a pod uses, as the scheduler sees them, and what of a change to a claim may help a pod that waits.
import type { DeviceResourceClaim, Pod } from "@coxswain/api";
import { notOfPod, podClaimName } from "@coxswain/api/resource-v1/pod-device-claims";
import { deepEqual } from "@coxswain/apimachinery";
import type { ClusterDevices } from "../snapshot/cluster-devices.ts";

export function hasDeviceClaims(pod: Pod): boolean {
  return (pod.spec?.resourceClaims?.length ?? 0) > 0;
}

/** All claims of the pod, in order; or why it has to wait for one, in upstream's words. */
export function podDeviceClaims(pod: Pod, devices: ClusterDevices): DeviceResourceClaim[] | string {
  const claims: DeviceResourceClaim[] = [];
  for (const podClaim of pod.spec?.resourceClaims ?? []) {
    const found = podClaimName(pod, podClaim);
    if (found.kind === "missing") return found.reason;
    if (found.kind === "none") continue;
    const key = `${pod.metadata?.namespace ?? ""}/${found.name}`;
    const claim = devices.claim(key);
    if (claim === undefined) return `could not find ResourceClaim ${JSON.stringify(key)}`;
    if (claim.metadata?.deletionTimestamp !== undefined) {
      return `resourceclaim ${JSON.stringify(found.name)} is being deleted`;
    }
    const foreign = found.generated ? notOfPod(claim, pod) : undefined;
    if (foreign !== undefined) return foreign;
    claims.push(claim);
  }
  return claims;
}

/** Whether an added or changed claim may help the pod: its own have changed, or another has given its devices back. */
export function mayHelpPod(
  pod: Pod,
  devices: ClusterDevices,
  claim: DeviceResourceClaim,
  old: DeviceResourceClaim | undefined,
): boolean {
  const claims = podDeviceClaims(pod, devices);
  if (typeof claims === "string") return false;
  if (old?.status?.allocation !== undefined && claim.status?.allocation === undefined) return true;
  if (!claims.some((one) => one.metadata?.uid === claim.metadata?.uid)) return false;
  return old === undefined || !deepEqual(old.status ?? {}, claim.status ?? {});
}
