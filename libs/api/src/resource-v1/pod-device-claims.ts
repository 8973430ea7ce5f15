// Which claims of devices a pod uses, and whether they are its own. Pure: what the scheduler, the kubelet and the controller have
// in common. https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
import { objectKey } from "@coxswain/apimachinery";
import type { DeviceResourceClaim, Pod, PodResourceClaim } from "../types.gen.ts";

/** Keeps an allocated claim until its devices are given back. */
export const CLAIM_FINALIZER = "resource.kubernetes.io/delete-protection";

export type PodClaimName =
  | {
      readonly kind: "named";
      readonly name: string;
      /** From a template: only a claim that the pod controls is meant. */
      readonly generated: boolean;
    }
  /** None is needed. */
  | { readonly kind: "none" }
  /** None is known, in upstream's words. */
  | { readonly kind: "missing"; readonly reason: string };

/** The claim that stands behind one of `spec.resourceClaims`. */
export function podClaimName(pod: Pod, claim: PodResourceClaim): PodClaimName {
  const { name, resourceClaimName, resourceClaimTemplateName } = claim;
  if (resourceClaimName !== undefined) return { kind: "named", name: resourceClaimName, generated: false };
  const said = JSON.stringify(objectKey(pod));
  if (resourceClaimTemplateName === undefined) {
    const which = `spec.resourceClaim ${JSON.stringify(name)}`;
    return { kind: "missing", reason: `pod ${said}, ${which}: none of the supported fields are set` };
  }
  const status = pod.status?.resourceClaimStatuses?.find((one) => one.name === name);
  if (status === undefined) return { kind: "missing", reason: `pod ${said}: ResourceClaim not created yet` };
  if (status.resourceClaimName === undefined) return { kind: "none" };
  return { kind: "named", name: status.resourceClaimName, generated: true };
}

/** Keys of the claims that are known of a pod, whether they are there or not. */
export function podClaimKeys(pod: Pod): string[] {
  const namespace = pod.metadata?.namespace ?? "";
  return (pod.spec?.resourceClaims ?? []).flatMap((one) => {
    const found = podClaimName(pod, one);
    return found.kind === "named" ? [`${namespace}/${found.name}`] : [];
  });
}

/** Why a generated claim is not the pod's, in upstream's words; undefined where it is. */
export function notOfPod(claim: DeviceResourceClaim, pod: Pod): string | undefined {
  const owner = claim.metadata?.ownerReferences?.find((one) => one.controller === true);
  if (claim.metadata?.namespace === pod.metadata?.namespace && owner?.uid === pod.metadata?.uid) return undefined;
  return `ResourceClaim ${objectKey(claim)} was not created for pod ${objectKey(pod)} (pod is not owner)`;
}

export function isReservedFor(claim: DeviceResourceClaim, pod: Pod): boolean {
  return claim.status?.reservedFor?.some((one) => one.uid === pod.metadata?.uid) === true;
}

/** The claim with the pod among its consumers. */
export function reservedFor(claim: DeviceResourceClaim, pod: Pod): DeviceResourceClaim {
  const { name = "", uid = "" } = pod.metadata ?? {};
  const consumers = [...(claim.status?.reservedFor ?? []), { resource: "pods", name, uid }];
  return { ...claim, status: { ...claim.status, reservedFor: consumers } };
}
