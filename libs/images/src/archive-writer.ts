// Writes an OCI layout tar from blobs that are in memory, in files, or inside other archives. Blobs stream; the archive
// appears under its name only when it is whole.
import { createReadStream, createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { pack, type Pack } from "tar-stream";
import type { ImageIndex } from "./oci.ts";

/** Where a blob's bytes are: `offset` and `size` in bytes. */
export type BlobSource =
  | { readonly bytes: Buffer }
  | { readonly file: string; readonly offset: number; readonly size: number };

export function blobSize(source: BlobSource): number {
  return "bytes" in source ? source.bytes.length : source.size;
}

export function openBlob(source: BlobSource): Readable {
  if ("bytes" in source) return Readable.from([source.bytes]);
  if (source.size === 0) return Readable.from([]);
  return createReadStream(source.file, {
    start: source.offset,
    end: source.offset + source.size - 1,
    highWaterMark: 1 << 20,
  });
}

const LAYOUT = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/** A stream of an OCI layout tar; `blobs` by digest. Errors of a source end the stream with that error. */
export function archiveStream(index: ImageIndex, blobs: ReadonlyMap<string, BlobSource>): Pack {
  const tar = pack();
  fill(tar, index, blobs).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error as Error),
  );
  return tar;
}

/** Writes the archive to `out`, replacing what is there. */
export async function writeArchive(
  out: string,
  index: ImageIndex,
  blobs: ReadonlyMap<string, BlobSource>,
): Promise<void> {
  const partial = `${out}.${process.pid}.partial`;
  try {
    await pipeline(archiveStream(index, blobs), createWriteStream(partial));
    await rename(partial, out);
  } finally {
    await rm(partial, { force: true });
  }
}

async function fill(tar: Pack, index: ImageIndex, blobs: ReadonlyMap<string, BlobSource>): Promise<void> {
  await addBlob(tar, "oci-layout", { bytes: LAYOUT });
  await addBlob(tar, "index.json", { bytes: Buffer.from(JSON.stringify(index)) });
  for (const [digest, source] of blobs) await addBlob(tar, `blobs/${digest.replace(":", "/")}`, source);
}

async function addBlob(tar: Pack, name: string, source: BlobSource): Promise<void> {
  const entry = tar.entry({ name, mode: 0o644, mtime: new Date(0), size: blobSize(source), type: "file" });
  await pipeline(openBlob(source), entry);
}
