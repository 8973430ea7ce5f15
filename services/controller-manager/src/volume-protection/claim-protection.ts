// Claim protection: a claim that is being deleted stays while a pod uses it. Guarantee: its finalizer goes only after the api-server,
// and not the cache alone, says that no pod with a node uses the claim.
// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
import { PERSISTENT_VOLUME_CLAIMS, PODS, type PersistentVolumeClaim, type Pod } from "@coxswain/api";
import { CLAIM_PROTECTION_FINALIZER, claimNameOf } from "@coxswain/api/core-v1/persistent-volume/binding";
import { isReason, objectKey } from "@coxswain/apimachinery";
import { createController } from "@coxswain/controller-runtime";
import { BY_CLAIM, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { controllerOf } from "../ownership/controller-ref.ts";
import { isPodTerminal } from "../pods/pod-state.ts";
import { planProtection, withFinalizer, withoutFinalizer } from "./plan.ts";

/** A pod without a node does not hold a claim: no kubelet starts it with one that is going. */
export function usesClaim(pod: Pod, claim: PersistentVolumeClaim): boolean {
  if ((pod.spec?.nodeName ?? "") === "" || pod.metadata?.namespace !== claim.metadata?.namespace) return false;
  return (pod.spec?.volumes ?? []).some((volume) => {
    if (claimNameOf(pod, volume) !== claim.metadata?.name) return false;
    if (volume.ephemeral === undefined) return true;
    return !isPodTerminal(pod) && controllerOf(claim)?.uid === pod.metadata?.uid;
  });
}

export function createClaimProtection(context: ControllerContext): ManagedController {
  const { caches, client, informers } = context;
  const claims = informers.informer<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS);

  async function isUsed(claim: PersistentVolumeClaim): Promise<boolean> {
    const known = caches.pods.lister.byIndex(BY_CLAIM, objectKey(claim));
    if (known.some((pod) => usesClaim(pod, claim))) return true;
    const { items } = await client.list<Pod>(PODS, { namespace: claim.metadata?.namespace ?? "" });
    return items.some((pod) => usesClaim(pod, claim));
  }

  async function reconcile(key: string): Promise<void> {
    const claim = claims.lister.get(key);
    if (claim === undefined) return;
    const plan = planProtection(claim, CLAIM_PROTECTION_FINALIZER);
    if (plan === "nothing" || (plan === "release" && (await isUsed(claim)))) return;
    const change = plan === "protect" ? withFinalizer : withoutFinalizer;
    try {
      await client.update(PERSISTENT_VOLUME_CLAIMS, change(claim, CLAIM_PROTECTION_FINALIZER));
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }

  const controller = createController({ name: "persistentvolumeclaim-protection-controller", reconcile }, context);
  const enqueue = (claim: PersistentVolumeClaim): void => controller.enqueue(objectKey(claim));
  claims.addHandler({ add: enqueue, update: enqueue });
  const enqueueClaims = (pod: Pod): void => {
    for (const volume of pod.spec?.volumes ?? []) {
      const claim = claimNameOf(pod, volume);
      if (claim !== undefined) controller.enqueue(`${pod.metadata?.namespace ?? ""}/${claim}`);
    }
  };
  caches.pods.addHandler({
    update(pod, old) {
      if (isPodTerminal(pod) && !isPodTerminal(old)) enqueueClaims(pod);
    },
    delete: enqueueClaims,
  });
  return { controller };
}
