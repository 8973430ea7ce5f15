// The folders of volumes on this node's disk: made when a pod first mounts one, removed when the volume's object is on its way out.
// Guarantees: only folders inside the one folder for them are touched, by the names of their volumes; nothing is deleted through a
// mount. docs/adr/0007-node-disk.md
import { chmod, mkdir, rm } from "node:fs/promises";
import type { Mounter } from "./mounter.ts";

/** "/var/lib/kubelet/node-disk/pvc-…", where the root is the usual one. Throws where the name could lead elsewhere. */
export function nodeDiskFolder(rootDir: string, volume: string): string {
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(volume))
    throw new Error(`${JSON.stringify(volume)} is no name of a volume`);
  return `${rootDir}/node-disk/${volume}`;
}

/** Whoever the pod runs as may write; what is in it already is left alone. */
export async function makeNodeDisk(rootDir: string, volume: string): Promise<string> {
  const folder = nodeDiskFolder(rootDir, volume);
  const isNew = (await mkdir(folder, { recursive: true, mode: 0o755 })) !== undefined;
  if (isNew) await chmod(folder, 0o777);
  return folder;
}

/** With all that is in it; idempotent. Rejects where something is mounted there that cannot be unmounted. */
export async function removeNodeDisk(rootDir: string, volume: string, mounter: Mounter): Promise<void> {
  const folder = nodeDiskFolder(rootDir, volume);
  await mounter.unmount(await mounter.mountsBelow(folder));
  const left = await mounter.mountsBelow(folder);
  if (left.length > 0) throw new Error(`still mounted: ${left.join(", ")}`);
  await rm(folder, { recursive: true, force: true });
}
