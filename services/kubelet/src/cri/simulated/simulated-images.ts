// Images of the simulated runtime: every image that can be named exists, except those whose name asks for a failure.
// `invalid/…` and registries named `invalid.…` cannot be pulled; what is no image reference is refused as such.
import { createHash } from "node:crypto";
import { CriError } from "../contract.ts";

const COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const HOST = "(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::\\d+)?/)?";
const REFERENCE = new RegExp(
  `^(?<host>${HOST})(?<path>${COMPONENT}(?:/${COMPONENT})*)(?::(?<tag>\\w[\\w.-]{0,127}))?(?:@(?<digest>[a-z0-9]+:[0-9a-fA-F]{32,}))?$`,
);

export interface ImageName {
  /** With registry, repository and tag or digest. */
  readonly full: string;
  readonly repository: string;
  readonly pullable: boolean;
}

/** The image in full, as runtimes name it; undefined where the text is no reference. */
export function parseImageName(image: string): ImageName | undefined {
  const groups = REFERENCE.exec(image)?.groups;
  if (groups === undefined) return undefined;
  let host = (groups["host"] ?? "").replace(/\/$/, "");
  let path = groups["path"] ?? "";
  // The first part is a registry only where it looks like one.
  if (host !== "" && !/[.:]/.test(host) && host !== "localhost") {
    path = `${host}/${path}`;
    host = "";
  }
  if (/[A-Z]/.test(path)) return undefined;
  const pullable = !path.startsWith("invalid/") && !host.startsWith("invalid.") && host !== "invalid";
  const repository = host === "" ? `docker.io/${path.includes("/") ? path : `library/${path}`}` : `${host}/${path}`;
  const { tag, digest } = groups;
  const suffix = `${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
  return { full: `${repository}${suffix === "" ? ":latest" : suffix}`, repository, pullable };
}

function digestOf(full: string): string {
  return /@(.+)$/.exec(full)?.[1] ?? `sha256:${createHash("sha256").update(full).digest("hex")}`;
}

/** repository@digest of an image: what imageID shows. */
export function imageReference(name: ImageName): string {
  return `${name.repository}@${digestOf(name.full)}`;
}

export interface StoredImage {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
}

/** The images of one node. */
export class SimulatedImages {
  readonly #images = new Map<string, StoredImage>();

  status(image: string): StoredImage | undefined {
    const name = parseImageName(image);
    return name === undefined ? undefined : this.#images.get(name.full);
  }

  /** Throws CriError InvalidArgument or NotFound. Returns the image's reference. */
  pull(image: string): string {
    const name = parseImageName(image);
    if (name === undefined)
      throw new CriError("InvalidArgument", `couldn't parse image name "${image}": invalid reference format`);
    if (!name.pullable) {
      const why = "failed to resolve reference: simulated: this registry never answers";
      throw new CriError("NotFound", `failed to pull and unpack image "${name.full}": ${why}`);
    }
    const id = imageReference(name);
    // A size that looks like one and is the same on every node.
    const sizeBytes = 1_000_000 + (Number.parseInt(digestOf(name.full).slice(-6), 16) || 0) * 4;
    this.#images.set(name.full, { id, name: name.full, sizeBytes });
    return id;
  }

  list(): StoredImage[] {
    return [...this.#images.values()];
  }
}
