// Downloads one image for one platform into a folder of blobs. Guarantees: every blob is named by its digest and was checked
// against it before it got that name; a blob that is there is not fetched again; a broken download leaves nothing.
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat, utimes } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import type { Env } from "@coxswain/env";
import { ImageArchive } from "../archive-reader.ts";
import type { BlobSource } from "../archive-writer.ts";
import {
  NAME_ANNOTATION,
  REF_ANNOTATION,
  sha256,
  type Descriptor,
  type ImageIndex,
  type ImageManifest,
} from "../oci.ts";
import type { Reference } from "../reference.ts";
import { PullError, wrapPullError } from "./pull-error.ts";
import { type Manifest, RegistryClient, type RegistryAuth, type RegistryOptions } from "./registry-client.ts";

const LAYERS_AT_ONCE = 3;
const LOCAL_HOST = "coxswain.local";

export interface DownloadRequest {
  readonly env: Env;
  readonly reference: Reference;
  readonly auth?: RegistryAuth;
  /** "amd64" or "arm64". */
  readonly architecture: string;
  /** Where blobs are kept. */
  readonly folder: string;
  readonly registry?: RegistryOptions;
}

export interface Download {
  /** Named by its reference and by its digest. */
  readonly archive: ImageArchive;
  /** Digest of the config: CRI's image id. */
  readonly imageId: string;
}

/** Rejects with PullError, in containerd's wording. */
export async function downloadImage(request: DownloadRequest): Promise<Download> {
  const { reference } = request;
  const client = new RegistryClient(request.env, reference, request.auth, request.registry);
  const blobs = new Map<string, BlobSource>();
  const put = ({ bytes, mediaType }: Manifest): Descriptor => {
    const digest = sha256(bytes);
    blobs.set(digest, { bytes });
    return { mediaType, digest, size: bytes.length };
  };
  try {
    const top = await resolve(client, reference);
    const descriptor = put(top);
    const manifest = await forPlatform(client, top, request.architecture, put);
    await mkdir(request.folder, { recursive: true });
    await fetchAll(request, client, [manifest.config, ...manifest.layers], blobs);
    return { archive: named(reference, descriptor, blobs), imageId: manifest.config.digest };
  } catch (error) {
    throw wrapPullError(`failed to pull and unpack image ${JSON.stringify(reference.full)}`, error);
  }
}

async function resolve(client: RegistryClient, reference: Reference): Promise<Manifest> {
  try {
    // Images of that name are built on the spot: no registry has them, and none is asked.
    if (reference.host === LOCAL_HOST) throw new PullError("NotFound", `${reference.full}: not found`);
    const found = await client.manifest(reference.digest ?? reference.tag ?? "latest");
    checkDigest(found.bytes, reference.digest);
    return found;
  } catch (error) {
    throw wrapPullError(`failed to resolve reference ${JSON.stringify(reference.full)}`, error);
  }
}

function checkDigest(bytes: Buffer, wanted: string | undefined): void {
  const digest = sha256(bytes);
  if (wanted !== undefined && digest !== wanted)
    throw new PullError("Unknown", `unexpected commit digest ${digest}, expected ${wanted}: failed precondition`);
}

/** The manifest itself, or the one of an index that fits the platform. */
async function forPlatform(
  client: RegistryClient,
  top: Manifest,
  architecture: string,
  put: (manifest: Manifest) => Descriptor,
): Promise<ImageManifest> {
  const parsed = JSON.parse(top.bytes.toString()) as Partial<ImageIndex> & Partial<ImageManifest>;
  if (parsed.layers !== undefined && parsed.config !== undefined) return parsed as ImageManifest;
  const fitting = (parsed.manifests ?? []).find(
    ({ platform }) => platform?.os === "linux" && platform.architecture === architecture,
  );
  if (fitting === undefined)
    throw new PullError("NotFound", `no match for platform in manifest ${sha256(top.bytes)}: not found`);
  const chosen = await client.manifest(fitting.digest);
  checkDigest(chosen.bytes, fitting.digest);
  put(chosen);
  const manifest = JSON.parse(chosen.bytes.toString()) as Partial<ImageManifest>;
  if (manifest.layers === undefined || manifest.config === undefined)
    throw new PullError("Unknown", `${fitting.digest} is no image manifest`);
  return manifest as ImageManifest;
}

/** A few at once; the first failure is told when all have come to an end. */
async function fetchAll(
  request: DownloadRequest,
  client: RegistryClient,
  wanted: readonly Descriptor[],
  blobs: Map<string, BlobSource>,
): Promise<void> {
  const queue = [...new Map(wanted.map((one) => [one.digest, one])).values()];
  let failure: unknown;
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined && failure === undefined; next = queue.shift()) {
      try {
        blobs.set(next.digest, await fetchBlob(request, client, next));
      } catch (error) {
        failure ??= error;
      }
    }
  };
  await Promise.all(Array.from({ length: LAYERS_AT_ONCE }, worker));
  if (failure !== undefined) throw failure;
}

async function fetchBlob(request: DownloadRequest, client: RegistryClient, wanted: Descriptor): Promise<BlobSource> {
  if (!/^sha256:[0-9a-f]{64}$/.test(wanted.digest))
    throw new PullError("Unknown", `the digest ${JSON.stringify(wanted.digest)} is not supported`);
  const file = path.join(request.folder, wanted.digest.slice(7));
  const source: BlobSource = { file, offset: 0, size: wanted.size };
  if (await isThere(file, wanted.size)) {
    const now = new Date(request.env.clock.now());
    await utimes(file, now, now);
    return source;
  }
  const partial = `${file}.${request.env.random.nameSuffix(8)}.partial`;
  try {
    await client.blob(wanted.digest, async (body) => {
      const hash = createHash("sha256");
      let size = 0;
      await pipeline(
        body,
        async function* (chunks) {
          for await (const chunk of chunks) {
            size += chunk.length;
            if (size > wanted.size) break;
            hash.update(chunk);
            yield chunk;
          }
        },
        createWriteStream(partial),
      );
      const digest = `sha256:${hash.digest("hex")}`;
      if (size !== wanted.size || digest !== wanted.digest)
        throw new PullError(
          "Unknown",
          `failed to copy: unexpected commit digest ${digest}, expected ${wanted.digest}: failed precondition`,
        );
    });
    await rename(partial, file);
    return source;
  } finally {
    await rm(partial, { force: true });
  }
}

async function isThere(file: string, size: number): Promise<boolean> {
  try {
    return (await stat(file)).size === size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** containerd's own pull leaves both names, too: by tag, and by digest. */
function named(reference: Reference, descriptor: Descriptor, blobs: ReadonlyMap<string, BlobSource>): ImageArchive {
  const names = new Set([reference.full, `${reference.host}/${reference.repository}@${descriptor.digest}`]);
  const manifests = [...names].map((name) => ({
    ...descriptor,
    annotations: { [NAME_ANNOTATION]: name, [REF_ANNOTATION]: name },
  }));
  return new ImageArchive(reference.full, { schemaVersion: 2, manifests }, blobs);
}
