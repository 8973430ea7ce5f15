// The events that happen while pods are in flight, kept once for all of them: a pod that comes back is judged by what has
// happened since it left. Forgets what no pod in flight needs. Events of one kind lie together, so that a pod that comes back
// passes over those that cannot concern it, however many there are.
import { lowerBound } from "@coxswain/apimachinery";
import type { ClusterEvent } from "./cluster-event.ts";

interface Entry {
  readonly at: number;
  readonly event: ClusterEvent;
  /** Of the pod that it is about alone; undefined where it is about all. */
  readonly key: string | undefined;
}

interface Kind {
  /** Any event of the kind: same resource, same actions. */
  readonly sample: ClusterEvent;
  /** In order. */
  entries: Entry[];
}

/** The index of the first entry that happened at `from` or later. */
function firstSince(entries: readonly Entry[], from: number): number {
  return lowerBound(entries, (entry) => entry.at < from);
}

export class EventLog {
  readonly #kinds = new Map<string, Kind>();
  /** Sequence number of the next entry. */
  #next = 0;
  /** What happened before is forgotten. */
  #first = 0;
  /** Where each pod in flight left; in order of leaving. */
  readonly #left = new Map<string, number>();

  leave(key: string): void {
    this.#left.delete(key);
    this.#left.set(key, this.#next);
  }

  /** `key`: only that pod is concerned. */
  note(event: ClusterEvent, key?: string): void {
    if (this.#left.size === 0) return;
    const name = [event.resource, ...event.actions].join(" ");
    let kind = this.#kinds.get(name);
    if (kind === undefined) this.#kinds.set(name, (kind = { sample: event, entries: [] }));
    kind.entries.push({ at: this.#next++, event, key });
  }

  /** Whether the pod is in flight. */
  has(key: string): boolean {
    return this.#left.has(key);
  }

  /**
   * Whether anything that has happened since the pod left `helps` it; false where it is not in flight. `concerns` is asked
   * once a kind of event, and says whether any of that kind could.
   */
  some(key: string, concerns: (sample: ClusterEvent) => boolean, helps: (event: ClusterEvent) => boolean): boolean {
    const from = this.#left.get(key);
    if (from === undefined) return false;
    for (const { sample, entries } of this.#kinds.values()) {
      if (entries.length === 0 || !concerns(sample)) continue;
      for (let at = firstSince(entries, from); at < entries.length; at++) {
        const entry = entries[at]!;
        if ((entry.key === undefined || entry.key === key) && helps(entry.event)) return true;
      }
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
      this.#kinds.clear();
      this.#first = this.#next;
      return;
    }
    const needless = oldest - this.#first;
    // Cutting is dear, so it is done in large pieces.
    if (needless < 1024 || needless * 2 < this.#next - this.#first) return;
    for (const kind of this.#kinds.values()) kind.entries = kind.entries.slice(firstSince(kind.entries, oldest));
    this.#first = oldest;
  }
}
