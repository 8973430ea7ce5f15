// The cgroups of a node's pods as folders: below <root>, <root>/burstable and <root>/besteffort, in every hierarchy of the
// kernel (version 1) or in the one that there is (version 2). Guarantee: nothing is removed but folders named pod<uid>.
import { mkdir, readdir, readFile, rmdir, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import type { CgroupLimits, PodCgroups } from "../pods/pod-cgroups.ts";

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

async function isThere(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if (gone(error)) return false;
    throw error;
  }
}

const CPU_PERIOD_MICROS = 100_000;
const MIN_CPU_QUOTA_MICROS = 1_000;

function quotaMicros(millis: number): number {
  return Math.max(MIN_CPU_QUOTA_MICROS, Math.floor((millis * CPU_PERIOD_MICROS) / 1000));
}

/** The weight of version 2 that stands for a share of version 1, as runtimes translate it. */
function cpuWeight(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9_999) / 262_142);
}

/** Files and what to write to them; a controller that the kernel does not have is left out by its folder or file. */
function limitFiles(unified: boolean, { cpuShares, cpuMillis, memoryBytes }: CgroupLimits): [string, string, string][] {
  if (unified) {
    const quota = cpuMillis === undefined ? "max" : String(quotaMicros(cpuMillis));
    return [
      ["", "cpu.weight", String(cpuWeight(cpuShares))],
      ["", "cpu.max", `${quota} ${CPU_PERIOD_MICROS}`],
      ["", "memory.max", memoryBytes === undefined ? "max" : String(memoryBytes)],
    ];
  }
  return [
    ["cpu", "cpu.shares", String(cpuShares)],
    ["cpu", "cpu.cfs_quota_us", cpuMillis === undefined ? "-1" : String(quotaMicros(cpuMillis))],
    ["memory", "memory.limit_in_bytes", memoryBytes === undefined ? "-1" : String(memoryBytes)],
  ];
}

/** Version 2: a cgroup has the controllers that its parent hands on. */
async function handOn(mount: string, cgroup: string): Promise<void> {
  let folder = mount;
  for (const name of cgroup.split("/").filter((one) => one !== "")) {
    const there = (await readFile(path.join(folder, "cgroup.controllers"), "utf8")).trim().split(" ");
    const wanted = ["cpu", "memory"].filter((one) => there.includes(one)).map((one) => `+${one}`);
    if (wanted.length > 0) await writeFile(path.join(folder, "cgroup.subtree_control"), wanted.join(" "));
    folder = path.join(folder, name);
    await mkdir(folder, { recursive: true });
  }
}

async function writeIfThere(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text, { flag: "r+" });
  } catch (error) {
    if (!gone(error)) throw error;
  }
}

function isUnified(mount: string): Promise<boolean> {
  return isThere(path.join(mount, "cgroup.controllers"));
}

/** `root` is "/coxswain-x/node-1"; `mount` is where the kernel's cgroups are. */
export function createLinuxPodCgroups(root: string, mount = "/sys/fs/cgroup"): PodCgroups {
  async function parents(): Promise<string[]> {
    const tops = (await isUnified(mount)) ? [mount] : (await foldersIn(mount)).map((one) => path.join(mount, one));
    return tops.flatMap((top) => CLASSES.map((name) => path.join(top, root, name)));
  }
  return {
    async apply(cgroup, limits) {
      const unified = await isUnified(mount);
      if (unified) await handOn(mount, cgroup);
      for (const [controller, file, text] of limitFiles(unified, limits)) {
        if (!(await isThere(path.join(mount, controller)))) continue;
        const folder = path.join(mount, controller, cgroup);
        await mkdir(folder, { recursive: true });
        await writeIfThere(path.join(folder, file), text);
      }
    },
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
