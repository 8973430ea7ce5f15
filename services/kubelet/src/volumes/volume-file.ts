// Reads a file that containers have made in a volume. Guarantees: what is read is inside the volume, whatever symlinks are made
// in it meanwhile; nothing but a plain file is opened, and none without bounds.
import { readFile, realpath } from "node:fs/promises";
import { join, relative } from "node:path";
import { MountError } from "./contract.ts";
import { openBelow } from "./sub-path.ts";

/** As much as a ConfigMap may have. */
const MAX_BYTES = 1024 * 1024;

async function resolve(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Undefined where there is no such file. Rejects with MountError at what may not be read. */
export async function readVolumeFile(volumeDir: string, path: string): Promise<Buffer | undefined> {
  const base = await resolve(volumeDir);
  const real = base === undefined ? undefined : await resolve(join(base, path));
  if (base === undefined || real === undefined) return undefined;
  if (!real.startsWith(`${base}/`)) throw new MountError(`path "${real}" not within volume path "${base}"`);
  const place = await openBelow(base, relative(base, real).split("/"), []);
  try {
    const found = await place.stat();
    if (!found.isFile()) throw new MountError(`"${path}" is not a regular file`);
    if (found.size > MAX_BYTES) throw new MountError(`"${path}" is larger than ${MAX_BYTES} bytes`);
    return await readFile(`/proc/self/fd/${place.fd}`);
  } finally {
    await place.close();
  }
}
