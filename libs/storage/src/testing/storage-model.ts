// A model of Storage that fits on a page: a Map, and transactions one after the other. Random rounds of concurrent
// transactions must end as some order of them would, namely that of their versions.
import { isDeepStrictEqual } from "node:util";
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

export type State = ReadonlyMap<string, { readonly value: Buffer; readonly rv: bigint }>;

export interface Attempt {
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

interface Committed {
  readonly attempt: Attempt;
  readonly rvs: readonly bigint[];
}

interface Told {
  readonly state: State;
  /** Each change, in its order. */
  readonly story: readonly string[];
  /** The version of each change. */
  readonly rvs: readonly bigint[];
}

/** What the transactions make of `before` in just this order; undefined where one's conditions did not hold. */
function inOrder(before: State, committed: readonly Committed[]): Told | undefined {
  const state = new Map(before);
  const story: string[] = [];
  const told: bigint[] = [];
  for (const { attempt, rvs } of committed) {
    if (!attempt.conditions.every((condition) => holds(state, condition))) return undefined;
    for (const [at, mutation] of attempt.mutations.entries()) {
      if (mutation.op === "put") state.set(mutation.key, { value: mutation.value, rv: rvs[at]! });
      else if (!state.delete(mutation.key)) continue;
      story.push(`${mutation.op} ${mutation.key} ${rvs[at]}`);
      told.push(rvs[at]!);
    }
  }
  return { state, story, rvs: told };
}

/**
 * What one revision's transactions may have done, told in each way that their versions allow. A transaction that changes
 * nothing makes no revision of its own: alone it carries the last revision made before it, and so comes after everything
 * that this revision changed, whatever its place. So the changes happened in the order of their versions, and each
 * transaction that changed nothing either among them or after them all.
 */
function* tellings(before: State, ofRevision: readonly Committed[]): Generator<Told> {
  const sorted = ofRevision.toSorted((a, b) => (a.rvs[0]! < b.rvs[0]! ? -1 : 1));
  for (let late = 0; late < 2 ** sorted.length; late++) {
    const isLate = (at: number): boolean => (late & (1 << at)) !== 0;
    const told = inOrder(
      before,
      sorted.filter((_, at) => !isLate(at)),
    );
    if (told === undefined || !ascends(told.rvs)) continue;
    const after = inOrder(
      told.state,
      sorted.filter((_, at) => isLate(at)),
    );
    if (after?.story.length === 0) yield told;
  }
}

function ascends(rvs: readonly bigint[]): boolean {
  return rvs.every((rv, at) => at === 0 || rvs[at - 1]! < rv);
}

/** Every account of a round of transactions committed at once that its versions allow; each one's conditions held in it. */
export function applyRound(before: State, attempts: readonly Attempt[], results: readonly CommitResult[]): Told[] {
  const revisions = new Map<bigint, Committed[]>();
  for (const [at, attempt] of attempts.entries()) {
    const result = results[at]!;
    if (!result.committed) continue;
    const revision = result.rvs[0]! / 1024n;
    revisions.set(revision, [...(revisions.get(revision) ?? []), { attempt, rvs: result.rvs }]);
  }
  let accounts: Told[] = [{ state: before, story: [], rvs: [] }];
  for (const [, ofRevision] of [...revisions].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    accounts = distinct(
      accounts.flatMap(({ state, story, rvs }) =>
        [...tellings(state, ofRevision)].map((next) => ({
          state: next.state,
          story: [...story, ...next.story],
          rvs: [...rvs, ...next.rvs],
        })),
      ),
    );
  }
  return accounts;
}

function distinct(accounts: readonly Told[]): Told[] {
  return [...new Map(accounts.map((told) => [told.story.join("\n"), told])).values()];
}

/** Runs `rounds` below `prefix`, then compares the final state and what a watch from the start tells. */
export async function runModel(storage: Storage, prefix: string, rounds: RandomTransaction[][]): Promise<void> {
  let state: State = new Map();
  for (const round of rounds) {
    const since = await storage.currentRv();
    const attempts = round.map((random) => attemptOf(state, prefix, random));
    const results = await Promise.all(attempts.map((attempt) => storage.commit(attempt)));
    const { items, rv } = await storage.list({ prefix });
    const told = { items, story: await heard(storage, since, rv) };
    const accounts = applyRound(state, attempts, results);
    if (accounts.length === 0) throw new Error("no order of the transactions explains the versions that they got");
    const explained = accounts.map((account) => ({ items: itemsOf(account.state), story: account.story }));
    expect(explained).toContainEqual(told);
    state = accounts[explained.findIndex((one) => isDeepStrictEqual(one, told))]!.state;
  }
}

/** As a list of everything would have it. */
function itemsOf(state: State): { readonly key: string; readonly value: Buffer; readonly rv: bigint }[] {
  const items = [...state].map(([key, { value, rv }]) => ({ key, value, rv }));
  return items.toSorted((a, b) => (a.key < b.key ? -1 : 1));
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
