// Whether the volumes of a pod that have to be attached are attached to its node: by what the attach/detach controller says in the
// Node's status, and then, for each, by its VolumeAttachment, as the driver's attacher has it.
import { attachmentName, uniqueVolumeName } from "@coxswain/api/core-v1/persistent-volume/attachable";
import type { Node, PersistentVolume, Pod, VolumeAttachment } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import type { ObjectCache } from "../pods/object-cache.ts";
import { claimedVolumes } from "./claimed-volumes.ts";

/** A volume of a pod that has to be attached. */
export interface AttachableVolume {
  /** As the pod calls it. */
  readonly name: string;
  /** As a Node's status calls it. */
  readonly uniqueName: string;
  readonly volume: PersistentVolume;
}

/** The pod's volumes that have to be attached. Rejects where the api-server cannot be asked. */
export async function attachableVolumes(pod: Pod, objects: ObjectCache): Promise<AttachableVolume[]> {
  const found: AttachableVolume[] = [];
  for (const claimed of await claimedVolumes(pod, objects)) {
    if ("kind" in claimed) continue;
    const uniqueName = uniqueVolumeName(claimed.volume);
    if (uniqueName === undefined) continue;
    const driver = await objects.csiDriver(claimed.volume.spec?.csi?.driver ?? "");
    // A driver that has not told of itself attaches.
    if (driver?.spec.attachRequired !== false) found.push({ name: claimed.name, uniqueName, volume: claimed.volume });
  }
  return found;
}

/** Those that the Node's status does not say are attached. Pure. */
export function notAttached(volumes: readonly AttachableVolume[], node: Node | undefined): AttachableVolume[] {
  const attached = new Set((node?.status?.volumesAttached ?? []).map(({ name }) => name));
  return volumes.filter(({ uniqueName }) => !attached.has(uniqueName));
}

/** What FailedMount says of a pod whose volumes were waited for as long as they are. Pure. */
export function waitedInVain(volumes: readonly AttachableVolume[]): string {
  const names = volumes
    .map(({ name }) => name)
    .toSorted()
    .join(" ");
  return `Unable to attach or mount volumes: unmounted volumes=[${names}], unattached volumes=[${names}], failed to process volumes=[]: context deadline exceeded`;
}

/** What FailedMount says of each that is not attached after all; empty where all are. Rejects where nobody can be asked. */
export async function attachProblems(
  volumes: readonly AttachableVolume[],
  node: string,
  objects: ObjectCache,
): Promise<string[]> {
  const problems = await Promise.all(
    volumes.map(async ({ volume }) => {
      const { driver = "", volumeHandle = "" } = volume.spec?.csi ?? {};
      const attachment = attachmentName(driver, volumeHandle, node);
      const why = await problemOf(volumeHandle, attachment, objects);
      return why === undefined
        ? []
        : [`MountVolume.WaitForAttach failed for volume "${volume.metadata?.name}" : ${why}`];
    }),
  );
  return problems.flat();
}

/** The api-server refuses to tell a kubelet of an attachment that is not there, as of one that is another node's. */
async function problemOf(handle: string, name: string, objects: ObjectCache): Promise<string | undefined> {
  let attachment: VolumeAttachment | undefined;
  try {
    attachment = await objects.volumeAttachment(name);
  } catch (error) {
    if (!(error instanceof Error) || !isReason(error, "Forbidden")) throw error;
    return readProblem(handle, name, error.message);
  }
  return attachProblem(handle, name, attachment);
}

function readProblem(handle: string, name: string, why: string): string {
  return `volume ${handle} has GET error for volume attachment ${name}: ${why}`;
}

/** Why the volume is not attached; undefined where it is. Pure. */
export function attachProblem(
  handle: string,
  name: string,
  attachment: VolumeAttachment | undefined,
): string | undefined {
  if (attachment === undefined) {
    return readProblem(handle, name, `volumeattachments.storage.k8s.io "${name}" not found`);
  }
  if (attachment.metadata?.deletionTimestamp !== undefined) return "volume attachment is being deleted";
  const { attached, attachError } = attachment.status ?? {};
  if (attached === true) return undefined;
  return attachError?.message ?? `volume ${handle} is not attached for volume attachment ${name}`;
}
