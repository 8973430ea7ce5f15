// Storage: a versioned key-value store with optimistic transactions and a watch over the whole keyspace.
// Guarantees:
// - A transaction is all or nothing. Transactions that arrive together may share a revision; each has its own places.
// - `resourceVersion` (rv) = revision × 1024 + place in the revision's commit, strictly increasing in commit order.
// - A watch from an rv delivers every later event exactly once, in rv order, across reconnects, or ends with Compacted.
// - A commit whose outcome is unknown rejects with StatusError reason "Timeout"; it may have landed.
//   An unreachable store rejects with "ServiceUnavailable": it has not landed, or the message says that it may have.

export interface StoredValue {
  readonly key: string;
  readonly value: Buffer;
  readonly rv: bigint;
  /** The value would lie in storage in another form if it were written now. */
  readonly stale?: boolean;
}

/** A condition on a key. All of a transaction's conditions must hold. */
export type Condition =
  | { readonly key: string; readonly is: "absent" }
  | { readonly key: string; readonly is: "at"; readonly rv: bigint }
  /** The stored bytes equal `value`: fences. The key is only compared. */
  | { readonly key: string; readonly is: "equal"; readonly value: Buffer };

export type Mutation =
  | { readonly op: "put"; readonly key: string; readonly value: Buffer }
  | { readonly op: "delete"; readonly key: string };

/** At most 127 mutations; a key is mutated at most once. */
export interface Transaction {
  readonly conditions: readonly Condition[];
  readonly mutations: readonly Mutation[];
}

export type CommitResult =
  /** `rvs[i]` belongs to `mutations[i]`. */
  | { readonly committed: true; readonly rvs: readonly bigint[] }
  /** What the keys of the conditions held; undefined for absent ones, in order of the conditions. */
  | { readonly committed: false; readonly current: readonly (StoredValue | undefined)[] };

export interface ListPage {
  readonly items: readonly StoredValue[];
  /** revision × 1024 + 1023 of the read. */
  readonly rv: bigint;
  /** True where more keys follow the last item. */
  readonly more: boolean;
}

export interface StorageEvent {
  readonly type: "put" | "delete";
  readonly key: string;
  /** Absent for deletes. */
  readonly value: Buffer | undefined;
  readonly rv: bigint;
}

/** All events of one or more whole revisions, in order. */
export interface StorageEventBatch {
  readonly events: readonly StorageEvent[];
  /** The last revision that this batch completes, as its end-of-revision rv. */
  readonly throughRv: bigint;
}

export interface WatchHandler {
  onBatch(batch: StorageEventBatch): void;
  /** The connection was lost (connected = false) or is back (true). Events are never lost in between. */
  onConnection?(connected: boolean): void;
}

/** Thrown by watch and by reads at a revision that has been compacted away. */
export class CompactedError extends Error {
  override readonly name = "CompactedError";
  readonly compactRv: bigint;
  constructor(compactRv: bigint) {
    super(`revisions up to rv ${compactRv} have been compacted`);
    this.compactRv = compactRv;
  }
}

/** A lease-held election among api-servers: publisher and compactor. Real storage: an etcd lease. */
export interface Candidate {
  /** Resolves when this candidate is elected; `lost` aborts when it no longer leads. Rejects when `signal` aborts. */
  campaign(
    signal: AbortSignal,
  ): Promise<{ readonly lost: AbortSignal; readonly term: bigint; resign(): Promise<void> }>;
}

export interface Storage {
  /** Linearizable. */
  get(key: string): Promise<StoredValue | undefined>;
  /** Keys with `prefix`, in key order, after `startAfter`, at `rv` where given (else linearizable now). */
  list(options: { prefix: string; startAfter?: string; limit?: number; rv?: bigint }): Promise<ListPage>;
  commit(transaction: Transaction): Promise<CommitResult>;
  /** Current version, linearizable; concurrent callers share one read that starts after they asked. */
  currentRv(): Promise<bigint>;
  /** Follows all keys from just after `sinceRv`; settles only on abort (resolves) or CompactedError (rejects). */
  watch(sinceRv: bigint, handler: WatchHandler, signal: AbortSignal): Promise<void>;
  /** Forgets history before `rv`'s revision. */
  compact(rv: bigint): Promise<void>;
  candidate(name: string, id: string, ttlMs: number): Candidate;
  /** Cheap liveness probe; rejects where the store cannot be reached. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
