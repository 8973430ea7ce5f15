// Puts image archives into a node's containerd, through its own `ctr`, in the namespace that its CRI reads. Guarantees:
// - An image that is already there under that name and digest is left alone; layers that are there are not sent again.
// - When importImage resolves, CRI knows the image (containerd tells it with a delay).
import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createRealEnv, type Env } from "@coxswain/env";
import { openArchive, readBlob, type ImageArchive } from "./archive-reader.ts";
import { archiveStream, type BlobSource } from "./archive-writer.ts";
import { namedIndex } from "./build-image.ts";
import { NAME_ANNOTATION, ociArchitecture, REF_ANNOTATION, type ImageIndex, type ImageManifest } from "./oci.ts";
import { parseReference } from "./reference.ts";

const NAMESPACE = "k8s.io";
const CRI_DEADLINE_MS = 30_000;
const CRI_POLL_MS = 20;

/** How a node's containerd is reached. */
export interface NodeImageStore {
  /** The program `ctr`. */
  readonly ctr: string;
  /** containerd's socket, as seen after `enter`. */
  readonly socket: string;
  /** Command that puts what follows into the node's namespaces; empty where the socket can be seen from here. */
  readonly enter?: readonly string[];
  /** Environment of the commands; this process's where unset. */
  readonly commandEnv?: Readonly<Record<string, string>>;
  /** containerd's default where unset. */
  readonly snapshotter?: string;
  readonly env?: Env;
}

export interface NodeImage {
  readonly name: string;
  readonly mediaType: string;
  readonly digest: string;
  /** For people: "61.0 MiB". */
  readonly size: string;
  readonly platforms: string;
}

export interface ImportedImage {
  /** In full. */
  readonly name: string;
  readonly digest: string;
  /** False where it was there already. */
  readonly imported: boolean;
}

/** ctr failed; the message is what it said. */
export class ContainerdError extends Error {
  override readonly name = "ContainerdError";
}

/** Runs ctr and resolves with what it printed. Rejects with ContainerdError where it fails. */
async function runCtr(
  store: NodeImageStore,
  args: readonly string[],
  input?: Readable | NodeJS.ReadableStream,
): Promise<string> {
  const [program, ...rest] = [...(store.enter ?? []), store.ctr, "-a", store.socket, "-n", NAMESPACE, ...args];
  const child = spawn(program!, rest, {
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    env: store.commandEnv ?? process.env,
  });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout!.on("data", (chunk: Buffer) => output.push(chunk));
  child.stderr!.on("data", (chunk: Buffer) => errors.push(chunk));
  const ended = new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === 0) return resolve();
      const said = Buffer.concat(errors)
        .toString()
        .trim()
        .replace(/^ctr: /, "");
      reject(new ContainerdError(said === "" ? `ctr ${args.join(" ")} ended with ${signal ?? code}` : said));
    });
  });
  const fed = input === undefined ? undefined : pipeline(input, child.stdin!);
  const [ending, feeding] = await Promise.allSettled([ended, fed]);
  if (ending.status === "rejected") throw ending.reason;
  // ctr may succeed without reading the archive's last padding: then the pipe breaks and nothing is wrong.
  if (feeding.status === "rejected" && (feeding.reason as NodeJS.ErrnoException).code !== "EPIPE") throw feeding.reason;
  return Buffer.concat(output).toString();
}

/** Rows of `ctr images ls`. Pure. */
export function parseImageTable(text: string): NodeImage[] {
  const images: NodeImage[] = [];
  for (const line of text.split("\n").slice(1)) {
    const [name, mediaType, digest, amount, unit, platforms] = line.trim().split(/\s+/);
    if (platforms === undefined) continue;
    images.push({ name: name!, mediaType: mediaType!, digest: digest!, size: `${amount} ${unit}`, platforms });
  }
  return images;
}

/** The images of a node by name; the entries that CRI makes for itself (by digest) are left out unless `all`. */
export async function listNodeImages(store: NodeImageStore, all = false): Promise<NodeImage[]> {
  const images = parseImageTable(await runCtr(store, ["images", "ls"]));
  return all ? images : images.filter((image) => !image.name.startsWith("sha256:") && !image.name.includes("@sha256:"));
}

/**
 * Imports an archive (OCI layout, or docker-save). `name` renames its only image. Resolves with every image that it holds;
 * rejects with ContainerdError, or Error where the archive is bad or has no name and none was given.
 */
export async function importImage(
  store: NodeImageStore,
  source: string | ImageArchive,
  name?: string,
): Promise<ImportedImage[]> {
  if (typeof source !== "string") return importArchive(store, source, name);
  const archive = await openArchive(source);
  return archive === undefined ? importDockerArchive(store, source, name) : importArchive(store, archive, name);
}

async function importArchive(
  store: NodeImageStore,
  archive: ImageArchive,
  name: string | undefined,
): Promise<ImportedImage[]> {
  const index = renamed(archive, name);
  const wanted = index.manifests.map((one) => ({ name: one.annotations![NAME_ANNOTATION]!, digest: one.digest }));
  const known = new Map((await listNodeImages(store, true)).map((image) => [image.name, image.digest]));
  const ids = await configDigests(archive);
  if (wanted.every((one) => known.get(one.name) === one.digest) && ids.every((id) => known.has(id)))
    return wanted.map((one) => ({ ...one, imported: false }));
  const present = new Set((await runCtr(store, ["content", "ls", "-q"])).split("\n"));
  try {
    await importOci(store, index, await withoutLayers(archive, present));
  } catch (error) {
    // A layer that was there may have been collected meanwhile: then everything is sent.
    if (!(error instanceof ContainerdError) || !/not found/.test(error.message)) throw error;
    await importOci(store, index, archive.blobs);
  }
  await announceMoved(
    store,
    wanted.map((one) => one.name).filter((one) => known.has(one)),
  );
  await knownToCri(store, ids);
  return wanted.map((one) => ({ ...one, imported: true }));
}

