// Binds a path inside a volume to a place of the kubelet's own, which the runtime then mounts. Guarantees: what is bound
// is inside the volume, whatever symlinks a container makes in it and however fast it changes them: each step of the path
// is opened from the folder before it without following links, and the open file is bound, not its name.
import type { BigIntStats } from "node:fs";
import { constants } from "node:fs";
import { chmod, lstat, mkdir, open, realpath, rm, stat, writeFile, type FileHandle } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { MountError } from "./contract.ts";
import type { Mounter } from "./mounter.ts";

/** Linux's O_PATH: opens a place, not what is in it, so that devices and pipes are not touched. */
const O_PATH = 0o10000000;
const NO_FOLLOW = O_PATH | constants.O_NOFOLLOW;

export interface SubPathRequest {
  readonly volumeDir: string;
  /** Relative; its folders are made where they are missing. */
  readonly subPath: string;
  /** Becomes a folder or a file, as what it stands for. */
  readonly target: string;
}

/** Throws MountError where the path could lead out of a volume by itself. */
export function checkSubPath(subPath: string): void {
  if (subPath.startsWith("/")) throw new MountError(`error SubPath \`${subPath}\` must not be an absolute path`);
  if (subPath.split("/").includes("..")) {
    throw new MountError(`unable to provision SubPath \`${subPath}\`: must not contain '..'`);
  }
}

/** Rejects with MountError where the path leads out of the volume. */
export async function bindSubPath(request: SubPathRequest, mounter: Mounter): Promise<void> {
  const { volumeDir, subPath, target } = request;
  checkSubPath(subPath);
  const place = await openInside(volumeDir, subPath);
  try {
    const wanted = await place.stat({ bigint: true });
    if (await bindsAlready(target, wanted, mounter)) return;
    await rm(target, { recursive: true, force: true });
    await mkdir(dirname(target), { recursive: true, mode: 0o750 });
    if (wanted.isDirectory()) await mkdir(target, { mode: 0o750 });
    else await writeFile(target, "", { mode: 0o640 });
    await mounter.bindDescriptor(place.fd, target);
  } finally {
    await place.close();
  }
}

/** True where the same file or folder is bound there; what else is bound is let go. */
async function bindsAlready(target: string, wanted: BigIntStats, mounter: Mounter): Promise<boolean> {
  const mounts = await mounter.mountsBelow(target);
  if (mounts.length === 0) return false;
  const bound = await stat(target, { bigint: true });
  if (bound.dev === wanted.dev && bound.ino === wanted.ino) return true;
  await mounter.unmount(mounts);
  return false;
}

async function openInside(volumeDir: string, subPath: string): Promise<FileHandle> {
  const base = await realpath(volumeDir);
  const { existing, missing } = await split(base, subPath);
  const real = await realpath(existing);
  if (real !== base && !real.startsWith(`${base}/`)) {
    throw new MountError(`subpath "${real}" not within volume path "${base}"`);
  }
  const names = relative(base, real).split("/");
  return openBelow(
    base,
    names.filter((one) => one !== ""),
    missing,
  );
}

/**
 * Opens what the names lead to from `base`, one after the other, the missing ones made as folders with the mode of `base`, its
 * sticky bit included.
 * Rejects with MountError at a symlink, though somebody put it there this very moment.
 */
export async function openBelow(
  base: string,
  names: readonly string[],
  missing: readonly string[],
): Promise<FileHandle> {
  const mode = (await stat(base)).mode & 0o7777;
  let place = await open(base, O_PATH);
  try {
    for (const name of names) place = await step(place, name, undefined);
    for (const name of missing) place = await step(place, name, mode);
    return place;
  } catch (error) {
    await place.close();
    throw error;
  }
}

/** The longest part of the path that there is, and the names after it. */
async function split(base: string, subPath: string): Promise<{ existing: string; missing: string[] }> {
  const names = subPath.split("/").filter((name) => name !== "" && name !== ".");
  const missing: string[] = [];
  for (;;) {
    const existing = join(base, ...names);
    try {
      await lstat(existing);
      return { existing, missing };
    } catch (error) {
      const last = names.pop();
      if (last === undefined || !(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
      missing.unshift(last);
    }
  }
}

/** From an open folder to a name in it, which is made as a folder where `mode` is given; closes the folder. */
async function step(from: FileHandle, name: string, mode: number | undefined): Promise<FileHandle> {
  const path = `/proc/self/fd/${from.fd}/${name}`;
  const made = mode !== undefined && (await makeFolder(path));
  const next = await open(path, NO_FOLLOW);
  try {
    const found = await next.stat();
    if (found.isSymbolicLink()) throw new MountError(`unexpected symlink found ${name}`);
    // The umask may have taken bits, and a setgid folder hands on its bit.
    if (made) await chmod(`/proc/self/fd/${next.fd}`, mode | (found.mode & 0o2000));
  } catch (error) {
    await next.close();
    throw error;
  }
  await from.close();
  return next;
}

/** False where something has that name already. */
async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}
