// Removes all that a cluster has in the kernel, knowing nothing but its id: after any crash, any number of times.
// Processes are found by membership in the cluster's own cgroups and network namespaces, at the moment of the signal.
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import type { Env } from "@coxswain/env";
import { signal, startTimeOf } from "../process-table.ts";
import { cgroupProcesses, killCgroup, removeCgroup, thawCgroup } from "./cgroup-tree.ts";
import { clusterCgroup, PlatformError, runDir } from "./platform-plan.ts";

const POLL_MS = 5;
const GIVE_UP_AFTER_MS = 15_000;

/**
 * Ends every process of the cluster by force, then unmounts, unpins and removes everything of it outside `dataDir`.
 * The data folder stays. Throws PlatformError when something will not go within 15 s.
 */
export async function removePlatform(id: string, dataDir: string, env: Env): Promise<void> {
  const run = runDir(id);
  await removeGround(clusterCgroup(id), pinnedNetworks(run), [run, path.join(dataDir, "nodes")], env);
  // Last, so that what is half removed can still be seen to be somebody's.
  rmSync(run, { recursive: true, force: true });
}

/** The same of one member: its processes, its cgroup, its pins, and its folders with all that is in them. */
export async function removeMember(
  cgroup: string,
  { pins, folders }: { readonly pins: readonly string[]; readonly folders: readonly string[] },
  env: Env,
): Promise<void> {
  await removeGround(cgroup, networksOf(pins), [...pins, ...folders], env);
  for (const file of [...pins, ...folders]) rmSync(file, { recursive: true, force: true });
}

async function removeGround(
  cgroup: string,
  namespaces: ReadonlySet<string>,
  mounts: readonly string[],
  env: Env,
): Promise<void> {
  const giveUpAt = env.clock.monotonic() + GIVE_UP_AFTER_MS;
  const untilNone = async (what: string, left: () => readonly (number | string)[]): Promise<void> => {
    for (let rest = left(); rest.length > 0; rest = left()) {
      if (env.clock.monotonic() > giveUpAt) throw new PlatformError(`${what} of ${cgroup}: ${rest.join(", ")}`);
      await env.timers.sleep(POLL_MS);
    }
  };
  await untilNone("processes that do not end", () => endProcesses(cgroup, namespaces));
  await unmountBelow(mounts);
  await untilNone("cgroups that do not go", () => removeCgroup(cgroup));
}

/** The inode numbers of the network namespaces that are pinned for the cluster. */
export function pinnedNetworks(run: string): Set<string> {
  const folder = path.join(run, "net");
  return existsSync(folder) ? networksOf(readdirSync(folder).map((name) => path.join(folder, name))) : new Set();
}

function networksOf(files: readonly string[]): Set<string> {
  const root = statSync("/proc/self/ns/net");
  const pins = files.filter((file) => existsSync(file)).map((file) => statSync(file));
  // A pin that was never mounted is a plain file of another device; and the machine's own namespace is nobody's.
  return new Set(pins.filter(({ dev, ino }) => dev === root.dev && ino !== root.ino).map(({ ino }) => `net:[${ino}]`));
}

/** Signals every process of the cluster; returns those that there were. */
function endProcesses(cgroup: string, namespaces: ReadonlySet<string>): number[] {
  thawCgroup(cgroup);
  killCgroup(cgroup);
  const ended: number[] = [];
  const inCgroup = cgroupProcesses(cgroup);
  for (const pid of new Set([...inCgroup, ...processesIn(namespaces)])) {
    const startTime = startTimeOf(pid);
    if (startTime === undefined) continue;
    // Asked again after the start time was read: the pid may have changed hands since the list was made.
    if (!cgroupProcesses(cgroup).has(pid) && !namespaces.has(networkOf(pid) ?? "")) continue;
    signal({ pid, startTime }, "SIGKILL");
    ended.push(pid);
  }
  return ended;
}

function processesIn(namespaces: ReadonlySet<string>): number[] {
  if (namespaces.size === 0) return [];
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && namespaces.has(networkOf(pid) ?? ""));
}

/** "net:[4026531840]"; undefined for a process that is gone. */
export function networkOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch (error) {
    if (["ENOENT", "ESRCH", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

/** Mount points at or below `folders`, as the root mount namespace has them. */
export function mountsBelow(folders: readonly string[]): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) =>
      (line.split(" ")[4] ?? "").replaceAll(/\\(\d{3})/g, (_, octal: string) =>
        String.fromCharCode(parseInt(octal, 8)),
      ),
    )
    .filter((point) => folders.some((folder) => point === folder || point.startsWith(`${folder}/`)));
}

async function unmountBelow(folders: readonly string[]): Promise<void> {
  // The later a mount, the further inside it lies. Mounted twice means listed twice.
  const points = mountsBelow(folders).reverse();
  if (points.length === 0) return;
  await new Promise<void>((resolve, reject) => {
    execFile("umount", ["--lazy", "--", ...points], (error, _out, said) => {
      const left = mountsBelow(folders);
      if (error === null || left.length === 0) resolve();
      else reject(new PlatformError(`cannot unmount ${left.join(", ")}: ${said.trim() || error.message}`));
    });
  });
}
