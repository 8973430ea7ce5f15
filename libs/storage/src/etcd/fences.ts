// Conditions of equality, on top of a store that compares whole values and puts each value's place in front of it.
// An equal condition becomes one on the version that was last seen to hold those bytes; where that version turns out to
// be gone but the bytes are still the same, the transaction is tried again with the new version.
import { isDeepStrictEqual } from "node:util";
import { RecentMap } from "@coxswain/apimachinery";
import type { CommitResult, Condition, StoredValue, Transaction } from "../contract.ts";

const MAX_CACHED = 1000;

export class Fences {
  readonly #read: (key: string) => Promise<StoredValue | undefined>;
  readonly #seen = new RecentMap<string, StoredValue>(MAX_CACHED);

  constructor(read: (key: string) => Promise<StoredValue | undefined>) {
    this.#read = read;
  }

  /** Commits `transaction` through `commit`, which knows `absent` and `at` only. */
  async commit(
    transaction: Transaction,
    commit: (transaction: Transaction) => Promise<CommitResult>,
  ): Promise<CommitResult> {
    for (;;) {
      const conditions = await Promise.all(transaction.conditions.map((condition) => this.#resolve(condition)));
      const result = await commit({ conditions, mutations: transaction.mutations });
      if (result.committed) return result;
      for (const [at, { is, key }] of transaction.conditions.entries()) {
        if (is === "equal") this.#remember(key, result.current[at]);
      }
      const failed = conditions.some((condition, at) => {
        const original = transaction.conditions[at]!;
        const current = result.current[at];
        if (original.is === "equal") return current === undefined || !current.value.equals(original.value);
        return condition.is === "absent" ? current !== undefined : !isDeepStrictEqual(current?.rv, rvOf(condition));
      });
      if (failed) return result;
    }
  }

  async #resolve(condition: Condition): Promise<Condition> {
    if (condition.is !== "equal") return condition;
    const { key, value } = condition;
    let seen = this.#seen.get(key);
    if (seen?.value.equals(value) !== true) {
      seen = await this.#read(key);
      this.#remember(key, seen);
    }
    // Version 0 is nowhere: the commit fails and says what the keys hold.
    return { key, is: "at", rv: seen?.value.equals(value) === true ? seen.rv : 0n };
  }

  #remember(key: string, stored: StoredValue | undefined): void {
    if (stored === undefined) return this.#seen.delete(key);
    // A copy: the stored bytes may be a slice of a large message.
    return this.#seen.set(key, { ...stored, value: Buffer.from(stored.value) });
  }
}

function rvOf(condition: Condition): bigint | undefined {
  return condition.is === "at" ? condition.rv : undefined;
}
