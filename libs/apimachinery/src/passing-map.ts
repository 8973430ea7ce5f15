// A map of what comes and goes by the thousand. Guarantee: what has left it is garbage at once, which of a Map's entries is not
// true: V8 moves a Map into a new table each time the old one is full of what has left, and leaves the entries of that moment
// in the old one. Where that lies in old space, because the map was there through one full collection, it keeps the next table
// until the next full collection, that one the next, and so each object that was ever in one: they are all copied on each
// scavenge meanwhile, and grow the heap. Here such a table holds boxes that are emptied, of a few bytes each.

interface Box<V> {
  value: V | undefined;
}

export class PassingMap<K extends string | number, V extends object> {
  readonly #boxes = new Map<K, Box<V>>();

  get size(): number {
    return this.#boxes.size;
  }

  get(key: K): V | undefined {
    return this.#boxes.get(key)?.value;
  }

  /** As a Map does: what is there already keeps its place in the order. */
  set(key: K, value: V): void {
    const box = this.#boxes.get(key);
    if (box === undefined) this.#boxes.set(key, { value });
    else box.value = value;
  }

  /** Takes it out; undefined where it was not there. */
  take(key: K): V | undefined {
    const box = this.#boxes.get(key);
    if (box === undefined) return undefined;
    this.#boxes.delete(key);
    const { value } = box;
    box.value = undefined;
    return value;
  }

  /** Takes out what came first. */
  takeFirst(): V | undefined {
    const [first] = this.#boxes.keys();
    return first === undefined ? undefined : this.take(first);
  }

  clear(): void {
    for (const box of this.#boxes.values()) box.value = undefined;
    this.#boxes.clear();
  }

  /** In the order in which they came. */
  *values(): Generator<V, void> {
    for (const { value } of this.#boxes.values()) yield value!;
  }
}
