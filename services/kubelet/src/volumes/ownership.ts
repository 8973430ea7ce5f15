// Gives a volume to the pod's fsGroup: everything in it belongs to that group, which may read it (and write, unless the
// volume is read-only), and what is made in it later belongs to the group too.
// https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-the-security-context-for-a-pod
import { chmod, lchown, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

const READ_WRITE = 0o660;
const READ_ONLY = 0o440;
const SEARCH = 0o110;
const SETGID = 0o2000;

export async function giveToGroup(path: string, group: number, readonly: boolean): Promise<void> {
  const found = await lstat(path);
  await lchown(path, found.uid, group);
  if (found.isSymbolicLink()) return;
  const folder = found.isDirectory();
  const added = (readonly ? READ_ONLY : READ_WRITE) | (folder ? SETGID | SEARCH : 0);
  // After the owner: a new owner loses the setgid bit.
  await chmod(path, (found.mode & 0o7777) | added);
  if (!folder) return;
  for (const name of await readdir(path)) await giveToGroup(join(path, name), group, readonly);
}

/** Whether the root of a volume is as `giveToGroup` leaves it: with fsGroupChangePolicy OnRootMismatch that is enough. */
export async function belongsTo(path: string, group: number): Promise<boolean> {
  const { gid, mode } = await lstat(path);
  const wanted = READ_WRITE | SETGID | SEARCH;
  return gid === group && (mode & wanted) === wanted;
}
