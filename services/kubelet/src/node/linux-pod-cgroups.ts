// The cgroups of a node's pods as folders: below <root>, <root>/burstable and <root>/besteffort, in every hierarchy of the
// kernel (version 1) or in the one that there is (version 2). Guarantee: nothing is touched but folders named pod<uid>.
import { readdir, rmdir, stat } from "node:fs/promises";
import path from "node:path";
import type { PodCgroups } from "../pods/pod-cgroups.ts";

const CLASSES = ["", "burstable", "besteffort"];

function gone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENODEV";
}

async function foldersIn(dir: string): Promise<string[]> {
  try {
    const entries = await readdir(dir, { withFileTypes: true });
    return entries.filter((one) => one.isDirectory()).map((one) => one.name);
  } catch (error) {
    if (gone(error)) return [];
    throw error;
  }
}

/** Deepest first: a cgroup goes only once it has no children. Files in it go with it. */
async function removeTree(dir: string): Promise<void> {
  for (const name of await foldersIn(dir)) await removeTree(path.join(dir, name));
  try {
    await rmdir(dir);
  } catch (error) {
    if (!gone(error)) throw error;
  }
}

async function isUnified(mount: string): Promise<boolean> {
  try {
    await stat(path.join(mount, "cgroup.controllers"));
    return true;
  } catch (error) {
    if (gone(error)) return false;
    throw error;
  }
}

/** `root` is "/coxswain-x/node-1"; `mount` is where the kernel's cgroups are. */
export function createLinuxPodCgroups(root: string, mount = "/sys/fs/cgroup"): PodCgroups {
  async function parents(): Promise<string[]> {
    const tops = (await isUnified(mount)) ? [mount] : (await foldersIn(mount)).map((one) => path.join(mount, one));
    return tops.flatMap((top) => CLASSES.map((name) => path.join(top, root, name)));
  }
  return {
    async remove(uid) {
      for (const parent of await parents()) await removeTree(path.join(parent, `pod${uid}`));
    },
    async known() {
      const folders = await Promise.all((await parents()).map(foldersIn));
      const uids = folders.flat().flatMap((name) => /^pod(.+)$/.exec(name)?.[1] ?? []);
      return [...new Set(uids)];
    },
  };
}
