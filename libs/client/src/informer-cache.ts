// The cache behind a shared informer: objects, indexes and handlers. Guarantees:
// - A state older than the cached one is dropped, so each handler sees an object's versions rise.
// - An object that was deleted and made anew is reported as deleted, then added.
// - A handler that throws is logged; the others and the cache go on.
import { compareResourceVersions, objectKey, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import type { Lister, ResourceEventHandler, SharedInformer } from "./informer-contract.ts";

interface Index<T> {
  readonly values: (object: T) => string[];
  readonly keys: Map<string, Set<string>>;
}

const versionOf = (object: KubeObject): string => object.metadata?.resourceVersion ?? "0";

export class InformerCache<T extends KubeObject> implements SharedInformer<T> {
  readonly ref: ResourceRef;
  readonly lister: Lister<T>;
  readonly #logger: Logger;
  readonly #items = new Map<string, T>();
  readonly #indexes = new Map<string, Index<T>>();
  readonly #handlers: ResourceEventHandler<T>[] = [];
  readonly #synced = Promise.withResolvers<void>();
  #isSynced = false;
  #position = "";

  constructor(ref: ResourceRef, logger: Logger) {
    this.ref = ref;
    this.#logger = logger;
    this.lister = this.#makeLister();
  }

  addHandler(handler: ResourceEventHandler<T>): void {
    this.#handlers.push(handler);
    if (!this.#isSynced) return;
    for (const object of this.#items.values()) this.#call(() => handler.add?.(object, true));
  }

  addIndex(name: string, index: (object: T) => string[]): void {
    if (this.#isSynced || this.#items.size > 0) throw new Error(`index ${name} comes after the informer's start`);
    this.#indexes.set(name, { values: index, keys: new Map() });
  }

  hasSynced(): boolean {
    return this.#isSynced;
  }

  lastSyncResourceVersion(): string {
    return this.#position;
  }

  /** Resolves once the first list has been handed to all handlers. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  /** The cache now covers everything up to `resourceVersion`. */
  advance(resourceVersion: string): void {
    if (compareResourceVersions(resourceVersion, this.#position) > 0) this.#position = resourceVersion;
  }

  get(key: string): T | undefined {
    return this.#items.get(key);
  }

  /** Takes a list as the present state: what is absent from it was deleted meanwhile. */
  replace(objects: readonly T[], resourceVersion: string): void {
    const listed = new Set(objects.map((object) => objectKey(object)));
    for (const [key, object] of this.#items.entries().toArray()) {
      const newer = compareResourceVersions(versionOf(object), resourceVersion) > 0;
      if (!listed.has(key) && !newer) this.#remove(key, object);
    }
    const initial = !this.#isSynced;
    for (const object of objects) this.upsert(object, initial);
    // After Expired the list may be older than a position that was reached before; never step back.
    this.advance(resourceVersion);
    if (this.#isSynced) return;
    this.#isSynced = true;
    this.#synced.resolve();
  }

  upsert(object: T, isInInitialList = false): void {
    const key = objectKey(object);
    const old = this.#items.get(key);
    if (old !== undefined && compareResourceVersions(versionOf(object), versionOf(old)) <= 0) return;
    if (old !== undefined && old.metadata?.uid !== object.metadata?.uid) this.#remove(key, old);
    const before = this.#items.get(key);
    this.#items.set(key, object);
    this.#index(key, object, before);
    for (const handler of this.#handlers) {
      this.#call(() =>
        before === undefined ? handler.add?.(object, isInInitialList) : handler.update?.(object, before),
      );
    }
  }

  /** The object was deleted at `resourceVersion`; `last` is its final state, where known. */
  remove(key: string, resourceVersion: string, last?: T): void {
    const cached = this.#items.get(key);
    if (cached === undefined || compareResourceVersions(versionOf(cached), resourceVersion) > 0) return;
    this.#remove(key, last ?? cached);
  }

  #remove(key: string, last: T): void {
    const cached = this.#items.get(key);
    if (cached === undefined) return;
    this.#unindex(key, cached);
    this.#items.delete(key);
    for (const handler of this.#handlers) this.#call(() => handler.delete?.(last));
  }

  #call(handle: () => void): void {
    try {
      handle();
    } catch (error) {
      this.#logger.error({ resource: this.ref.resource, err: error }, "an informer's handler threw");
    }
  }

  /** Files the object, and takes it out from where `before` was filed and it is not. */
  #index(key: string, object: T, before: T | undefined): void {
    for (const { values, keys } of this.#indexes.values()) {
      const now = values(object);
      const old = before === undefined ? [] : values(before);
      if (now.length === old.length && now.every((value, at) => value === old[at])) continue;
      unfile(keys, old, key);
      for (const value of now) {
        const filed = keys.get(value);
        if (filed === undefined) keys.set(value, new Set([key]));
        else filed.add(key);
      }
    }
  }

  #unindex(key: string, object: T): void {
    for (const { values, keys } of this.#indexes.values()) unfile(keys, values(object), key);
  }

  #makeLister(): Lister<T> {
    const items = this.#items;
    const indexes = this.#indexes;
    return {
      get: (key) => items.get(key),
      list: (namespace) =>
        namespace === undefined
          ? [...items.values()]
          : items
              .values()
              .filter((object) => object.metadata?.namespace === namespace)
              .toArray(),
      byIndex: (name, value) => {
        const index = indexes.get(name);
        if (index === undefined) throw new Error(`informer of ${this.ref.resource} has no index ${name}`);
        return [...(index.keys.get(value) ?? [])].flatMap((key) => items.get(key) ?? []);
      },
      get size() {
        return items.size;
      },
    };
  }
}

function unfile(keys: Map<string, Set<string>>, values: readonly string[], key: string): void {
  for (const value of values) {
    const filed = keys.get(value);
    filed?.delete(key);
    if (filed?.size === 0) keys.delete(value);
  }
}
