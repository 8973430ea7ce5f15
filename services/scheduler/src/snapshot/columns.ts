// Typed columns that grow together: one row a node. A row that leaves is filled with the last one, so that rows stay dense.

export class FloatColumn {
  values: Float64Array;
  constructor(capacity: number) {
    this.values = new Float64Array(capacity);
  }
  grow(capacity: number): void {
    const grown = new Float64Array(capacity);
    grown.set(this.values);
    this.values = grown;
  }
  move(from: number, to: number): void {
    this.values[to] = this.values[from]!;
    this.values[from] = 0;
  }
}

export class IntColumn {
  values: Int32Array;
  readonly #empty: number;
  constructor(capacity: number, empty = 0) {
    this.#empty = empty;
    this.values = new Int32Array(capacity).fill(empty);
  }
  grow(capacity: number): void {
    const grown = new Int32Array(capacity).fill(this.#empty);
    grown.set(this.values);
    this.values = grown;
  }
  move(from: number, to: number): void {
    this.values[to] = this.values[from]!;
    this.values[from] = this.#empty;
  }
}
