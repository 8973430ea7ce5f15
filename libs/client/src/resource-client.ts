// ResourceClient: how components speak to the api-server. Errors are StatusErrors; a call without a definite answer
// rejects with reason Timeout or ServiceUnavailable (see mayHaveLanded).
import type { KubeObject, ListMeta, ResourceRef } from "@coxswain/apimachinery";

export interface ObjectRef {
  readonly namespace?: string;
  readonly name: string;
}

export interface Selection {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface ListOptions extends Selection {
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: "Exact" | "NotOlderThan";
}

export interface ListResult<T> {
  readonly metadata: ListMeta & { resourceVersion: string };
  readonly items: T[];
}

export interface WatchOptions extends Selection {
  /** Follow from just after this version; "" or absent: from now, with the present objects first as ADDED. */
  readonly resourceVersion?: string;
  readonly allowBookmarks?: boolean;
  readonly timeoutSeconds?: number;
}

export interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: T;
}

/** Proof of leadership; the api-server refuses the write (Conflict) where another holder took over. */
export interface Fence {
  /** namespace/name of the Lease. */
  readonly lease: string;
  readonly holder: string;
  readonly transitions: number;
}

export interface WriteOptions {
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  readonly fieldValidation?: "Strict" | "Warn" | "Ignore";
  readonly subresource?: string;
}

export type PatchType =
  | "application/json-patch+json"
  | "application/merge-patch+json"
  | "application/strategic-merge-patch+json";

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: boolean;
}

export type BatchOperation =
  | {
      readonly op: "create";
      readonly ref: ResourceRef;
      readonly namespace?: string;
      readonly name?: string;
      readonly object: KubeObject;
      readonly subresource?: string;
    }
  | { readonly op: "update"; readonly ref: ResourceRef; readonly object: KubeObject; readonly subresource?: string }
  | {
      readonly op: "patch";
      readonly ref: ResourceRef;
      readonly target: ObjectRef;
      readonly type: PatchType;
      readonly patch: unknown;
      readonly subresource?: string;
    }
  | { readonly op: "delete"; readonly ref: ResourceRef; readonly target: ObjectRef; readonly options?: DeleteOptions };

export type BatchOutcome<T> = { readonly ok: true; readonly object: T } | { readonly ok: false; readonly error: Error };

export interface ResourceClient {
  get<T extends KubeObject>(
    ref: ResourceRef,
    target: ObjectRef,
    options?: { subresource?: string; resourceVersion?: string },
  ): Promise<T>;
  list<T extends KubeObject>(ref: ResourceRef, options?: ListOptions): Promise<ListResult<T>>;
  /**
   * Ends without error when the server closes the stream (time-out, drain); throws StatusError Expired where the
   * version is too old, and ServiceUnavailable where the connection is lost. Aborting `signal` ends it quietly.
   */
  watch<T extends KubeObject>(
    ref: ResourceRef,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
  /**
   * `target.namespace` defaults to the object's own. For a subresource (binding, eviction, token) `target.name` is the
   * parent's name; else the object's name or generateName holds.
   */
  create<T extends KubeObject>(
    ref: ResourceRef,
    object: T,
    options?: WriteOptions & { namespace?: string; name?: string },
  ): Promise<T>;
  update<T extends KubeObject>(ref: ResourceRef, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends KubeObject>(
    ref: ResourceRef,
    target: ObjectRef,
    type: PatchType,
    patch: unknown,
    options?: WriteOptions,
  ): Promise<T>;
  /**
   * Returns the object where it stays for a while (graceful deletion, finalizers), and as it was last where it goes and its
   * kind answers with it (pods, Services, volumes and a few more); else undefined.
   */
  delete(ref: ResourceRef, target: ObjectRef, options?: DeleteOptions): Promise<KubeObject | undefined>;
  deleteCollection(ref: ResourceRef, selection: Selection, options?: DeleteOptions): Promise<void>;
  /** Many independent writes in one go; one outcome an operation, in order. Never rejects for a single operation. */
  batch<T extends KubeObject>(operations: readonly BatchOperation[]): Promise<BatchOutcome<T>[]>;
  /** The same client, whose writes carry the fence that `current` gives at that moment; without one, writes are refused locally. */
  fenced(current: () => Fence | undefined): ResourceClient;
  close(): Promise<void>;
}
