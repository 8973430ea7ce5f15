// Versions of keys in memory, with their history: what the memory store commits to, lists from and replays to watches.
// Synchronous and deterministic.
import {
  endOfRevision,
  lowerBound,
  makeResourceVersion,
  placeOf,
  revisionOf,
  StatusError,
} from "@coxswain/apimachinery";
import {
  CompactedError,
  type CommitResult,
  type Condition,
  type ListPage,
  type StorageEvent,
  type StoredValue,
  type Transaction,
} from "../contract.ts";

interface Version {
  readonly rv: bigint;
  /** Undefined is a tombstone. */
  readonly value: Buffer | undefined;
}

interface Revision {
  readonly revision: bigint;
  readonly events: readonly StorageEvent[];
}

const positionOf = (sorted: readonly string[], key: string): number => lowerBound(sorted, (each) => each < key);

export class History {
  #revision: bigint;
  #compacted: bigint;
  readonly #versions = new Map<string, Version[]>();
  readonly #keys: string[] = [];
  #log: Revision[] = [];

  /** As in etcd, an empty store is at revision 1, unless it begins later: what lies before is compacted then. */
  constructor(firstRevision = 1n) {
    this.#revision = firstRevision;
    this.#compacted = firstRevision > 1n ? firstRevision : 0n;
  }

  get revision(): bigint {
    return this.#revision;
  }

  get(key: string): StoredValue | undefined {
    const last = this.#versions.get(key)?.at(-1);
    return last?.value === undefined ? undefined : { key, value: last.value, rv: last.rv };
  }

  #holds(condition: Condition): boolean {
    const current = this.get(condition.key);
    if (condition.is === "absent") return current === undefined;
    if (condition.is === "at") return current?.rv === condition.rv;
    return current !== undefined && current.value.equals(condition.value);
  }

  /** Commits each transaction on its own, all in one revision, in order of the group. */
  commit(group: readonly Transaction[]): CommitResult[] {
    const revision = this.#revision + 1n;
    const events: StorageEvent[] = [];
    let place = 0;
    const results = group.map(({ conditions, mutations }): CommitResult => {
      if (!conditions.every((condition) => this.#holds(condition))) {
        return { committed: false, current: conditions.map(({ key }) => this.get(key)) };
      }
      const rvs = mutations.map((mutation) => {
        const rv = makeResourceVersion(revision, place++);
        const value = mutation.op === "put" ? mutation.value : undefined;
        if (value !== undefined || this.get(mutation.key) !== undefined) {
          this.#append(mutation.key, { rv, value });
          events.push({ type: mutation.op, key: mutation.key, value, rv });
        }
        return rv;
      });
      return { committed: true, rvs };
    });
    if (events.length > 0) {
      this.#revision = revision;
      this.#log.push({ revision, events });
    }
    return results;
  }

  #append(key: string, version: Version): void {
    const versions = this.#versions.get(key);
    if (versions !== undefined) {
      versions.push(version);
      return;
    }
    this.#versions.set(key, [version]);
    this.#keys.splice(positionOf(this.#keys, key), 0, key);
  }

  list(options: { prefix: string; startAfter?: string; limit?: number; rv?: bigint }): ListPage {
    const revision = options.rv === undefined ? this.#revision : revisionOf(options.rv);
    if (revision < this.#compacted) throw new CompactedError(endOfRevision(this.#compacted));
    if (revision > this.#revision) {
      throw new StatusError("Timeout", 504, `Too large resource version: ${options.rv}, current: ${this.#revision}`);
    }
    const limit = options.limit === undefined || options.limit === 0 ? Number.POSITIVE_INFINITY : options.limit;
    const end = endOfRevision(revision);
    const items: StoredValue[] = [];
    const after = options.startAfter ?? "";
    const from =
      after >= options.prefix ? positionOf(this.#keys, `${after}\0`) : positionOf(this.#keys, options.prefix);
    for (let at = from; at < this.#keys.length && this.#keys[at]!.startsWith(options.prefix); at++) {
      const key = this.#keys[at]!;
      const version = this.#versions.get(key)!.findLast(({ rv }) => rv <= end);
      if (version?.value === undefined) continue;
      if (items.length >= limit) return { items, rv: end, more: true };
      items.push({ key, value: version.value, rv: version.rv });
    }
    return { items, rv: end, more: false };
  }

  /** All events after `sinceRv`, or undefined where there is nothing new. */
  after(sinceRv: bigint): { readonly events: StorageEvent[]; readonly throughRv: bigint } | undefined {
    const first = placeOf(sinceRv) === 1023 ? revisionOf(sinceRv) + 1n : revisionOf(sinceRv);
    if (first <= this.#compacted && this.#compacted > 0n) throw new CompactedError(endOfRevision(this.#compacted));
    const throughRv = endOfRevision(this.#revision);
    if (sinceRv >= throughRv) return undefined;
    const events: StorageEvent[] = [];
    let at = this.#log.length;
    while (at > 0 && this.#log[at - 1]!.revision >= first) at--;
    for (; at < this.#log.length; at++) {
      for (const event of this.#log[at]!.events) if (event.rv > sinceRv) events.push(event);
    }
    return { events, throughRv };
  }

  /** Afterwards the state before `rv`'s revision is the oldest that can be read. */
  compact(rv: bigint): void {
    const target = revisionOf(rv) - 1n;
    if (target <= this.#compacted) return;
    this.#compacted = target > this.#revision ? this.#revision : target;
    this.#log = this.#log.filter(({ revision }) => revision > this.#compacted);
    const end = endOfRevision(this.#compacted);
    for (const [key, versions] of this.#versions) {
      const base = versions.findLastIndex((version) => version.rv <= end);
      const kept = versions.slice(Math.max(0, base));
      if (base >= 0 && kept[0]?.value === undefined) kept.shift();
      if (kept.length > 0) this.#versions.set(key, kept);
      else {
        this.#versions.delete(key);
        this.#keys.splice(positionOf(this.#keys, key), 1);
      }
    }
  }
}
