// Checks what is at the path of a hostPath volume, by its type, and makes it where the type says so.
// https://kubernetes.io/docs/concepts/storage/volumes/#hostpath-volume-types
import type { Stats } from "node:fs";
import { mkdir, open, stat } from "node:fs/promises";
import { SourceError } from "./payload.ts";

interface Kind {
  readonly text: string;
  readonly matches: (found: Stats) => boolean;
}

const KINDS: Readonly<Record<string, Kind>> = {
  Directory: { text: "directory", matches: (found) => found.isDirectory() },
  File: { text: "file", matches: (found) => found.isFile() },
  Socket: { text: "socket file", matches: (found) => found.isSocket() },
  CharDevice: { text: "character device", matches: (found) => found.isCharacterDevice() },
  BlockDevice: { text: "block device", matches: (found) => found.isBlockDevice() },
};

/** Rejects with SourceError, or with the file system's error where something cannot be made. */
export async function prepareHostPath(path: string, type: string): Promise<void> {
  if (type === "") return;
  const creates = type.endsWith("OrCreate");
  const kind = KINDS[creates ? type.slice(0, -"OrCreate".length) : type];
  if (kind === undefined) throw new SourceError(`${type} is an invalid volume type`);
  const found = await statOf(path);
  if (found === undefined && creates) {
    if (kind === KINDS["Directory"]) await mkdir(path, { recursive: true, mode: 0o755 });
    else await (await open(path, "a", 0o644)).close();
    return;
  }
  if (found === undefined || !kind.matches(found)) {
    throw new SourceError(`hostPath type check failed: ${path} is not a ${kind.text}`);
  }
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