function importArgs(store: NodeImageStore): string[] {
  return ["images", "import", ...(store.snapshotter === undefined ? [] : ["--snapshotter", store.snapshotter]), "-"];
}

async function importOci(
  store: NodeImageStore,
  index: ImageIndex,
  blobs: ReadonlyMap<string, BlobSource>,
): Promise<void> {
  await runCtr(store, importArgs(store), archiveStream(index, blobs) as unknown as NodeJS.ReadableStream);
}

/** The archive's index with every image under its full name. */
function renamed(archive: ImageArchive, name: string | undefined): ImageIndex {
  const { manifests } = archive.index;
  if (name !== undefined) {
    const [only, ...more] = manifests;
    if (only === undefined || more.length > 0)
      throw new Error(`${archive.file} holds ${manifests.length} images: one name cannot serve for all`);
    return namedIndex(
      only,
      only.platform ?? { architecture: ociArchitecture(), os: "linux" },
      parseReference(name).full,
    );
  }
  return {
    ...archive.index,
    manifests: manifests.map((one) => {
      const given = one.annotations?.[NAME_ANNOTATION] ?? one.annotations?.[REF_ANNOTATION];
      if (given === undefined || !/[:/]/.test(given))
        throw new Error(`${archive.file} does not say what its image is called: give a name`);
      const full = parseReference(given).full;
      return { ...one, annotations: { ...one.annotations, [NAME_ANNOTATION]: full, [REF_ANNOTATION]: full } };
    }),
  };
}

/** The image manifests in the archive, also those below an index in the index; platforms left out of it do not count. */
async function manifests(archive: ImageArchive): Promise<ImageManifest[]> {
  const found: ImageManifest[] = [];
  const queue = archive.index.manifests.map((one) => one.digest);
  for (const digest of new Set(queue)) {
    const source = archive.blobs.get(digest);
    if (source === undefined) throw new Error(`${archive.file} lacks ${digest}`);
    const parsed = JSON.parse((await readBlob(source)).toString()) as Partial<ImageManifest> & Partial<ImageIndex>;
    if (parsed.layers !== undefined) found.push(parsed as ImageManifest);
    for (const below of parsed.manifests ?? []) {
      const nested = archive.blobs.get(below.digest);
      if (nested === undefined) continue;
      const manifest = JSON.parse((await readBlob(nested)).toString()) as Partial<ImageManifest>;
      if (manifest.layers !== undefined) found.push(manifest as ImageManifest);
    }
  }
  return found;
}

async function configDigests(archive: ImageArchive): Promise<string[]> {
  return (await manifests(archive)).map((one) => one.config.digest);
}

/** All blobs but the layers that the node holds. */
async function withoutLayers(
  archive: ImageArchive,
  present: ReadonlySet<string>,
): Promise<ReadonlyMap<string, BlobSource>> {
  const layers = new Set((await manifests(archive)).flatMap((one) => one.layers.map((layer) => layer.digest)));
  return new Map([...archive.blobs].filter(([digest]) => !layers.has(digest) || !present.has(digest)));
}

/**
 * CRI enters an image under its id when it has not seen the name before, which it notes in a label; a name that now means another
 * image still has that label, so it is taken off.
 */
async function announceMoved(store: NodeImageStore, names: readonly string[]): Promise<void> {
  for (const name of names) await runCtr(store, ["images", "label", name, "io.cri-containerd.image="]);
}

/** Waits until CRI has entered the images under their ids. Rejects after 30 s. */
async function knownToCri(store: NodeImageStore, ids: readonly string[]): Promise<void> {
  const env = store.env ?? createRealEnv();
  const endMs = env.clock.monotonic() + CRI_DEADLINE_MS;
  for (;;) {
    const names = new Set((await listNodeImages(store, true)).map((image) => image.name));
    const missing = ids.find((id) => !names.has(id));
    if (missing === undefined) return;
    if (env.clock.monotonic() > endMs) throw new ContainerdError(`containerd's CRI did not take note of ${missing}`);
    await env.timers.sleep(CRI_POLL_MS);
  }
}

/** docker-save archives go to containerd as they are; it names images by their tags. */
async function importDockerArchive(
  store: NodeImageStore,
  tar: string,
  name: string | undefined,
): Promise<ImportedImage[]> {
  const before = new Map((await listNodeImages(store)).map((image) => [image.name, image.digest]));
  const said = await runCtr(store, importArgs(store), createReadStream(tar, { highWaterMark: 1 << 20 }));
  const names = [...said.matchAll(/^unpacking (\S+) \((sha256:[0-9a-f]{64})\)/gm)];
  if (names.length === 0) throw new Error(`${tar} holds no image with a name`);
  if (name !== undefined) {
    if (names.length > 1) throw new Error(`${tar} holds ${names.length} images: one name cannot serve for all`);
    const full = parseReference(name).full;
    if (full !== names[0]![1]) await runCtr(store, ["images", "tag", "--force", names[0]![1]!, full]);
    return [{ name: full, digest: names[0]![2]!, imported: true }];
  }
  const found = names.map(([, full, digest]) => ({
    name: full!,
    digest: digest!,
    imported: before.get(full!) !== digest,
  }));
  await announceMoved(
    store,
    found.filter((one) => one.imported && before.has(one.name)).map((one) => one.name),
  );
  return found;
}
