// The double's store: current objects, the history that watches resume from, and version numbers. Guarantees:
// - One commit is one revision; resourceVersions rise with each.
// - Stored objects are never handed out by reference outside this folder.
import {
  endOfRevision,
  groupResource,
  makeResourceVersion,
  type KubeObject,
  type ResourceRef,
} from "@coxswain/apimachinery";

export interface MemoryChange {
  readonly ref: ResourceRef;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  /** The new state; for DELETED the last state, at the version of the deletion. */
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
  readonly rv: bigint;
}

export type ChangeListener = (change: MemoryChange) => void;

/** Copies a JSON value; drops what JSON cannot carry. */
export function cloneJson<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

export class MemoryStore {
  readonly #tables = new Map<string, Map<string, KubeObject>>();
  readonly #listeners = new Set<ChangeListener>();
  #history: MemoryChange[] = [];
  #revision = 1n;
  #compacted = 0n;

  /** What a list carries: covers all commits so far. */
  get currentRv(): bigint {
    return endOfRevision(this.#revision);
  }
  /** A watch from before this version is Expired. */
  get compactedRv(): bigint {
    return this.#compacted;
  }

  table(ref: ResourceRef): Map<string, KubeObject> {
    const name = groupResource(ref);
    let table = this.#tables.get(name);
    if (table === undefined) this.#tables.set(name, (table = new Map()));
    return table;
  }

  /** Writes `object` at `key`, or deletes it; the object gets its resourceVersion. */
  commit(ref: ResourceRef, key: string, object: KubeObject, isDelete: boolean): void {
    const table = this.table(ref);
    const previous = table.get(key);
    this.#revision++;
    const rv = makeResourceVersion(this.#revision, 0);
    object.metadata = { ...object.metadata, resourceVersion: rv.toString() };
    if (isDelete) table.delete(key);
    else table.set(key, object);
    const type = isDelete ? "DELETED" : previous === undefined ? "ADDED" : "MODIFIED";
    const change: MemoryChange = { ref, type, object, previous, rv };
    this.#history.push(change);
    for (const listener of this.#listeners) listener(change);
  }

  /** The changes of a resource after `rv`, oldest first. */
  since(ref: ResourceRef, rv: bigint): MemoryChange[] {
    const name = groupResource(ref);
    return this.#history.filter((change) => change.rv > rv && groupResource(change.ref) === name);
  }

  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Forgets the history so far: watches from before are Expired. */
  compact(): void {
    this.#history = [];
    this.#compacted = this.currentRv;
  }
}
