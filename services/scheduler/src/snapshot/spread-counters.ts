// Counts, per node, of the pods that a (namespace, selector) pair selects: what topology spreading asks for. A counter is
// built on first use and then follows every pod that comes or goes. Only the counters used last are kept.
import type { PodInfo } from "../pod-info.ts";
import { IntColumn } from "./columns.ts";

export type PodMatcher = (labels: Readonly<Record<string, string>>) => boolean;

interface Counter {
  readonly namespace: string;
  readonly matches: PodMatcher;
  readonly counts: IntColumn;
}

/** A cluster rarely has more workloads with spread constraints than this in the queue at once. */
const MAX_COUNTERS = 256;

export class SpreadCounters {
  readonly #pods: () => readonly ReadonlyMap<string, PodInfo>[];
  readonly #counters = new Map<string, Counter>();

  constructor(pods: () => readonly ReadonlyMap<string, PodInfo>[]) {
    this.#pods = pods;
  }

  counts(namespace: string, selectorKey: string, matches: PodMatcher, capacity: number): Int32Array {
    const key = `${namespace}|${selectorKey}`;
    let counter = this.#counters.get(key);
    if (counter === undefined) {
      counter = { namespace, matches, counts: new IntColumn(capacity) };
      const pods = this.#pods();
      for (let row = 0; row < pods.length; row++) {
        for (const info of pods[row]!.values()) this.#apply(counter, row, info, 1);
      }
      if (this.#counters.size >= MAX_COUNTERS) this.#counters.delete(this.#counters.keys().next().value!);
    } else {
      this.#counters.delete(key);
    }
    this.#counters.set(key, counter);
    return counter.counts.values;
  }

  pod(row: number, info: PodInfo, sign: 1 | -1): void {
    for (const counter of this.#counters.values()) this.#apply(counter, row, info, sign);
  }

  grow(capacity: number): void {
    for (const counter of this.#counters.values()) counter.counts.grow(capacity);
  }
  clearRow(row: number): void {
    for (const counter of this.#counters.values()) counter.counts.values[row] = 0;
  }
  moveRow(from: number, to: number): void {
    for (const counter of this.#counters.values()) counter.counts.move(from, to);
  }

  #apply(counter: Counter, row: number, info: PodInfo, sign: 1 | -1): void {
    if (info.namespace !== counter.namespace || info.terminating || !counter.matches(info.labels)) return;
    counter.counts.values[row]! += sign;
  }
}
