// The cgroups of a cluster in every hierarchy of the machine (v1: one a controller; v2: one): who is in them, and their end.
// One hierarchy tracks the daemons: whatever a daemon starts stays in its cgroup there, so that cleanup finds it.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import path from "node:path";

interface Hierarchy {
  readonly mountPoint: string;
  readonly version: 1 | 2;
  /** v1 only: "memory", "cpu,cpuacct", "name=systemd", … */
  readonly controllers: readonly string[];
}

/** The mounted hierarchies, each once. `mountinfo` is the text of /proc/self/mountinfo. */
export function cgroupHierarchies(mountinfo: string): Hierarchy[] {
  const found = new Map<string, Hierarchy>();
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const mountPoint = before.split(" ")[4];
    const [type, , options = ""] = after.split(" ");
    if (mountPoint === undefined || (type !== "cgroup" && type !== "cgroup2")) continue;
    const flags = new Set(["rw", "ro", "xattr", "clone_children", "noprefix"]);
    const controllers = options
      .split(",")
      .filter((option) => !flags.has(option) && !option.startsWith("release_agent"));
    const version = type === "cgroup2" ? 2 : 1;
    const key = version === 2 ? "v2" : controllers.join(",");
    if (!found.has(key)) found.set(key, { mountPoint, version, controllers: version === 2 ? [] : controllers });
  }
  return [...found.values()];
}

export const hierarchies = (): Hierarchy[] => cgroupHierarchies(readFileSync("/proc/self/mountinfo", "utf8"));

const TRACKING_V1 = ["pids", "freezer", "name=systemd", "cpuacct", "devices"];

/** The mount point of the hierarchy that tracks daemons: v2 where it is mounted, with or without controllers. */
export function trackingRoot(all: readonly Hierarchy[] = hierarchies()): string {
  const unified = all.find(({ version }) => version === 2);
  const rank = ({ controllers }: Hierarchy): number => {
    const at = TRACKING_V1.findIndex((controller) => controllers.includes(controller));
    return at === -1 ? TRACKING_V1.length : at;
  };
  const chosen = unified ?? all.toSorted((a, b) => rank(a) - rank(b))[0];
  if (chosen === undefined) throw new Error("no cgroup file system is mounted");
  return chosen.mountPoint;
}

/** Makes `cgroup` (a path relative to the hierarchy's root) where daemons are tracked; returns its folder. */
export function makeTrackingCgroup(cgroup: string): string {
  const folder = path.join(trackingRoot(), cgroup);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Moves a process, and with it all that it will start. */
export function joinCgroup(cgroup: string, pid: number): void {
  writeFileSync(path.join(makeTrackingCgroup(cgroup), "cgroup.procs"), `${pid}`);
}

/** `cgroup` in every hierarchy where it exists. */
export function cgroupFolders(cgroup: string): string[] {
  return hierarchies()
    .map(({ mountPoint }) => path.join(mountPoint, cgroup))
    .filter((folder) => existsSync(folder));
}

/** The cgroup and all below it, innermost first. */
export function cgroupTree(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
  return [...names.flatMap((name) => cgroupTree(path.join(folder, name))), folder];
}

/** The processes in `cgroup` and below it, in any hierarchy. */
export function cgroupProcesses(cgroup: string): Set<number> {
  const pids = new Set<number>();
  for (const folder of cgroupFolders(cgroup).flatMap(cgroupTree)) {
    try {
      for (const pid of readFileSync(path.join(folder, "cgroup.procs"), "utf8").split("\n"))
        if (Number(pid) > 0) pids.add(Number(pid));
    } catch (error) {
      // A threaded v2 cgroup refuses the question; its domain above answers for it.
      if (!isGone(error) && (error as NodeJS.ErrnoException).code !== "EOPNOTSUPP") throw error;
    }
  }
  return pids;
}

/** Ends everything in the cgroup in one step where the kernel can (v2, Linux 5.14); says whether it could. */
export function killCgroup(cgroup: string): void {
  for (const folder of cgroupFolders(cgroup)) {
    const file = path.join(folder, "cgroup.kill");
    if (existsSync(file)) writeFileSync(file, "1");
  }
}

/** Thaws every frozen v1 cgroup: a frozen process does not die of SIGKILL. */
export function thawCgroup(cgroup: string): void {
  for (const folder of cgroupFolders(cgroup).flatMap(cgroupTree)) {
    const file = path.join(folder, "freezer.state");
    if (existsSync(file)) writeFileSync(file, "THAWED");
  }
}

/** Removes the cgroup and all below it, everywhere. Returns what is still there: a process that is not quite dead holds its cgroup. */
export function removeCgroup(cgroup: string): string[] {
  const left: string[] = [];
  for (const folder of cgroupFolders(cgroup).flatMap(cgroupTree)) {
    try {
      rmdirSync(folder);
    } catch (error) {
      if (isGone(error)) continue;
      if (!["EBUSY", "ENOTEMPTY"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
      left.push(folder);
    }
  }
  return left;
}

function isGone(error: unknown): boolean {
  return ["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "");
}
