// From an informer into the snapshot and the queue: what changes may let a waiting pod be placed.
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import type { InformerFactory } from "@coxswain/client";
import type { SchedulerParts } from "./app.ts";
import type { DeviceResource, EventAction, StorageResource } from "./queue/cluster-event.ts";

/** `set` gets what an object was last, and what it is now: undefined once it is deleted. */
export type Follow = <T extends KubeObject>(
  ref: ResourceRef,
  resource: DeviceResource | StorageResource,
  set: (object: T, now: T | undefined) => void,
) => void;

/** The informers still have to be started. `synced` tells whether all that are followed have. */
export function followObjects(
  informers: InformerFactory,
  queue: SchedulerParts["queue"],
  wake: () => void,
): { readonly follow: Follow; readonly synced: () => boolean } {
  const synced: (() => boolean)[] = [];
  return {
    follow<T extends KubeObject>(
      ref: ResourceRef,
      resource: DeviceResource | StorageResource,
      set: (object: T, now: T | undefined) => void,
    ): void {
      const informer = informers.informer<T>(ref);
      const take = (object: T, action: EventAction, oldObject?: T): void => {
        set(object, action === "Delete" ? undefined : object);
        const before = oldObject === undefined ? {} : { oldObject };
        if (queue.moveOn({ resource, actions: new Set([action]), object, ...before }) > 0) wake();
      };
      informer.addHandler({
        add: (object) => take(object, "Add"),
        update: (object, old) => take(object, "Update", old),
        delete: (object) => take(object, "Delete"),
      });
      synced.push(() => informer.hasSynced());
    },
    synced: () => synced.every((one) => one()),
  };
}
