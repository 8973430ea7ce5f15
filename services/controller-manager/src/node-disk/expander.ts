// Growth of claims. A folder on a node's disk has no size of its own: it grows by what the objects say, at once. Volumes of others
// are for others to enlarge, and an event says so. Guarantee: the volume grows before its claim does.
// https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims
import {
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  type PersistentVolume,
  type PersistentVolumeClaim,
} from "@coxswain/api";
import { annotationOf, PROVISIONED_BY } from "@coxswain/api/core-v1/persistent-volume/binding";
import { NODE_DISK_PROVISIONER } from "@coxswain/api/storage-v1/storage-class/node-disk";
import { objectKey, parseQuantity } from "@coxswain/apimachinery";
import { createController } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { updateStatus } from "../writes/update-status.ts";
import { growth } from "./plan.ts";

export function createVolumeExpander(context: ControllerContext): ManagedController {
  const { client, informers, recorder } = context;
  const claims = informers.informer<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS);
  const volumes = informers.informer<PersistentVolume>(PERSISTENT_VOLUMES);

  async function reconcile(key: string): Promise<void> {
    const claim = claims.lister.get(key);
    const size = claim === undefined ? undefined : growth(claim);
    if (claim === undefined || size === undefined || claim.metadata?.deletionTimestamp !== undefined) return;
    const volume = volumes.lister.get(claim.spec?.volumeName ?? "");
    if (volume?.spec?.claimRef?.uid !== claim.metadata?.uid || volume === undefined) return;
    const tell = (reason: string, message: string): void =>
      recorder.event({ ...claim, apiVersion: "v1", kind: "PersistentVolumeClaim" }, "Normal", reason, message);
    if (annotationOf(volume, PROVISIONED_BY) !== NODE_DISK_PROVISIONER) {
      return tell("ExternalExpanding", "waiting for an external controller to expand this PVC");
    }
    tell("Resizing", `External resizer is resizing volume ${volume.metadata?.name ?? ""}`);
    await grow(volume, size);
    await updateStatus(client, PERSISTENT_VOLUME_CLAIMS, claim, (now) => grown(now, size));
    tell("VolumeResizeSuccessful", "Resize volume succeeded");
  }

  async function grow(volume: PersistentVolume, size: string): Promise<void> {
    const has = volume.spec?.capacity?.["storage"] ?? "0";
    if (parseQuantity(has).compare(parseQuantity(size)) >= 0) return;
    const capacity = { ...volume.spec?.capacity, storage: size };
    await client.update(PERSISTENT_VOLUMES, { ...volume, spec: { ...volume.spec, capacity } });
  }

  const controller = createController({ name: "persistentvolume-expander-controller", reconcile }, context);
  const enqueue = (claim: PersistentVolumeClaim): void => {
    if (growth(claim) !== undefined) controller.enqueue(objectKey(claim));
  };
  claims.addHandler({ add: enqueue, update: enqueue });
  return { controller };
}

/** The claim's status once its volume has the size. Pure. */
export function grown(claim: PersistentVolumeClaim, size: string): PersistentVolumeClaim {
  const { status } = claim;
  return {
    ...claim,
    status: {
      ...status,
      capacity: { ...status?.capacity, storage: size },
      allocatedResources: { ...status?.allocatedResources, storage: size },
    },
  };
}
