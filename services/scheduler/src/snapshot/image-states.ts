// Which images the nodes have, and how large they are.
import type { Node } from "@coxswain/api";

export interface ImageState {
  /** Bytes, as the first node says. */
  readonly size: number;
  readonly nodes: ReadonlySet<string>;
}

type Images = NonNullable<Node["status"]>["images"];

export class ImageStates {
  readonly #byNode = new Map<string, readonly string[]>();
  readonly #images = new Map<string, { size: number; nodes: Set<string> }>();

  /** Distinct images. */
  get size(): number {
    return this.#images.size;
  }
  get(name: string): ImageState | undefined {
    return this.#images.get(name);
  }

  /** Undefined where the node has gone. */
  set(node: string, images: Images): void {
    for (const name of this.#byNode.get(node) ?? []) {
      const state = this.#images.get(name);
      state?.nodes.delete(node);
      if (state?.nodes.size === 0) this.#images.delete(name);
    }
    this.#byNode.delete(node);
    const names = (images ?? []).flatMap((image) => image.names ?? []);
    if (names.length === 0) return;
    for (const image of images ?? []) {
      for (const name of image.names ?? []) {
        const state = this.#images.get(name) ?? { size: image.sizeBytes ?? 0, nodes: new Set<string>() };
        state.nodes.add(node);
        this.#images.set(name, state);
      }
    }
    this.#byNode.set(node, names);
  }
}
