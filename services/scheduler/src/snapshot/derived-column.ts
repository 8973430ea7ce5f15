// Numbers computed from a row's resources for pods of one shape (the same requests), kept from decision to decision: a pod
// that is placed changes one row, so one row is computed anew.
import type { ClusterSnapshot } from "./cluster-snapshot.ts";

/** More changes than this, and everything is computed anew. */
const REMEMBERED = 4096;

/** Which rows have changed, in order. */
export class RowLog {
  /** Grows when rows have moved: what was computed before is void. */
  epoch = 0;
  /** Changes so far. */
  count = 0;
  readonly #rows = new Int32Array(REMEMBERED);

  touch(row: number): void {
    this.#rows[this.count++ % REMEMBERED] = row;
  }
  void(): void {
    this.epoch++;
  }
  /** Calls `each` for the rows changed since `position`; false where it does not remember. */
  replay(position: number, each: (row: number) => void): boolean {
    if (this.count - position > REMEMBERED) return false;
    for (let at = position; at < this.count; at++) each(this.#rows[at % REMEMBERED]!);
    return true;
  }
}

export class DerivedColumn {
  #values = new Float64Array(0);
  #epoch = -1;
  #position = 0;
  #size = 0;

  /** The values of all rows; `compute` must depend on nothing but the row and the shape of the column. */
  refresh(snapshot: ClusterSnapshot, compute: (row: number) => number): Float64Array {
    const { changes, size } = snapshot;
    const known =
      this.#epoch === changes.epoch &&
      size <= this.#values.length &&
      changes.replay(this.#position, (row) => {
        if (row < size) this.#values[row] = compute(row);
      });
    if (!known) this.#rebuild(size, compute);
    else for (let row = this.#size; row < size; row++) this.#values[row] = compute(row);
    this.#epoch = changes.epoch;
    this.#position = changes.count;
    this.#size = size;
    return this.#values;
  }

  #rebuild(size: number, compute: (row: number) => number): void {
    if (this.#values.length < size) this.#values = new Float64Array(size * 2);
    for (let row = 0; row < size; row++) this.#values[row] = compute(row);
  }
}

const MAX_SHAPES = 64;
const MAX_SEEN = 1024;

/** What is kept for each shape of pods that came at least twice; the shapes used last. */
export class ShapeCache<T> {
  readonly #make: () => T;
  readonly #kept = new WeakMap<ClusterSnapshot, Map<string, T>>();
  readonly #seen = new Set<string>();

  constructor(make: () => T) {
    this.#make = make;
  }

  /** Undefined where it does not pay: the shape is new. */
  get(snapshot: ClusterSnapshot, shape: string): T | undefined {
    let shapes = this.#kept.get(snapshot);
    if (shapes === undefined) this.#kept.set(snapshot, (shapes = new Map()));
    let found = shapes.get(shape);
    if (found === undefined) {
      if (!this.#seen.has(shape)) {
        if (this.#seen.size >= MAX_SEEN) this.#seen.clear();
        this.#seen.add(shape);
        return undefined;
      }
      if (shapes.size >= MAX_SHAPES) shapes.delete(shapes.keys().next().value!);
      found = this.#make();
    } else shapes.delete(shape);
    shapes.set(shape, found);
    return found;
  }
}
