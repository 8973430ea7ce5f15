// Mounts of the kubelet's own: tmpfs and binds, by the system's mount and umount. What is mounted is always asked of the
// kernel, never remembered: an earlier process may have made it.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

/** One call of mount. */
export interface MountCall {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
  /** Where relative paths in the options begin. */
  readonly cwd?: string;
}

export interface Mounter {
  mount(call: MountCall, target: string): Promise<void>;
  mountTmpfs(dir: string, sizeBytes: number | undefined): Promise<void>;
  /** Binds what an open file descriptor of this process holds, whatever its path has become. */
  bindDescriptor(descriptor: number, target: string): Promise<void>;
  /** In this order. */
  unmount(paths: readonly string[]): Promise<void>;
  /** Mount points at and below a path, innermost first. */
  mountsBelow(path: string): Promise<string[]>;
  /** Whether all of the file system that is mounted there is read-only, whatever a mount of it says. */
  isReadOnly(point: string): Promise<boolean>;
}

/** Runs a program to its end; rejects with what it said where it fails. */
export type RunCommand = (program: string, args: readonly string[], cwd?: string) => Promise<void>;

const execFileAsync = promisify(execFile);

export const runCommand: RunCommand = async (program, args, cwd) => {
  try {
    await execFileAsync(program, args, cwd === undefined ? {} : { cwd });
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : "";
    throw new Error(`${program} ${args.join(" ")}: ${said === "" ? String(error) : said}`, { cause: error });
  }
};

/** The mounts of this process's own mount namespace. */
export function createMounter(run: RunCommand = runCommand): Mounter {
  return {
    mount: ({ type, source, options, cwd }, target) => {
      const how = options.length === 0 ? [] : ["-o", options.join(",")];
      return run("mount", ["--no-canonicalize", "-t", type, ...how, source, target], cwd);
    },
    mountTmpfs: (dir, sizeBytes) => {
      const size = sizeBytes === undefined ? [] : ["-o", `size=${sizeBytes}`];
      return run("mount", ["-t", "tmpfs", ...size, "tmpfs", dir]);
    },
    bindDescriptor: (descriptor, target) =>
      run("mount", ["--no-canonicalize", "--bind", `/proc/${process.pid}/fd/${descriptor}`, target]),
    unmount: async (paths) => {
      if (paths.length > 0) await run("umount", paths);
    },
    mountsBelow: async (path) => mountPointsBelow(await readMounts(), path),
    isReadOnly: async (point) => isReadOnlyMount(await readMounts(), point),
  };
}

function readMounts(): Promise<string> {
  return readFile("/proc/self/mountinfo", "utf8");
}

function unescaped(path: string): string {
  return path.replaceAll(/\\(\d{3})/g, (_whole, octal: string) => String.fromCodePoint(Number.parseInt(octal, 8)));
}

/** Whether the file system that was mounted last at `point` is read-only, of the text of a mountinfo. */
export function isReadOnlyMount(mountinfo: string, point: string): boolean {
  const line = mountinfo.split("\n").findLast((one) => unescaped(one.split(" ", 5)[4] ?? "") === point);
  const [, system = ""] = line?.split(" - ") ?? [];
  return (system.split(" ")[2] ?? "").split(",").includes("ro");
}

/** The mount points at and below `path`, the latest first, of the text of a mountinfo. */
export function mountPointsBelow(mountinfo: string, path: string): string[] {
  const points: string[] = [];
  for (const line of mountinfo.split("\n")) {
    const escaped = line.split(" ", 5)[4];
    if (escaped === undefined) continue;
    const point = unescaped(escaped);
    if (point === path || point.startsWith(`${path}/`)) points.push(point);
  }
  return points.toReversed();
}
