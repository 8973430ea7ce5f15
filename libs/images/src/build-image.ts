// Builds an image from files, on top of another archive or of nothing, with no Docker and no registry. The same input gives
// the same digests.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { openArchive } from "./archive-reader.ts";
import { writeArchive, type BlobSource } from "./archive-writer.ts";
import { type ImageFile } from "./image-file.ts";
import { writeLayer } from "./layer.ts";
import {
  CONFIG_TYPE,
  MANIFEST_TYPE,
  NAME_ANNOTATION,
  ociArchitecture,
  REF_ANNOTATION,
  sha256,
  type Descriptor,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  type RunConfig,
} from "./oci.ts";
import { parseReference } from "./reference.ts";

export interface BuildRequest {
  /** The image's name: "coxswain.local/web:v1"; short names get docker.io/library and :latest as everywhere. */
  readonly reference: string;
  /** Where the archive is written. */
  readonly out: string;
  /** An OCI layout tar to build on. */
  readonly base?: string;
  /** The files of each layer, lowest first. */
  readonly layers: readonly (readonly ImageFile[])[];
  /** Fields given here replace the base's; Env and Labels are merged by name. */
  readonly config?: RunConfig;
  /** "amd64" or "arm64"; this machine's where unset. */
  readonly architecture?: string;
  /** The archive leaves out the base's layers: it can be imported only where the base has been. */
  readonly thin?: boolean;
}

export interface BuiltImage {
  /** In full, as containerd names it. */
  readonly reference: string;
  readonly tar: string;
  /** Digest of the manifest. */
  readonly digest: string;
  /** Digest of the config: CRI's image id. */
  readonly imageId: string;
}

interface BaseImage {
  readonly layers: readonly Descriptor[];
  readonly config: ImageConfig;
  readonly blobs: ReadonlyMap<string, BlobSource>;
}

/** Builds and writes the archive. Rejects where the base is no OCI layout or a source cannot be read. */
export async function buildImage(request: BuildRequest): Promise<BuiltImage> {
  const reference = parseReference(request.reference).full;
  const architecture = request.architecture ?? ociArchitecture();
  await mkdir(path.dirname(request.out), { recursive: true });
  const scratch = await mkdtemp(`${request.out}.layers-`);
  try {
    const base = await openBase(request.base, architecture);
    const blobs = new Map<string, BlobSource>();
    const layers = [...base.layers];
    if (request.thin !== true) for (const layer of base.layers) blobs.set(layer.digest, base.blobs.get(layer.digest)!);
    for (const [at, files] of request.layers.entries()) {
      const file = path.join(scratch, `${at}.tar`);
      const layer = await writeLayer(files, file);
      layers.push(layer);
      blobs.set(layer.digest, { file, offset: 0, size: layer.size });
    }
    const diffIds = [...base.config.rootfs.diff_ids, ...layers.slice(base.layers.length).map((one) => one.digest)];
    const config: ImageConfig = {
      architecture,
      os: "linux",
      config: mergeRunConfig(base.config.config ?? {}, request.config ?? {}),
      rootfs: { type: "layers", diff_ids: diffIds },
    };
    return await writeImage(reference, request.out, config, layers, blobs);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function openBase(file: string | undefined, architecture: string): Promise<BaseImage> {
  if (file === undefined) {
    const config: ImageConfig = { architecture, os: "linux", rootfs: { type: "layers", diff_ids: [] } };
    return { layers: [], config, blobs: new Map() };
  }
  const archive = await openArchive(file);
  if (archive === undefined) throw new Error(`${file} is not an OCI layout: nothing can be built on it`);
  const { manifest, config } = await archive.image(architecture);
  const missing = manifest.layers.find((layer) => !archive.blobs.has(layer.digest));
  if (missing !== undefined) throw new Error(`${file} lacks its layer ${missing.digest}`);
  return { layers: manifest.layers, config, blobs: archive.blobs };
}

/** Later settings win; environment variables and labels are merged by name. A new entrypoint drops the base's command. */
export function mergeRunConfig(base: RunConfig, own: RunConfig): RunConfig {
  const env = new Map([...(base.Env ?? []), ...(own.Env ?? [])].map((one) => [one.split("=")[0]!, one]));
  const labels = { ...base.Labels, ...own.Labels };
  const ports = { ...base.ExposedPorts, ...own.ExposedPorts };
  const merged: RunConfig = { ...base, ...own };
  const { Cmd: _command, ...withoutCommand } = merged;
  return {
    ...(own.Entrypoint !== undefined && own.Cmd === undefined ? withoutCommand : merged),
    ...(env.size > 0 ? { Env: [...env.values()] } : {}),
    ...(Object.keys(labels).length > 0 ? { Labels: labels } : {}),
    ...(Object.keys(ports).length > 0 ? { ExposedPorts: ports } : {}),
  };
}

async function writeImage(
  reference: string,
  out: string,
  config: ImageConfig,
  layers: readonly Descriptor[],
  blobs: Map<string, BlobSource>,
): Promise<BuiltImage> {
  const put = (mediaType: string, value: object): Descriptor => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = sha256(bytes);
    blobs.set(digest, { bytes });
    return { mediaType, digest, size: bytes.length };
  };
  const configBlob = put(CONFIG_TYPE, config);
  const manifest: ImageManifest = { schemaVersion: 2, mediaType: MANIFEST_TYPE, config: configBlob, layers };
  const manifestBlob = put(MANIFEST_TYPE, manifest);
  await writeArchive(out, namedIndex(manifestBlob, config, reference), blobs);
  return { reference, tar: out, digest: manifestBlob.digest, imageId: configBlob.digest };
}

/** An index of one image under its full name. */
export function namedIndex(
  manifest: Descriptor,
  platform: { architecture: string; os: string },
  reference: string,
): ImageIndex {
  return {
    schemaVersion: 2,
    manifests: [
      {
        mediaType: manifest.mediaType,
        digest: manifest.digest,
        size: manifest.size,
        platform: { architecture: platform.architecture, os: platform.os },
        annotations: { [NAME_ANNOTATION]: reference, [REF_ANNOTATION]: reference },
      },
    ],
  };
}
