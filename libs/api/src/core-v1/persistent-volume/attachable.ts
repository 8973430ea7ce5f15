// The name by which a node and the attach/detach controller mean the same volume of a CSI driver: in a Node's volumesInUse and
// volumesAttached.
import type { PersistentVolume } from "../../types.gen.ts";

/** "kubernetes.io/csi/DRIVER^HANDLE"; undefined for volumes of no CSI driver, which nobody attaches. */
export function uniqueVolumeName({ spec }: PersistentVolume): string | undefined {
  const { driver, volumeHandle = "" } = spec?.csi ?? {};
  return driver === undefined ? undefined : `kubernetes.io/csi/${driver}^${volumeHandle}`;
}
