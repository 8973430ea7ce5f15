// Carries out a claim: adopts and releases by patch. Guarantees: before the first adoption the owner is read live, so that
// an owner that is gone or being deleted adopts nothing; an object made anew under the same name is never patched.
import { isReason, type KubeObject, type OwnerReference, type ResourceRef } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import { settleAll } from "@coxswain/controller-runtime";
import type { ClaimPlan } from "./controller-ref.ts";

export interface ClaimTarget {
  /** What is claimed. */
  readonly ref: ResourceRef;
  readonly owner: KubeObject;
  readonly ownerRef: ResourceRef;
  readonly ownerReference: OwnerReference;
  /** What the owner holds its own with: added by an adoption, taken away by a release. */
  readonly finalizers?: readonly string[];
}

const STRATEGIC = "application/strategic-merge-patch+json";

/** Adopts and releases as planned; resolves with what the owner owns now. */
export async function executeClaim<T extends KubeObject>(
  client: ResourceClient,
  target: ClaimTarget,
  plan: ClaimPlan<T>,
): Promise<T[]> {
  if (plan.adopt.length > 0) await checkOwner(client, target);
  const adopting = plan.adopt.map((object) => adopt(client, target, object));
  const releasing = plan.release.map((object) => release(client, target, object));
  const patched = await settleAll([...adopting, ...releasing]);
  return [...plan.owned, ...patched.filter((object) => object !== undefined)];
}

async function checkOwner(client: ResourceClient, { owner, ownerRef }: ClaimTarget): Promise<void> {
  const { namespace, name = "", uid } = owner.metadata ?? {};
  const live = await client.get(ownerRef, { namespace, name });
  if (live.metadata?.uid !== uid)
    throw new Error(`original ${name} is gone: got uid ${live.metadata?.uid}, wanted ${uid}`);
  const deleted = live.metadata?.deletionTimestamp;
  if (deleted !== undefined) throw new Error(`${namespace}/${name} has just been deleted at ${deleted}`);
}

function patch<T extends KubeObject>(
  client: ResourceClient,
  ref: ResourceRef,
  object: T,
  metadata: object,
): Promise<T> {
  const { namespace, name = "", uid } = object.metadata ?? {};
  return client.patch<T>(ref, { namespace, name }, STRATEGIC, { metadata: { uid, ...metadata } });
}

async function adopt<T extends KubeObject>(
  client: ResourceClient,
  target: ClaimTarget,
  object: T,
): Promise<T | undefined> {
  try {
    const { ref, ownerReference, finalizers } = target;
    return await patch(client, ref, object, { ownerReferences: [ownerReference], finalizers });
  } catch (error) {
    if (isReason(error, "NotFound")) return undefined;
    throw error;
  }
}

async function release(client: ResourceClient, target: ClaimTarget, object: KubeObject): Promise<undefined> {
  try {
    const { ref, ownerReference, finalizers } = target;
    await patch(client, ref, object, {
      ownerReferences: [{ $patch: "delete", uid: ownerReference.uid }],
      ...(finalizers === undefined ? {} : { "$deleteFromPrimitiveList/finalizers": finalizers }),
    });
  } catch (error) {
    // Gone, or no longer as it was: nothing is left to release.
    if (!isReason(error, "NotFound", "Invalid")) throw error;
  }
  return undefined;
}
