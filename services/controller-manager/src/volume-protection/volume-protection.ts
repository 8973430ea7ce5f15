// Volume protection: a volume that is being deleted stays while it is bound to a claim.
// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
import { PERSISTENT_VOLUMES, type PersistentVolume } from "@coxswain/api";
import { VOLUME_PROTECTION_FINALIZER } from "@coxswain/api/core-v1/persistent-volume/binding";
import { isReason, objectKey } from "@coxswain/apimachinery";
import { createController } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { planProtection, withFinalizer, withoutFinalizer } from "./plan.ts";

export function createVolumeProtection(context: ControllerContext): ManagedController {
  const { client, informers } = context;
  const volumes = informers.informer<PersistentVolume>(PERSISTENT_VOLUMES);

  async function reconcile(key: string): Promise<void> {
    const volume = volumes.lister.get(key);
    if (volume === undefined) return;
    const plan = planProtection(volume, VOLUME_PROTECTION_FINALIZER);
    if (plan === "nothing" || (plan === "release" && volume.status?.phase === "Bound")) return;
    const change = plan === "protect" ? withFinalizer : withoutFinalizer;
    try {
      // With the version that was looked at: a volume that was bound meanwhile keeps its finalizer.
      await client.update(PERSISTENT_VOLUMES, change(volume, VOLUME_PROTECTION_FINALIZER));
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }

  const controller = createController({ name: "persistentvolume-protection-controller", reconcile }, context);
  const enqueue = (volume: PersistentVolume): void => controller.enqueue(objectKey(volume));
  volumes.addHandler({ add: enqueue, update: enqueue });
  return { controller };
}
