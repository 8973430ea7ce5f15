// The name by which a node and the attach/detach controller mean the same volume of a CSI driver: in a Node's volumesInUse and
// volumesAttached; and the name of the VolumeAttachment between the two.
import { createHash } from "node:crypto";
import type { PersistentVolume } from "../../types.gen.ts";

/** "kubernetes.io/csi/DRIVER^HANDLE"; undefined for volumes of no CSI driver, which nobody attaches. */
export function uniqueVolumeName({ spec }: PersistentVolume): string | undefined {
  const { driver, volumeHandle = "" } = spec?.csi ?? {};
  return driver === undefined ? undefined : `kubernetes.io/csi/${driver}^${volumeHandle}`;
}

/** As upstream names it: one for each volume and node, whoever asks. */
export function attachmentName(driver: string, handle: string, node: string): string {
  return `csi-${createHash("sha256").update(`${handle}${driver}${node}`).digest("hex")}`;
}
