// The events that happen while pods are in flight, kept once for all of them: a pod that comes back is judged by what has
// happened since it left. Forgets what no pod in flight needs.
import type { ClusterEvent } from "./cluster-event.ts";

interface Entry {
  readonly event: ClusterEvent;
  /** Of the pod that it is about alone; undefined where it is about all. */
  readonly key: string | undefined;
}

export class EventLog {
  #entries: Entry[] = [];
  /** Sequence number of the first entry. */
  #first = 0;
  /** Where each pod in flight left; in order of leaving. */
  readonly #left = new Map<string, number>();

  leave(key: string): void {
    this.#left.delete(key);
    this.#left.set(key, this.#first + this.#entries.length);
  }

  /** `key`: only that pod is concerned. */
  note(event: ClusterEvent, key?: string): void {
    if (this.#left.size > 0) this.#entries.push({ event, key });
  }

  /** Whether the pod is in flight. */
  has(key: string): boolean {
    return this.#left.has(key);
  }

  /** Whether anything that has happened since the pod left `helps` it; false where it is not in flight. */
  some(key: string, helps: (event: ClusterEvent) => boolean): boolean {
    const from = this.#left.get(key);
    if (from === undefined) return false;
    for (let at = from - this.#first; at < this.#entries.length; at++) {
      const entry = this.#entries[at]!;
      if ((entry.key === undefined || entry.key === key) && helps(entry.event)) return true;
    }
    return false;
  }

  /** The pod is in flight no more. */
  land(key: string): void {
    if (this.#left.delete(key)) this.#trim();
  }

  #trim(): void {
    const [oldest] = this.#left.values();
    if (oldest === undefined) {
      this.#first += this.#entries.length;
      this.#entries = [];
      return;
    }
    const needless = oldest - this.#first;
    // Cutting is dear, so it is done in large pieces.
    if (needless < 1024 || needless * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(needless);
    this.#first = oldest;
  }
}
