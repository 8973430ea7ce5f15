// The claims of devices that a pod may use on its node: allocated, and reserved for it. A pod does not start before all are.
// https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
import type { DeviceResourceClaim, Pod } from "@coxswain/api";
import { isReservedFor, notOfPod, podClaimName } from "@coxswain/api/resource-v1/pod-device-claims";

/** Why the pod may not use a claim, in upstream's words. */
export class DeviceClaimError extends Error {
  override readonly name = "DeviceClaimError";
}

/** Looks a claim of the pod's namespace up; undefined where there is none. */
export type FetchClaim = (namespace: string, name: string) => Promise<DeviceResourceClaim | undefined>;

/** In the order of the pod's. @throws DeviceClaimError */
export async function usableClaims(pod: Pod, fetch: FetchClaim): Promise<DeviceResourceClaim[]> {
  const { namespace = "", name: podName = "", uid: podUid = "" } = pod.metadata ?? {};
  const claims: DeviceResourceClaim[] = [];
  for (const podClaim of pod.spec?.resourceClaims ?? []) {
    const found = podClaimName(pod, podClaim);
    if (found.kind === "missing") throw new DeviceClaimError(found.reason);
    if (found.kind === "none") continue;
    const { name, generated } = found;
    const claim = await fetch(namespace, name);
    if (claim === undefined) {
      const missing = `resourceclaims.resource.k8s.io ${JSON.stringify(name)} not found`;
      throw new DeviceClaimError(`fetch ResourceClaim ${name}: ${missing}`);
    }
    const foreign = generated ? notOfPod(claim, pod) : undefined;
    if (foreign !== undefined) throw new DeviceClaimError(foreign);
    if (!isReservedFor(claim, pod)) {
      const uid = claim.metadata?.uid ?? "";
      throw new DeviceClaimError(`pod ${podName} (${podUid}) is not allowed to use ResourceClaim ${name} (${uid})`);
    }
    if (claim.status?.allocation === undefined) throw new DeviceClaimError(`ResourceClaim ${name}: not allocated`);
    claims.push(claim);
  }
  return claims;
}
