// Which domain of a topology each node is in, as small integers: topology "zone" has the domains "a", "b", "c". An id is
// given to another domain only after the last node of the first has gone.
import { IntColumn } from "./columns.ts";

/** The domain of a node without the label. */
export const NO_DOMAIN = -1;

export class Topology {
  readonly key: string;
  /** Nodes by domain; 0 where the id is free. */
  readonly nodes: number[] = [];
  readonly #column: IntColumn;
  readonly #ids = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #free: number[] = [];
  #labelled = 0;

  constructor(key: string, capacity: number) {
    this.key = key;
    this.#column = new IntColumn(capacity, NO_DOMAIN);
  }

  /** Domain by row. */
  get domains(): Int32Array {
    return this.#column.values;
  }
  /** Domains have ids below this. */
  get limit(): number {
    return this.nodes.length;
  }
  /** Domains that have nodes. */
  get count(): number {
    return this.#ids.size;
  }
  /** Nodes that are in any domain. */
  get labelled(): number {
    return this.#labelled;
  }
  name(domain: number): string {
    return this.#names[domain] ?? "";
  }

  /** Moves a row into the domain `value`, or out of all. */
  set(row: number, value: string | undefined): void {
    const old = this.#column.values[row]!;
    if (old !== NO_DOMAIN && this.#names[old] === value) return;
    if (old !== NO_DOMAIN) this.#leave(old);
    this.#column.values[row] = value === undefined ? NO_DOMAIN : this.#enter(value);
  }

  grow(capacity: number): void {
    this.#column.grow(capacity);
  }
  /** The row `to` must be in no domain. */
  moveRow(from: number, to: number): void {
    this.#column.move(from, to);
  }

  #enter(value: string): number {
    this.#labelled++;
    let id = this.#ids.get(value);
    if (id === undefined) {
      id = this.#free.pop() ?? this.nodes.length;
      this.#ids.set(value, id);
      this.#names[id] = value;
      this.nodes[id] = 0;
    }
    this.nodes[id]!++;
    return id;
  }

  #leave(id: number): void {
    this.#labelled--;
    if (--this.nodes[id]! > 0) return;
    this.#ids.delete(this.#names[id]!);
    this.#names[id] = "";
    this.#free.push(id);
  }
}

export class Topologies {
  readonly #byKey = new Map<string, Topology>();

  /** `label` gives a row's value of the key, for the rows that there are. */
  topology(key: string, rows: number, capacity: number, label: (row: number) => string | undefined): Topology {
    let topology = this.#byKey.get(key);
    if (topology === undefined) {
      topology = new Topology(key, capacity);
      for (let row = 0; row < rows; row++) topology.set(row, label(row));
      this.#byKey.set(key, topology);
    }
    return topology;
  }

  values(): Iterable<Topology> {
    return this.#byKey.values();
  }
}

/** Numbers by domain of one topology. */
export class DomainSums {
  readonly topology: Topology;
  values: Int32Array;
  /** Over all domains. */
  total = 0;

  constructor(topology: Topology) {
    this.topology = topology;
    this.values = new Int32Array(Math.max(8, topology.limit));
  }

  add(row: number, amount: number): void {
    const domain = this.topology.domains[row]!;
    if (domain === NO_DOMAIN) return;
    if (domain >= this.values.length) this.fit();
    this.values[domain]! += amount;
    this.total += amount;
  }

  /** Makes room for each domain that there is. */
  fit(): Int32Array {
    if (this.values.length < this.topology.limit) {
      const grown = new Int32Array(this.topology.limit * 2);
      grown.set(this.values);
      this.values = grown;
    }
    return this.values;
  }
}
