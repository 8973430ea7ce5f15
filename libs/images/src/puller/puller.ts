// The image puller of a cluster: it fetches what a node asks for and hands it to that node's containerd. Guarantees: several
// nodes that want one image at a time share its download; the folder of blobs stays below its limit between pulls.
import { readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import type { Env } from "@coxswain/env";
import { importImage, type NodeImageStore } from "../node-images.ts";
import { ociArchitecture } from "../oci.ts";
import { parseReference, type Reference } from "../reference.ts";
import { downloadImage, type Download } from "./download.ts";
import { PullError, wrapPullError } from "./pull-error.ts";
import type { RegistryAuth, RegistryOptions } from "./registry-client.ts";

export interface PullerOptions {
  readonly env: Env;
  /** Blobs are kept here. */
  readonly folder: string;
  /** Bytes that may stay in the folder; 10 GiB where unset. */
  readonly mostBytes?: number;
  readonly registry?: RegistryOptions;
}

/** Puts an image on a node; resolves with CRI's image id. Rejects with PullError. */
export type Puller = (store: NodeImageStore, image: string, auth?: RegistryAuth) => Promise<string>;

export function createPuller(options: PullerOptions): Puller {
  const { env, folder, registry } = options;
  const downloads = new Map<string, Promise<Download>>();
  let users = 0;
  const download = (reference: Reference, auth: RegistryAuth | undefined): Promise<Download> => {
    const key = JSON.stringify([reference.full, auth]);
    const running = downloads.get(key);
    if (running !== undefined) return running;
    const architecture = ociArchitecture();
    const started = downloadImage({ env, reference, auth, architecture, folder, registry }).finally(() =>
      downloads.delete(key),
    );
    downloads.set(key, started);
    return started;
  };
  return async (store, image, auth) => {
    const reference = parsed(image);
    users++;
    try {
      const { archive, imageId } = await download(reference, auth);
      await importImage(store, archive).catch((error: unknown) => {
        throw wrapPullError(`failed to pull and unpack image ${JSON.stringify(reference.full)}`, error);
      });
      return imageId;
    } finally {
      users--;
      // Only between pulls: none may lose a blob that it counts on.
      if (users === 0) await evict(folder, options.mostBytes ?? 10 * 2 ** 30, () => users === 0);
    }
  };
}

function parsed(image: string): Reference {
  try {
    return parseReference(image);
  } catch (error) {
    const wrapped = wrapPullError(`failed to parse image reference ${JSON.stringify(image)}`, error);
    throw new PullError("InvalidArgument", wrapped.message, { cause: error });
  }
}

/** Removes the blobs that were longest unused until the rest fits; stops where `idle` no longer holds. */
async function evict(folder: string, mostBytes: number, idle: () => boolean): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return [];
  });
  const blobs = await Promise.all(
    names.map(async (name) => {
      const file = path.join(folder, name);
      const { size, mtimeMs } = await stat(file);
      return { file, size, mtimeMs };
    }),
  );
  let total = blobs.reduce((sum, one) => sum + one.size, 0);
  for (const { file, size } of blobs.toSorted((a, b) => a.mtimeMs - b.mtimeMs)) {
    if (total <= mostBytes || !idle()) return;
    await rm(file, { force: true });
    total -= size;
  }
}
