// One resource's present objects and its recent events. Guarantees:
// - The objects are the state at `throughRv` of the whole cache; nothing in between is ever visible.
// - Every event after `floor` is in the window, once, in version order.
// - The state at any version from `floor` on can be told again from the window.
import type { KindDefinition } from "@coxswain/api";
import { lowerBound } from "@coxswain/apimachinery";
import type { StorageEvent } from "@coxswain/storage";
import type { PipelineWatchEvent } from "../pipeline/contract.ts";
import { CachedObject } from "./cached-object.ts";
import { isCustom, OpaqueKinds } from "./opaque-kind.ts";
import type { Slab } from "./slab.ts";
import { namespacePrefix, resourcePrefix, storageKey } from "./stored-form.ts";

const MAX_EVENTS = 16_384;
const MAX_BYTES = 48 * 1024 * 1024;
/** Changes of the resource that an object must have outlived to be packed: what changes all the time is not worth it. */
const SETTLED_AFTER_EVENTS = 1_024;

/** A change as it happened; `old` is the state before it. */
export class CacheEvent implements PipelineWatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: CachedObject;
  readonly old: CachedObject | undefined;
  readonly key: string;
  readonly rv: bigint;
  #entered: PipelineWatchEvent | undefined;
  #left: PipelineWatchEvent | undefined;

  constructor(type: CacheEvent["type"], key: string, object: CachedObject, old: CachedObject | undefined) {
    this.type = type;
    this.key = key;
    this.object = object;
    this.old = old;
    this.rv = object.rv;
  }

  /** For a watcher whose selection the object enters by this change. Shared. */
  entered(): PipelineWatchEvent {
    if (this.type === "ADDED") return this;
    return (this.#entered ??= { type: "ADDED", object: this.object });
  }

  /** For a watcher whose selection the object leaves: its last selected state, at this change's version. Shared. */
  left(): PipelineWatchEvent {
    if (this.type === "DELETED") return this;
    return (this.#left ??= { type: "DELETED", object: (this.old ?? this.object).atVersion(this.rv) });
  }
}

export class ResourceCache {
  readonly kind: KindDefinition;
  readonly prefix: string;
  /** Events at or below this version have been forgotten. */
  floor: bigint;
  /** Version of the newest change of this resource; `floor` where there was none since. */
  lastRv: bigint;
  readonly #slab: Slab;
  readonly #objects = new Map<string, CachedObject>();
  readonly #opaque: OpaqueKinds | undefined;
  #sorted: string[] = [];
  readonly #unsorted = new Set<string>();
  #window: CacheEvent[] = [];
  #windowStart = 0;
  #windowBytes = 0;

  constructor(kind: KindDefinition, floor: bigint, slab: Slab) {
    this.kind = kind;
    this.#slab = slab;
    this.prefix = resourcePrefix(kind);
    this.floor = floor;
    this.lastRv = floor;
    this.#opaque = isCustom(kind) && kind.schemaName === "" ? new OpaqueKinds(kind) : undefined;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(namespace: string, name: string): CachedObject | undefined {
    return this.#objects.get(storageKey(this.kind, namespace, name));
  }

  /** Puts an object of the initial list in place. */
  prime(key: string, namespace: string, name: string, rv: bigint, stored: Buffer): void {
    this.#put(key, CachedObject.packed(this.#slab, this.#kindOf(stored), namespace, name, rv, stored));
  }

  /**
   * Applies a change and returns it; undefined where an unknown key was deleted. One that is told again at a start is packed
   * at once: it has long settled, or is about to be replaced, and bytes of its own would be garbage in either case.
   */
  apply(event: StorageEvent, namespace: string, name: string, replayed: boolean): CacheEvent | undefined {
    const old = this.#objects.get(event.key);
    let change: CacheEvent;
    if (event.value !== undefined) {
      const kind = this.#kindOf(event.value);
      const object = replayed
        ? CachedObject.packed(this.#slab, kind, namespace, name, event.rv, event.value)
        : CachedObject.fromStored(kind, namespace, name, event.rv, event.value);
      old?.retire(this.#slab);
      this.#put(event.key, object);
      change = new CacheEvent(old === undefined ? "ADDED" : "MODIFIED", event.key, object, old);
    } else {
      if (old === undefined) return undefined;
      old.retire(this.#slab);
      this.#objects.delete(event.key);
      change = new CacheEvent("DELETED", event.key, old.atVersion(event.rv), old);
    }
    this.lastRv = event.rv;
    this.#remember(change);
    return change;
  }

  /** Custom resources keep the version that they were stored in. */
  #kindOf(stored: Buffer): KindDefinition {
    return this.#opaque?.of(stored) ?? this.kind;
  }

  #put(key: string, object: CachedObject): void {
    if (!this.#objects.has(key)) this.#unsorted.add(key);
    this.#objects.set(key, object);
  }

  #remember(change: CacheEvent): void {
    this.#window.push(change);
    this.#windowBytes += change.object.jsonLength;
    this.#settle(this.#window[this.#window.length - 1 - SETTLED_AFTER_EVENTS]);
    while (this.#window.length - this.#windowStart > MAX_EVENTS || this.#windowBytes > MAX_BYTES) {
      const oldest = this.#window[this.#windowStart++]!;
      this.#windowBytes -= oldest.object.jsonLength;
      this.floor = oldest.rv;
    }
    if (this.#windowStart > 1024 && this.#windowStart * 2 > this.#window.length) {
      this.#window = this.#window.slice(this.#windowStart);
      this.#windowStart = 0;
    }
  }

  #settle(change: CacheEvent | undefined): void {
    if (change === undefined || this.#objects.get(change.key) !== change.object) return;
    change.object.pack(this.#slab);
  }

  /** Events after `rv`, in order; `rv` must not be below `floor`. */
  eventsAfter(rv: bigint): CacheEvent[] {
    const first = lowerBound(this.#window, (event) => event.rv <= rv, this.#windowStart);
    return this.#window.slice(first);
  }

  /** Present objects in key order: of one namespace, or of all where it is undefined. */
  list(namespace?: string): CachedObject[] {
    if (this.#objects.size === 0) return [];
    const prefix = namespace === undefined ? this.prefix : namespacePrefix(this.kind, namespace);
    return this.#collect(this.#sortedKeys(), prefix, (key) => this.#objects.get(key));
  }

  /** The same at an older version, which must not be below `floor`. */
  listAt(rv: bigint, namespace?: string): CachedObject[] {
    const later = this.eventsAfter(rv);
    if (later.length === 0) return this.list(namespace);
    const before = new Map<string, CachedObject | undefined>();
    for (const event of later) if (!before.has(event.key)) before.set(event.key, event.old);
    const present = this.#sortedKeys();
    const gone = [...before.keys()].filter((key) => !this.#objects.has(key)).toSorted(compareKeys);
    const prefix = namespace === undefined ? this.prefix : namespacePrefix(this.kind, namespace);
    const at = (key: string): CachedObject | undefined => (before.has(key) ? before.get(key) : this.#objects.get(key));
    return this.#collect(gone.length === 0 ? present : mergeSorted(present, gone), prefix, at);
  }

  #collect(keys: readonly string[], prefix: string, at: (key: string) => CachedObject | undefined): CachedObject[] {
    const found: CachedObject[] = [];
    for (let i = lowerBound(keys, (key) => key < prefix); i < keys.length; i++) {
      const key = keys[i]!;
      if (!key.startsWith(prefix)) break;
      const object = at(key);
      if (object !== undefined) found.push(object);
    }
    return found;
  }

  /** Every present key in order, each once; may hold keys of deleted objects. */
  #sortedKeys(): readonly string[] {
    const stale = this.#sorted.length + this.#unsorted.size > 2 * this.#objects.size + 64;
    if (this.#unsorted.size === 0 && !stale) return this.#sorted;
    const added = [...this.#unsorted].filter((key) => this.#objects.has(key)).toSorted(compareKeys);
    const kept = this.#sorted.filter((key) => this.#objects.has(key) && !this.#unsorted.has(key));
    this.#sorted = mergeSorted(kept, added);
    this.#unsorted.clear();
    return this.#sorted;
  }
}

/** Order of UTF-8 bytes, as storage has it; names are ASCII, so code units do. */
function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function mergeSorted(a: readonly string[], b: readonly string[]): string[] {
  const out: string[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (j >= b.length || (i < a.length && a[i]! < b[j]!)) out.push(a[i++]!);
    else {
      // A key that died and came back is in both.
      if (i < a.length && a[i] === b[j]) i++;
      out.push(b[j++]!);
    }
  }
  return out;
}
