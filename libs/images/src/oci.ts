// The shapes of the OCI image specification that are written and read here, and digests.
import { createHash } from "node:crypto";

export const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
export const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
/** Layers are not compressed: what is built here never crosses a network, and importing is quicker so. */
export const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";
export const DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json";

/** containerd takes an image's name from the first, other tools from the second. */
export const NAME_ANNOTATION = "io.containerd.image.name";
export const REF_ANNOTATION = "org.opencontainers.image.ref.name";

export interface Platform {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
}

export interface Descriptor {
  readonly mediaType: string;
  /** "sha256:" and 64 hex digits. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ImageIndex {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly manifests: readonly Descriptor[];
}

export interface ImageManifest {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** How a container of the image runs where its pod does not say. */
export interface RunConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
}

export interface ImageConfig extends Platform {
  readonly config?: RunConfig;
  readonly rootfs: { readonly type: "layers"; readonly diff_ids: readonly string[] };
}

export function sha256(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** OCI's name of this machine's architecture. Throws where images cannot be built for it. */
export function ociArchitecture(arch: string = process.arch): "amd64" | "arm64" {
  if (arch === "x64") return "amd64";
  if (arch === "arm64") return "arm64";
  throw new Error(`no images are built for the architecture ${arch}: it must be x64 or arm64`);
}
