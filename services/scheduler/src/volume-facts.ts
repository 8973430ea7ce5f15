// From informers of storage into the snapshot and the queue: what changes there may let a waiting pod be placed.
import {
  CSI_DRIVERS,
  CSI_NODES,
  CSI_STORAGE_CAPACITIES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  STORAGE_CLASSES,
  VOLUME_ATTACHMENTS,
  type CSIDriver,
  type CSINode,
  type CSIStorageCapacity,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
  type VolumeAttachment,
} from "@coxswain/api";
import { objectKey, type KubeObject } from "@coxswain/apimachinery";
import type { InformerFactory, ResourceClient } from "@coxswain/client";
import type { Timers } from "@coxswain/env";
import type { SchedulerParts } from "./app.ts";
import { followObjects } from "./follow-objects.ts";
import type { VolumeWriter } from "./snapshot/cluster-volumes.ts";

/** Lets the snapshot follow storage; the informers still have to be started. Returns whether all have synced. */
export function followVolumes(
  informers: InformerFactory,
  { snapshot, queue }: SchedulerParts,
  wake: () => void,
): () => boolean {
  const { follow, synced } = followObjects(informers, queue, wake);
  const { volumes } = snapshot;
  const into =
    <T extends KubeObject>(map: Map<string, T>) =>
    (object: T, now: T | undefined): void => {
      if (now === undefined) map.delete(objectKey(object));
      else map.set(objectKey(object), now);
    };
  follow<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, "PersistentVolumeClaim", (one, now) =>
    volumes.setClaim(objectKey(one), now),
  );
  follow<PersistentVolume>(PERSISTENT_VOLUMES, "PersistentVolume", (one, now) =>
    volumes.setVolume(objectKey(one), now),
  );
  follow<StorageClass>(STORAGE_CLASSES, "StorageClass", into(volumes.classes));
  follow<CSINode>(CSI_NODES, "CSINode", into(volumes.csiNodes));
  follow<CSIDriver>(CSI_DRIVERS, "CSIDriver", into(volumes.drivers));
  follow<CSIStorageCapacity>(CSI_STORAGE_CAPACITIES, "CSIStorageCapacity", into(volumes.capacities));
  follow<VolumeAttachment>(VOLUME_ATTACHMENTS, "VolumeAttachment", into(volumes.attachments));
  return synced;
}

/** Each write carries the version that the decision was made from: one that is out of date is refused. */
export function createVolumeWriter(client: ResourceClient, timers: Timers): VolumeWriter {
  return {
    writeVolume: (volume) => client.update<PersistentVolume>(PERSISTENT_VOLUMES, volume),
    writeClaim: (claim) => client.update<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, claim),
    deadline: (ms, signal) => timers.timeoutSignal(ms, signal),
  };
}
