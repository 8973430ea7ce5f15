// Shared informers: a local, indexed, eventually consistent copy of a resource. Guarantees:
// - Handlers see every object's states in version order; states in between may be skipped, the last one never is.
// - An object that goes away while the informer is catching up is reported as deleted, with its last known state.
// - Objects in the cache are frozen by convention: copy before you change one.
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";

export interface ResourceEventHandler<T> {
  add?(object: T, isInInitialList: boolean): void;
  update?(object: T, old: T): void;
  delete?(object: T): void;
}

export interface Lister<T> {
  /** By "namespace/name", or "name" for cluster-scoped kinds. */
  get(key: string): T | undefined;
  list(namespace?: string): T[];
  /** The objects that index `name` files under `value`. */
  byIndex(name: string, value: string): T[];
  readonly size: number;
}

export interface SharedInformer<T> {
  readonly ref: ResourceRef;
  readonly lister: Lister<T>;
  addHandler(handler: ResourceEventHandler<T>): void;
  /** Before start only. */
  addIndex(name: string, index: (object: T) => string[]): void;
  /** True once the first list has been handed to all handlers. */
  hasSynced(): boolean;
  /** The newest resourceVersion that the cache covers; "" before the first list. */
  lastSyncResourceVersion(): string;
}

export interface InformerOptions {
  /** Only the pods of this node: hears the node's own chain. */
  readonly node?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Hears of changes from the api-server alone, by the selection: for those who may see no more than that. */
  readonly direct?: boolean;
}

export interface InformerFactory {
  /** The same informer for the same resource and options. */
  informer<T extends KubeObject>(ref: ResourceRef, options?: InformerOptions): SharedInformer<T>;
  /** Starts all informers that are not running yet; they stop when `signal` aborts. */
  start(signal: AbortSignal): void;
  /** Starts the informer of a resource that came to be known after `start`; before it, does nothing. */
  startLate(ref: ResourceRef): void;
  /** Stops the informer of a resource that is served no more and forgets it. */
  remove(ref: ResourceRef): void;
  /** Resolves when every started informer has synced; rejects with AbortError on abort. */
  waitForSync(signal: AbortSignal): Promise<void>;
}
