// The store of the simulation: a MemoryStore that tells each commit to the checker, with who asked for it.
// Guarantee: commits are told in their order, before virtual time moves on, and each exactly once.
import type { VirtualEnv } from "@coxswain/env";
import type { CommitResult, Transaction } from "@coxswain/storage";
import { MemoryStore } from "@coxswain/storage/memory/memory-store";
import { currentActor, type Actor } from "./actor.ts";

export interface Commit {
  readonly key: string;
  /** Undefined for a deletion. */
  readonly value: Buffer | undefined;
  readonly rv: bigint;
  readonly actor: Actor | undefined;
}

export class ObservedStore extends MemoryStore {
  readonly #onCommit: (commit: Commit) => void;

  constructor(env: VirtualEnv, onCommit: (commit: Commit) => void) {
    super({ env });
    this.#onCommit = onCommit;
  }

  override async enqueue(transaction: Transaction, bytes: number): Promise<CommitResult> {
    const actor = currentActor();
    const result = await super.enqueue(transaction, bytes);
    if (!result.committed) return result;
    for (const [at, mutation] of transaction.mutations.entries()) {
      const value = mutation.op === "put" ? mutation.value : undefined;
      this.#onCommit({ key: mutation.key, value, rv: result.rvs[at]!, actor });
    }
    return result;
  }
}
