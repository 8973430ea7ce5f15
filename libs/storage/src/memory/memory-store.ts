// An in-memory store that several clients share, as several api-servers share one etcd. Guarantees those of the contract,
// and that equal calls under an equal Env give equal results: nothing here depends on anything but the Env.
// Transactions that arrive in one tick share a revision, as group commits do.
import type { Env } from "@coxswain/env";
import { StatusError } from "@coxswain/apimachinery";
import type { CommitResult, Transaction } from "../contract.ts";
import { takeGroup } from "../transaction.ts";
import { Elections } from "./elections.ts";
import { History } from "./history.ts";

interface Pending {
  readonly transaction: Transaction;
  readonly bytes: number;
  readonly resolve: (result: CommitResult) => void;
  readonly reject: (error: Error) => void;
}

export function unavailable(): StatusError {
  return new StatusError("ServiceUnavailable", 503, "the store cannot be reached; nothing was written");
}

export class MemoryStore {
  readonly env: Env;
  readonly history: History;
  readonly elections: Elections;
  readonly #queue: Pending[] = [];
  readonly #changed = new Set<() => void>();
  #scheduled = false;
  #connected = true;

  /** `firstRevision` is where the empty store begins; 1 where unset. */
  constructor(options: { env: Env; firstRevision?: bigint }) {
    this.env = options.env;
    this.history = new History(options.firstRevision);
    this.elections = new Elections(options.env);
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** The store becomes unreachable for all clients: calls reject with ServiceUnavailable, watches are cut. */
  disconnect(): void {
    this.#connected = false;
    for (const pending of this.#queue.splice(0)) pending.reject(unavailable());
    this.notify();
  }

  /** Ends the outage; watches resume by themselves. */
  reconnect(): void {
    this.#connected = true;
    this.notify();
    this.elections.electAll();
  }

  /** Calls `listener` after every commit and change of connection; returns the way to stop. */
  onChange(listener: () => void): () => void {
    this.#changed.add(listener);
    return () => void this.#changed.delete(listener);
  }

  notify(): void {
    for (const listener of this.#changed) listener();
  }

  enqueue(transaction: Transaction, bytes: number): Promise<CommitResult> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ transaction, bytes, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.env.timers.defer(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    while (this.#queue.length > 0) {
      const group = takeGroup(this.#queue);
      const results = this.history.commit(group.map(({ transaction }) => transaction));
      for (const [at, member] of group.entries()) member.resolve(results[at]!);
    }
    this.notify();
  }
}
