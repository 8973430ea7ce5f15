// From informers of devices and their claims into the snapshot and the queue, and from decisions back to the api-server.
import {
  DEVICE_CLASSES,
  RESOURCE_CLAIMS,
  RESOURCE_SLICES,
  type DeviceClass,
  type DeviceResourceClaim,
  type ResourceSlice,
} from "@coxswain/api";
import { isReason, objectKey } from "@coxswain/apimachinery";
import type { InformerFactory, ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Timers } from "@coxswain/env";
import type { SchedulerParts } from "./app.ts";
import { followObjects } from "./follow-objects.ts";
import type { ClaimWriter } from "./snapshot/cluster-devices.ts";

const STRATEGIC = "application/strategic-merge-patch+json";
/** Upstream's pause before a write that met a conflict is tried again. */
const CONFLICT_PAUSE_MS = 10;

/** Lets the snapshot follow devices; the informers still have to be started. Returns whether all have synced. */
export function followDevices(
  informers: InformerFactory,
  { snapshot, queue }: SchedulerParts,
  wake: () => void,
): () => boolean {
  const { follow, synced } = followObjects(informers, queue, wake);
  const { devices } = snapshot;
  follow<DeviceResourceClaim>(RESOURCE_CLAIMS, "ResourceClaim", (one, now) => devices.setClaim(objectKey(one), now));
  follow<ResourceSlice>(RESOURCE_SLICES, "ResourceSlice", (one, now) => devices.pools.set(objectKey(one), now));
  follow<DeviceClass>(DEVICE_CLASSES, "DeviceClass", (one, now) => {
    if (now === undefined) devices.classes.delete(objectKey(one));
    else devices.classes.set(objectKey(one), now);
  });
  return synced;
}

/** Each update carries the version that the decision was made from: one that is out of date is refused. */
export function createClaimWriter(client: ResourceClient, timers: Timers, logger: Logger): ClaimWriter {
  const at = ({ metadata }: DeviceResourceClaim): { namespace: string; name: string } => ({
    namespace: metadata?.namespace ?? "",
    name: metadata?.name ?? "",
  });
  return {
    get: (claim) => client.get<DeviceResourceClaim>(RESOURCE_CLAIMS, at(claim)),
    update: (claim) => client.update<DeviceResourceClaim>(RESOURCE_CLAIMS, claim),
    updateStatus: (claim) => client.update<DeviceResourceClaim>(RESOURCE_CLAIMS, claim, { subresource: "status" }),
    async removeConsumer(claim, pod) {
      const status = { reservedFor: [{ $patch: "delete", uid: pod.metadata?.uid }] };
      const patch = { metadata: { uid: claim.metadata?.uid }, status };
      try {
        await client.patch(RESOURCE_CLAIMS, at(claim), STRATEGIC, patch, { subresource: "status" });
      } catch (error) {
        if (isReason(error, "NotFound") || isAbort(error)) return;
        logger.warn({ claim: objectKey(claim), pod: objectKey(pod), err: error }, "could not release a claim");
      }
    },
    pause: (signal) => timers.sleep(CONFLICT_PAUSE_MS, signal),
  };
}
