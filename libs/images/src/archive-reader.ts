// Finds its way in an image archive without reading it whole: where each entry's bytes are, so that layers can be copied or
// left out. Knows OCI layouts; docker-save archives of the old kind are told apart and left as they are.
import { open, type FileHandle } from "node:fs/promises";
import type { BlobSource } from "./archive-writer.ts";
import type { Descriptor, ImageConfig, ImageIndex, ImageManifest } from "./oci.ts";

const BLOCK = 512;

interface TarHeader {
  readonly name: string;
  readonly type: string;
  readonly size: number;
}

function cString(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return block.toString("utf8", start, end < 0 || end > start + length ? start + length : end);
}

function sizeOf(block: Buffer): number {
  // Sizes over 8 GiB are binary: the first bit says so.
  if ((block[124]! & 0x80) !== 0) return Number(block.readBigUInt64BE(128));
  return Number.parseInt(cString(block, 124, 12).trim() || "0", 8);
}

function parseHeader(block: Buffer): TarHeader {
  const prefix = cString(block, 257, 5) === "ustar" ? cString(block, 345, 155) : "";
  const name = cString(block, 0, 100);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    type: String.fromCharCode(block[156]!),
    size: sizeOf(block),
  };
}

/** Path → place of its bytes, for every plain file of a tar. Rejects where the file is no tar. */
export async function tarEntries(file: string): Promise<Map<string, BlobSource & { file: string }>> {
  const handle = await open(file);
  try {
    return await walk(handle, file);
  } finally {
    await handle.close();
  }
}

async function walk(handle: FileHandle, file: string): Promise<Map<string, BlobSource & { file: string }>> {
  const entries = new Map<string, BlobSource & { file: string }>();
  const block = Buffer.alloc(BLOCK);
  const { size: end } = await handle.stat();
  let longName: string | undefined;
  for (let at = 0; at + BLOCK <= end;) {
    await handle.read(block, 0, BLOCK, at);
    if (block.every((byte) => byte === 0)) break;
    if (cString(block, 257, 5) !== "ustar") throw new Error(`${file} is not a tar archive`);
    const { name, type, size } = parseHeader(block);
    const offset = at + BLOCK;
    if (offset + size > end) throw new Error(`${file} ends in the middle of ${name}`);
    if (type === "L" || type === "x") longName = await readLongName(handle, type, offset, size);
    else {
      if (type === "0" || type === "\0") entries.set((longName ?? name).replace(/^\.\//, ""), { file, offset, size });
      longName = undefined;
    }
    at = offset + Math.ceil(size / BLOCK) * BLOCK;
  }
  return entries;
}

async function readLongName(
  handle: FileHandle,
  type: "L" | "x",
  offset: number,
  size: number,
): Promise<string | undefined> {
  const bytes = Buffer.alloc(size);
  await handle.read(bytes, 0, size, offset);
  if (type === "L") return cString(bytes, 0, size);
  return /^\d+ path=(.*)$/m.exec(bytes.toString())?.[1];
}

/** Reads a small blob whole. */
export async function readBlob(source: BlobSource): Promise<Buffer> {
  if ("bytes" in source) return source.bytes;
  const handle = await open(source.file);
  try {
    const bytes = Buffer.alloc(source.size);
    await handle.read(bytes, 0, source.size, source.offset);
    return bytes;
  } finally {
    await handle.close();
  }
}

async function readJson<T>(source: BlobSource | undefined, what: string): Promise<T> {
  if (source === undefined) throw new Error(`the archive has no ${what}`);
  return JSON.parse((await readBlob(source)).toString()) as T;
}

export interface ArchivedImage {
  readonly descriptor: Descriptor;
  readonly manifest: ImageManifest;
  readonly config: ImageConfig;
}

/** An image archive as it lies on disk. */
export class ImageArchive {
  readonly file: string;
  readonly index: ImageIndex;
  /** Digest → bytes. */
  readonly blobs: ReadonlyMap<string, BlobSource>;

  constructor(file: string, index: ImageIndex, blobs: ReadonlyMap<string, BlobSource>) {
    this.file = file;
    this.index = index;
    this.blobs = blobs;
  }

  /** The only image inside, or the one for `architecture`. Rejects where there is none, or an index in the index. */
  async image(architecture: string): Promise<ArchivedImage> {
    let { manifests } = this.index;
    if (manifests.length > 1) manifests = manifests.filter((one) => one.platform?.architecture === architecture);
    const descriptor = manifests[0];
    if (descriptor === undefined) throw new Error(`${this.file} holds no image for ${architecture}`);
    const manifest = await readJson<ImageManifest>(this.blobs.get(descriptor.digest), descriptor.digest);
    if (!Array.isArray(manifest.layers)) throw new Error(`${this.file} nests an index: give an archive of one image`);
    const config = await readJson<ImageConfig>(this.blobs.get(manifest.config.digest), manifest.config.digest);
    return { descriptor, manifest, config };
  }
}

/** Opens an archive: an OCI layout, or undefined where it is `docker save`'s older form. Rejects where it is neither. */
export async function openArchive(file: string): Promise<ImageArchive | undefined> {
  const entries = await tarEntries(file);
  if (entries.has("index.json") && entries.has("oci-layout")) {
    const index = await readJson<ImageIndex>(entries.get("index.json"), "index.json");
    const blobs = new Map<string, BlobSource>();
    for (const [name, source] of entries) {
      const match = /^blobs\/([^/]+)\/([^/]+)$/.exec(name);
      if (match !== null) blobs.set(`${match[1]}:${match[2]}`, source);
    }
    return new ImageArchive(file, index, blobs);
  }
  if (entries.has("manifest.json")) return undefined;
  throw new Error(`${file} is neither an OCI layout nor a docker-save archive`);
}
