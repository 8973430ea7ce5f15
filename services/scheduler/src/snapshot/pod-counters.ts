// Counts of the pods that a selector selects, by node and by topology domain: what topology spreading and affinity ask for.
// A counter is built on first use and then follows every pod that comes or goes. Only the counters used last are kept.
import type { PodInfo } from "../pod-info.ts";
import { IntColumn } from "./columns.ts";
import { DomainSums, type Topology } from "./topologies.ts";

/** Says of a pod whether it counts; must say the same of pods with the same signature. */
export type PodMatcher = (info: PodInfo) => boolean;

export interface Selection {
  /** Equal for matchers that select the same pods. */
  readonly key: string;
  readonly matches: PodMatcher;
  /** Whether pods that are being deleted count. */
  readonly terminating: boolean;
  /** Whether labels of namespaces decide. */
  readonly byNamespaceLabels: boolean;
}

export class PodCounter {
  readonly selection: Selection;
  readonly #rows: IntColumn;
  readonly #sums: DomainSums[] = [];

  constructor(selection: Selection, capacity: number) {
    this.selection = selection;
    this.#rows = new IntColumn(capacity);
  }

  /** Pods by row. */
  get rows(): Int32Array {
    return this.#rows.values;
  }

  /** Pods by domain; kept up to date from the first call on. `nodes`: how many rows there are. */
  sums(topology: Topology, nodes: number): DomainSums {
    let sums = this.#sums.find((one) => one.topology === topology);
    if (sums === undefined) {
      sums = new DomainSums(topology);
      for (let row = 0; row < nodes; row++) if (this.rows[row] !== 0) sums.add(row, this.rows[row]!);
      this.#sums.push(sums);
    }
    sums.fit();
    return sums;
  }

  add(row: number, amount: number): void {
    this.rows[row]! += amount;
    for (const sums of this.#sums) sums.add(row, amount);
  }

  /** Before (-1) and after (1) a node changes its domains. */
  relabel(row: number, sign: 1 | -1): void {
    const pods = this.rows[row]!;
    if (pods !== 0) for (const sums of this.#sums) sums.add(row, sign * pods);
  }

  grow(capacity: number): void {
    this.#rows.grow(capacity);
  }
  clearRow(row: number): void {
    this.#rows.values[row] = 0;
  }
  moveRow(from: number, to: number): void {
    this.#rows.move(from, to);
  }
}

/** A cluster rarely has more workloads with such rules in the queue at once. */
const MAX_COUNTERS = 1024;
const MAX_SIGNATURES = 16_384;

export class PodCounters {
  readonly #pods: () => readonly ReadonlyMap<string, PodInfo>[];
  readonly #counters = new Map<string, PodCounter>();
  /** Which counters a pod counts for, by signature. */
  readonly #memo = new Map<string, readonly PodCounter[]>();

  constructor(pods: () => readonly ReadonlyMap<string, PodInfo>[]) {
    this.#pods = pods;
  }

  counter(selection: Selection, capacity: number): PodCounter {
    const known = this.#counters.get(selection.key);
    if (known !== undefined) {
      this.#counters.delete(selection.key);
      this.#counters.set(selection.key, known);
      return known;
    }
    const counter = new PodCounter(selection, capacity);
    this.#build(counter);
    if (this.#counters.size >= MAX_COUNTERS) this.#counters.delete(this.#counters.keys().next().value!);
    this.#counters.set(selection.key, counter);
    this.#memo.clear();
    return counter;
  }

  pod(row: number, info: PodInfo, sign: 1 | -1): void {
    if (this.#counters.size === 0) return;
    for (const counter of this.#countersOf(info)) {
      if (!info.terminating || counter.selection.terminating) counter.add(row, sign);
    }
  }

  /** Labels of namespaces have changed. */
  forgetNamespaceLabels(): void {
    for (const [key, counter] of this.#counters) if (counter.selection.byNamespaceLabels) this.#counters.delete(key);
    this.#memo.clear();
  }

  relabel(row: number, sign: 1 | -1): void {
    for (const counter of this.#counters.values()) counter.relabel(row, sign);
  }
  grow(capacity: number): void {
    for (const counter of this.#counters.values()) counter.grow(capacity);
  }
  clearRow(row: number): void {
    for (const counter of this.#counters.values()) counter.clearRow(row);
  }
  moveRow(from: number, to: number): void {
    for (const counter of this.#counters.values()) counter.moveRow(from, to);
  }

  #countersOf(info: PodInfo): readonly PodCounter[] {
    let found = this.#memo.get(info.signature);
    if (found === undefined) {
      found = [...this.#counters.values()].filter((counter) => counter.selection.matches(info));
      if (this.#memo.size >= MAX_SIGNATURES) this.#memo.clear();
      this.#memo.set(info.signature, found);
    }
    return found;
  }

  #build(counter: PodCounter): void {
    const { matches, terminating } = counter.selection;
    const judged = new Map<string, boolean>();
    for (const [row, pods] of this.#pods().entries()) {
      for (const info of pods.values()) {
        let verdict = judged.get(info.signature);
        if (verdict === undefined) judged.set(info.signature, (verdict = matches(info)));
        if (verdict && (terminating || !info.terminating)) counter.add(row, 1);
      }
    }
  }
}
