// The files of a layer, named and ordered so that the same content always makes the same bytes: sorted by path, owned by
// root, with no times.
import { readdir, readlink, stat, lstat } from "node:fs/promises";
import path from "node:path";

export type ImageFile = {
  /** Path in the image without a leading slash: "usr/bin/env". */
  readonly path: string;
  /** Permission bits, as 0o755. */
  readonly mode: number;
} & (
  | { readonly kind: "directory" }
  | { readonly kind: "symlink"; readonly target: string }
  | { readonly kind: "bytes"; readonly bytes: Buffer }
  | { readonly kind: "copy"; readonly source: string; readonly size: number }
);

export function directory(at: string, mode = 0o755): ImageFile {
  return { path: at, mode, kind: "directory" };
}

export function textFile(at: string, text: string, mode = 0o644): ImageFile {
  return { path: at, mode, kind: "bytes", bytes: Buffer.from(text) };
}

export function binaryFile(at: string, bytes: Buffer, mode = 0o755): ImageFile {
  return { path: at, mode, kind: "bytes", bytes };
}

export function symlink(at: string, target: string): ImageFile {
  return { path: at, mode: 0o777, kind: "symlink", target };
}

/** A file of this machine, followed where it is a link. Rejects with ENOENT where it is missing. */
export async function copyOf(source: string, at: string, mode?: number): Promise<ImageFile> {
  const found = await stat(source);
  return { path: at, mode: mode ?? found.mode & 0o777, kind: "copy", source, size: found.size };
}

/**
 * Everything below a folder, to lie under `at` ("" is the root). Links stay links; sockets and devices are refused by name.
 * `leave` says which paths (relative to the folder) are left out, folders with all they hold.
 */
export async function folderFiles(
  folder: string,
  at = "",
  leave: (relative: string) => boolean = () => false,
): Promise<ImageFile[]> {
  const files: ImageFile[] = [];
  const walk = async (relative: string): Promise<void> => {
    for (const entry of await readdir(path.join(folder, relative), { withFileTypes: true })) {
      const below = path.posix.join(relative, entry.name);
      if (leave(below)) continue;
      files.push(await oneFile(path.join(folder, below), path.posix.join(at, below)));
      if (entry.isDirectory()) await walk(below);
    }
  };
  await walk("");
  return files;
}

async function oneFile(source: string, at: string): Promise<ImageFile> {
  const found = await lstat(source);
  const mode = found.mode & 0o7777;
  if (found.isDirectory()) return { path: at, mode, kind: "directory" };
  if (found.isSymbolicLink()) return symlink(at, await readlink(source));
  if (found.isFile()) return { path: at, mode, kind: "copy", source, size: found.size };
  throw new Error(`${source} is neither a file, a folder nor a link: an image cannot hold it`);
}

/** Sorted, one entry a path (the last one given wins), with every parent folder present. */
export function orderFiles(files: readonly ImageFile[]): ImageFile[] {
  const byPath = new Map<string, ImageFile>();
  for (const file of files) byPath.set(file.path, file);
  for (const { path: at } of files) {
    for (let up = path.posix.dirname(at); up !== "."; up = path.posix.dirname(up)) {
      if (!byPath.has(up)) byPath.set(up, directory(up));
    }
  }
  return [...byPath.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}
