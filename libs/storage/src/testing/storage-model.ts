// A model of Storage that fits on a page: a Map, and transactions one after the other. Random rounds of concurrent
// transactions must end as some order of them would, namely that of their versions.
import { type Arbitrary, array, constantFrom, option, record, string, uniqueArray } from "fast-check";
import { expect } from "vitest";
import type { CommitResult, Condition, Mutation, Storage, StorageEvent } from "../contract.ts";

const KEYS = ["a", "b", "c", "d", "e", "f"];

export interface RandomTransaction {
  readonly conditions: readonly { readonly key: string; readonly is: "absent" | "now" | "equal" | "old" }[];
  readonly mutations: readonly { readonly key: string; readonly value: string | undefined }[];
}

/** Rounds of transactions that are committed at once. */
export function randomTransactions(): Arbitrary<RandomTransaction[][]> {
  const key = constantFrom(...KEYS);
  const is = constantFrom<"absent" | "now" | "equal" | "old">("absent", "now", "equal", "old");
  const value = option(string({ maxLength: 3 }), { nil: undefined });
  const transaction = record({
    conditions: array(record({ key, is }), { maxLength: 2 }),
    mutations: uniqueArray(record({ key, value }), {
      minLength: 1,
      maxLength: 3,
      selector: (entry) => entry.key,
    }),
  });
  return array(array(transaction, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 6 });
}

type State = Map<string, { readonly value: Buffer; readonly rv: bigint }>;

interface Attempt {
  readonly conditions: Condition[];
  readonly mutations: Mutation[];
}

function attemptOf(state: State, prefix: string, random: RandomTransaction): Attempt {
  const conditions = random.conditions.map(({ key, is }): Condition => {
    const at = prefix + key;
    const current = state.get(at);
    if (is === "absent" || current === undefined) return { key: at, is: "absent" };
    if (is === "equal") return { key: at, is: "equal", value: current.value };
    return { key: at, is: "at", rv: is === "now" ? current.rv : current.rv - 1024n };
  });
  const mutations = random.mutations.map(({ key, value }): Mutation =>
    value === undefined
      ? { op: "delete", key: prefix + key }
      : { op: "put", key: prefix + key, value: Buffer.from(value) },
  );
  return { conditions, mutations };
}

function holds(state: State, condition: Condition): boolean {
  const current = state.get(condition.key);
  if (condition.is === "absent") return current === undefined;
  if (condition.is === "at") return current?.rv === condition.rv;
  return current !== undefined && current.value.equals(condition.value);
}

/** Applies the committed ones in order of their versions, checking that each one's conditions held just then. */
function applyRound(state: State, attempts: readonly Attempt[], results: readonly CommitResult[]): string[] {
  const committed = attempts.flatMap((attempt, at) => {
    const result = results[at]!;
    return result.committed ? [{ attempt, rvs: result.rvs }] : [];
  });
  const story: string[] = [];
  for (const { attempt, rvs } of committed.toSorted((a, b) => (a.rvs[0]! < b.rvs[0]! ? -1 : 1))) {
    expect(attempt.conditions.every((condition) => holds(state, condition))).toBe(true);
    for (const [at, mutation] of attempt.mutations.entries()) {
      if (mutation.op === "put") state.set(mutation.key, { value: mutation.value, rv: rvs[at]! });
      else if (!state.delete(mutation.key)) continue;
      story.push(`${mutation.op} ${mutation.key} ${rvs[at]}`);
    }
  }
  return story;
}

/** Runs `rounds` below `prefix`, then compares the final state and what a watch from the start tells. */
export async function runModel(storage: Storage, prefix: string, rounds: RandomTransaction[][]): Promise<void> {
  const state: State = new Map();
  const story: string[] = [];
  const since = await storage.currentRv();
  for (const round of rounds) {
    const attempts = round.map((random) => attemptOf(state, prefix, random));
    const results = await Promise.all(attempts.map((attempt) => storage.commit(attempt)));
    story.push(...applyRound(state, attempts, results));
  }
  const { items, rv } = await storage.list({ prefix });
  const expected = [...state].map(([key, { value, rv }]) => ({ key, value, rv }));
  expect(items).toEqual(expected.toSorted((a, b) => (a.key < b.key ? -1 : 1)));
  expect(await heard(storage, since, rv)).toEqual(story);
}

/** What a watch tells from `since` through `until`. */
async function heard(storage: Storage, since: bigint, until: bigint): Promise<string[]> {
  const events: StorageEvent[] = [];
  if (since >= until) return [];
  const abort = new AbortController();
  const onBatch = (batch: { readonly events: readonly StorageEvent[]; readonly throughRv: bigint }): void => {
    events.push(...batch.events);
    if (batch.throughRv >= until) abort.abort();
  };
  await storage.watch(since, { onBatch }, abort.signal);
  return events.map(({ type, key, rv }) => `${type} ${key} ${rv}`);
}
