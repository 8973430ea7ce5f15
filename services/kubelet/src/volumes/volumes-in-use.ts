// Which attachable volumes the pods of a node use, or are going to: the volumesInUse of its status, by which the attach/detach
// controller knows what it must not take away. Guarantees: a volume is told of before it may be mounted, and until it is unmounted;
// nothing is told before it is known what an earlier process left mounted.

export class VolumesInUse {
  readonly #byPod = new Map<string, readonly string[]>();
  readonly #changed: () => void;
  /** False while pods of an earlier process have not told theirs. */
  readonly #complete: () => boolean;

  /** `changed` is called whenever a node may have to say something else. */
  constructor(changed: () => void, complete: () => boolean) {
    this.#changed = changed;
    this.#complete = complete;
  }

  use(uid: string, names: readonly string[]): void {
    if (names.length === 0) return;
    this.#byPod.set(uid, names);
    this.#changed();
  }

  /** The pod has unmounted what it used. */
  release(uid: string): void {
    if (this.#byPod.delete(uid)) this.#changed();
  }

  /** It may be complete now. */
  lookAgain(): void {
    if (this.#complete()) this.#changed();
  }

  /** Sorted; undefined while it is not known. */
  names(): string[] | undefined {
    return this.#complete() ? [...new Set([...this.#byPod.values()].flat())].toSorted() : undefined;
  }
}
