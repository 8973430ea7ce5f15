// Who controls an object, and what an owner may claim. Guarantees:
// - An object with another controller is never touched.
// - An owner that is being deleted neither adopts nor releases.
import {
  labelSelectorAsSelector,
  type KubeObject,
  type LabelSelectorObject,
  type OwnerReference,
  type Selector,
} from "@coxswain/apimachinery";

/** The owner that controls the object, if any. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata?.ownerReferences?.find((reference) => reference.controller === true);
}

/** A reference that makes `owner` the controller. */
export function controllerReference(owner: KubeObject, apiVersion: string, kind: string): OwnerReference {
  const { name = "", uid = "" } = owner.metadata ?? {};
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/** True where `owner` of that kind controls the object. */
export function controls(owner: KubeObject, object: KubeObject): boolean {
  const uid = owner.metadata?.uid;
  return uid !== undefined && controllerOf(object)?.uid === uid;
}

/** Those of the object's namespace that would adopt it: whose selector takes its labels. */
export function selecting<T extends { readonly spec?: { readonly selector?: LabelSelectorObject } | undefined }>(
  owners: Iterable<T>,
  object: KubeObject,
): T[] {
  return [...owners].filter(({ spec }) => labelSelectorAsSelector(spec?.selector).matches(object.metadata?.labels));
}

export interface ClaimPlan<T> {
  readonly owned: T[];
  readonly adopt: T[];
  readonly release: T[];
}

/** Sorts candidates of the owner's namespace into what it owns, should adopt and should release. */
export function planClaim<T extends KubeObject>(
  owner: KubeObject,
  selector: Selector,
  candidates: readonly T[],
  adoptable: (object: T) => boolean = () => true,
): ClaimPlan<T> {
  const plan: ClaimPlan<T> = { owned: [], adopt: [], release: [] };
  const deleting = owner.metadata?.deletionTimestamp !== undefined;
  for (const object of candidates) {
    const controller = controllerOf(object);
    const matches = selector.matches(object.metadata?.labels);
    if (controller !== undefined) {
      if (controller.uid !== owner.metadata?.uid) continue;
      if (matches) plan.owned.push(object);
      else if (!deleting) plan.release.push(object);
      continue;
    }
    const gone = object.metadata?.deletionTimestamp !== undefined;
    if (!deleting && matches && !gone && adoptable(object)) plan.adopt.push(object);
  }
  return plan;
}
