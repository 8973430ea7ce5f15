// Images of the simulated runtime: every image that can be named exists, except those whose name asks for a failure.
// `invalid/…` and registries named `invalid.…` cannot be pulled; what is no image reference is refused as such.
import { createHash } from "node:crypto";
import { CriError } from "../contract.ts";
import { parseImageName, type ImageName } from "../image-name.ts";

function digestOf(full: string): string {
  return /@(.+)$/.exec(full)?.[1] ?? `sha256:${createHash("sha256").update(full).digest("hex")}`;
}

/** repository@digest of an image: what imageID shows. */
export function imageReference(name: ImageName): string {
  return `${name.repository}@${digestOf(name.full)}`;
}

/** Names that stand for what cannot be pulled. */
function isPullable({ repository, registry }: ImageName): boolean {
  return !repository.startsWith("docker.io/invalid/") && !/^invalid(\.|$)/.test(registry);
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
    if (!isPullable(name)) {
      const why = "failed to resolve reference: simulated: this registry never answers";
      throw new CriError("NotFound", `failed to pull and unpack image "${name.full}": ${why}`);
    }
    const id = imageReference(name);
    // A size that looks like one and is the same on every node.
    const sizeBytes = 1_000_000 + (Number.parseInt(digestOf(name.full).slice(-6), 16) || 0) * 4;
    this.#images.set(name.full, { id, name: name.full, sizeBytes });
    return id;
  }

  remove(image: string): void {
    for (const { id, name } of this.#images.values()) {
      if (name === parseImageName(image)?.full || id === image) this.#images.delete(name);
    }
  }

  list(): StoredImage[] {
    return [...this.#images.values()];
  }
}
