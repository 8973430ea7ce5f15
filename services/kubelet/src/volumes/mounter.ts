// Mounts of the kubelet's own: tmpfs and binds, by the system's mount and umount. What is mounted is always asked of the
// kernel, never remembered: an earlier process may have made it.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

export interface Mounter {
  mountTmpfs(dir: string, sizeBytes: number | undefined): Promise<void>;
  /** Binds what an open file descriptor of this process holds, whatever its path has become. */
  bindDescriptor(descriptor: number, target: string): Promise<void>;
  /** In this order. */
  unmount(paths: readonly string[]): Promise<void>;
  /** Mount points at and below a path, innermost first. */
  mountsBelow(path: string): Promise<string[]>;
}

/** Runs a program to its end; rejects with what it said where it fails. */
export type RunCommand = (program: string, args: readonly string[]) => Promise<void>;

const execFileAsync = promisify(execFile);

export const runCommand: RunCommand = async (program, args) => {
  try {
    await execFileAsync(program, args);
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : "";
    throw new Error(`${program} ${args.join(" ")}: ${said === "" ? String(error) : said}`, { cause: error });
  }
};

/** The mounts of this process's own mount namespace. */
export function createMounter(run: RunCommand = runCommand): Mounter {
  return {
    mountTmpfs: (dir, sizeBytes) => {
      const size = sizeBytes === undefined ? [] : ["-o", `size=${sizeBytes}`];
      return run("mount", ["-t", "tmpfs", ...size, "tmpfs", dir]);
    },
    bindDescriptor: (descriptor, target) =>
      run("mount", ["--no-canonicalize", "--bind", `/proc/${process.pid}/fd/${descriptor}`, target]),
    unmount: async (paths) => {
      if (paths.length > 0) await run("umount", paths);
    },
    mountsBelow: async (path) => mountPointsBelow(await readFile("/proc/self/mountinfo", "utf8"), path),
  };
}

/** The mount points at and below `path`, the latest first, of the text of a mountinfo. */
export function mountPointsBelow(mountinfo: string, path: string): string[] {
  const points: string[] = [];
  for (const line of mountinfo.split("\n")) {
    const escaped = line.split(" ", 5)[4];
    if (escaped === undefined) continue;
    const point = escaped.replaceAll(/\\(\d{3})/g, (_whole, octal: string) =>
      String.fromCodePoint(Number.parseInt(octal, 8)),
    );
    if (point === path || point.startsWith(`${path}/`)) points.push(point);
  }
  return points.toReversed();
}
