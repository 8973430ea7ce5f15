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
  readonly story: readonly string[];
}

/** What the transactions make of `before` in just this order; undefined where one's conditions did not hold. */
function inOrder(before: State, committed: readonly Committed[]): Told | undefined {
  const state = new Map(before);
  const story: string[] = [];
  for (const { attempt, rvs } of committed) {
    if (!attempt.conditions.every((condition) => holds(state, condition))) return undefined;
    for (const [at, mutation] of attempt.mutations.entries()) {
      if (mutation.op === "put") state.set(mutation.key, { value: mutation.value, rv: rvs[at]! });
      else if (!state.delete(mutation.key)) continue;
      story.push(`${mutation.op} ${mutation.key} ${rvs[at]}`);
    }
  }
  return { state, story };
}

/**
 * Orders of one revision's transactions that their versions allow. A transaction that deletes nothing makes no
 * revision: it carries the last one made before it, and may share its version with the first change of that revision.
 * So of those that share a version all but one changed nothing, and came after everything that the revision changed.
 */
function orders(ofRevision: readonly Committed[]): Committed[][] {
  const sorted = ofRevision.toSorted((a, b) => (a.rvs[0]! < b.rvs[0]! ? -1 : 1));
  const heads = sorted.filter(({ rvs }) => rvs[0] === sorted[0]!.rvs[0]);
  const rest = sorted.slice(heads.length);
  const idle = [...rest, ...heads];
  return [...heads.map((first) => [first, ...rest, ...heads.filter((head) => head !== first)]), idle];
}

/** Applies the committed ones in an order that their versions allow and in which each one's conditions held. */
export function applyRound(
  before: State,
  attempts: readonly Attempt[],
  results: readonly CommitResult[],
): Told | undefined {
  const revisions = new Map<bigint, Committed[]>();
  for (const [at, attempt] of attempts.entries()) {
    const result = results[at]!;
    if (!result.committed) continue;
    const revision = result.rvs[0]! / 1024n;
    revisions.set(revision, [...(revisions.get(revision) ?? []), { attempt, rvs: result.rvs }]);
  }
  let told: Told = { state: before, story: [] };
  for (const [, ofRevision] of [...revisions].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const { state, story } = told;
    const next = orders(ofRevision)
      .map((order) => inOrder(state, order))
      .find((outcome) => outcome !== undefined);
    if (next === undefined) return undefined;
    told = { state: next.state, story: [...story, ...next.story] };
  }
  return told;
}

/** Runs `rounds` below `prefix`, then compares the final state and what a watch from the start tells. */
export async function runModel(storage: Storage, prefix: string, rounds: RandomTransaction[][]): Promise<void> {
  let state: State = new Map();
  const story: string[] = [];
  const since = await storage.currentRv();
  for (const round of rounds) {
    const attempts = round.map((random) => attemptOf(state, prefix, random));
    const results = await Promise.all(attempts.map((attempt) => storage.commit(attempt)));
    const told = applyRound(state, attempts, results);
    if (told === undefined) throw new Error("no order of the transactions explains the versions that they got");
    state = told.state;
    story.push(...told.story);
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
