// What a folder takes of its disk. Guarantees: no symlink is followed, other mounts below it do not count, and a file with many
// names counts once; what goes away meanwhile counts for nothing.
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

const BLOCK_BYTES = 512;

function missing(error: unknown): undefined {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
  throw error;
}

/** In bytes; a look ends where it has found more than `enough`, and gives what it has counted by then. */
export async function diskUsage(folder: string, enough = Number.POSITIVE_INFINITY): Promise<number> {
  const seen = new Set<number>();
  const open = [folder];
  let device: number | undefined;
  let bytes = 0;
  for (let path = open.pop(); path !== undefined && bytes <= enough; path = open.pop()) {
    const found = await lstat(path).catch(missing);
    if (found === undefined || found.dev !== (device ??= found.dev)) continue;
    if (found.nlink > 1 && !found.isDirectory()) {
      if (seen.has(found.ino)) continue;
      seen.add(found.ino);
    }
    bytes += found.blocks * BLOCK_BYTES;
    if (!found.isDirectory()) continue;
    for (const name of (await readdir(path).catch(missing)) ?? []) open.push(join(path, name));
  }
  return bytes;
}
