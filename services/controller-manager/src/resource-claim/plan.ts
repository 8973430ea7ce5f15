// What becomes of claims of devices: whose reservations still hold, what is given back, what a pod still lacks. Pure.
// https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
import type {
  DeviceResourceClaim,
  Pod,
  PodResourceClaim,
  ResourceClaimConsumerReference,
  ResourceClaimTemplate,
} from "@coxswain/api";
import { CLAIM_FINALIZER, isReservedFor, notOfPod, podClaimName } from "@coxswain/api/resource-v1/pod-device-claims";
import { deepClone } from "@coxswain/apimachinery";
import { isPodTerminal } from "../pods/pod-state.ts";

/** Names the pod's claim that a claim was generated for. */
export const POD_CLAIM_ANNOTATION = "resource.kubernetes.io/pod-claim-name";

/** With the hyphen and five random characters, the longest name that a label may have. */
const LONGEST_BASE = 57;

/** It runs no container and never will. */
export function isPodDone(pod: Pod): boolean {
  return isPodTerminal(pod) || (pod.metadata?.deletionTimestamp !== undefined && !pod.spec?.nodeName);
}

/** What the name of a generated claim begins with: pod and claim, both cut in proportion where they are too long. */
export function generatedBase(pod: string, claim: string): string {
  const base = `${pod}-${claim}-`;
  if (base.length <= LONGEST_BASE) return base;
  const part = (text: string): string => text.slice(0, Math.floor((text.length * LONGEST_BASE) / base.length));
  return `${part(pod)}-${part(claim)}`;
}

/** The claim of a template, for one pod; its name is still to be completed. */
export function claimFromTemplate(pod: Pod, name: string, template: ResourceClaimTemplate): DeviceResourceClaim {
  const { namespace = "", name: podName = "", uid = "" } = pod.metadata ?? {};
  const { metadata, spec } = deepClone(template.spec);
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: {
      generateName: generatedBase(podName, name),
      namespace,
      ...(metadata?.labels === undefined ? {} : { labels: metadata.labels }),
      annotations: { ...metadata?.annotations, [POD_CLAIM_ANNOTATION]: name },
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: podName, uid, controller: true }],
    },
    spec,
  };
}

export interface ClaimLookup {
  /** A claim of the pod's namespace. */
  claim(name: string): DeviceResourceClaim | undefined;
}

/** Whether the pod still needs the controller: a claim to be made, or one that it runs with to be reserved. */
export function needsWork(pod: Pod, lookup: ClaimLookup): boolean {
  if (pod.metadata?.deletionTimestamp !== undefined) return false;
  for (const podClaim of pod.spec?.resourceClaims ?? []) {
    const found = podClaimName(pod, podClaim);
    if (found.kind === "missing") return true;
    if (found.kind === "none") return false;
    const claim = lookup.claim(found.name);
    if (claim === undefined) return podClaim.resourceClaimTemplateName !== undefined;
    if (found.generated && notOfPod(claim, pod) !== undefined) return false;
    if (pod.spec?.nodeName && claim.status?.allocation && !isReservedFor(claim, pod)) return true;
  }
  return false;
}

/** Whether a claim has to be made from the template; one that is recorded and gone, or is another's, is made anew. */
export function lacksClaim(pod: Pod, podClaim: PodResourceClaim, lookup: ClaimLookup): boolean {
  const found = podClaimName(pod, podClaim);
  if (podClaim.resourceClaimTemplateName === undefined || found.kind === "none") return false;
  if (found.kind === "missing") return true;
  const claim = lookup.claim(found.name);
  return claim === undefined || notOfPod(claim, pod) !== undefined;
}

/** "ask": whether the pod is there is for the api-server to say. */
export type ConsumerVerdict = "keep" | "drop" | "ask";

/** Whether a reservation still holds. `known`: the pod of that name as the cache has it; `gone`: pods that were seen to go. */
export function judgeConsumer(
  consumer: ResourceClaimConsumerReference,
  known: Pod | undefined,
  gone: (uid: string) => boolean,
): ConsumerVerdict {
  if ((consumer.apiGroup ?? "") !== "" || consumer.resource !== "pods") {
    throw new Error(`unsupported ReservedFor entry: ${JSON.stringify(consumer)}`);
  }
  if (gone(consumer.uid)) return "drop";
  if (known === undefined) return "ask";
  return known.metadata?.uid !== consumer.uid || isPodDone(known) ? "drop" : "keep";
}

export interface ReleasePlan {
  /** With the status to write; undefined where it stays. */
  readonly status?: DeviceResourceClaim;
  /** Whether the finalizer goes, once that is written. */
  readonly release: boolean;
}

/** What to write of a claim whose consumers are `valid` by now. With the last of them the devices are given back. */
export function planRelease(claim: DeviceResourceClaim, valid: readonly ResourceClaimConsumerReference[]): ReleasePlan {
  const held = claim.metadata?.finalizers?.includes(CLAIM_FINALIZER) === true;
  const { allocation, reservedFor = [], ...rest } = claim.status ?? {};
  if (valid.length < reservedFor.length) {
    const kept = valid.length > 0 || !held ? { ...(allocation && { allocation }) } : {};
    const consumers = valid.length === 0 ? {} : { reservedFor: [...valid] };
    return {
      status: { ...claim, status: { ...rest, ...kept, ...consumers } },
      release: held && !("allocation" in kept),
    };
  }
  if (!held || claim.metadata?.deletionTimestamp === undefined || valid.length > 0) return { release: false };
  if (allocation === undefined) return { release: true };
  return { status: { ...claim, status: rest }, release: true };
}

/** The pod that a claim was generated for. */
export function ownerOf(claim: DeviceResourceClaim): { readonly name: string; readonly uid: string } | undefined {
  return claim.metadata?.ownerReferences?.find(
    ({ controller, apiVersion, kind }) => controller === true && apiVersion === "v1" && kind === "Pod",
  );
}

/** Whether nobody needs a generated claim without consumers any more. `pod`: the one of the owner's name. */
export function isLeftOver(claim: DeviceResourceClaim, pod: Pod | undefined): boolean {
  const owner = ownerOf(claim);
  // One that is not known may be known soon; where it is gone, the garbage collector sees to its claims.
  if (owner === undefined || pod === undefined) return false;
  return pod.metadata?.uid !== owner.uid || isPodDone(pod);
}
