// The contract of Storage as tests that every implementation runs.
import { assert, asyncProperty } from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endOfRevision, isReason, placeOf, revisionOf } from "@coxswain/apimachinery";
import { createRealEnv } from "@coxswain/env";
import {
  CompactedError,
  type CommitResult,
  type Storage,
  type StorageEvent,
  type StorageEventBatch,
  type Transaction,
} from "../contract.ts";
import { randomTransactions, runModel } from "./storage-model.ts";

const env = createRealEnv();
const bytes = (text: string): Buffer => Buffer.from(text);
const put = (key: string, value = key): Transaction["mutations"][number] => ({ op: "put", key, value: bytes(value) });
const remove = (key: string): Transaction["mutations"][number] => ({ op: "delete", key });

export interface StorageFixture {
  /** A new client of the one store; closed by the suite. */
  client(): Storage;
  stop(): Promise<void>;
}

/** Waits until `done` holds. */
export async function eventually(done: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  const deadline = env.clock.monotonic() + timeoutMs;
  while (!done()) {
    if (env.clock.monotonic() > deadline) throw new Error(`not in ${timeoutMs} ms: ${what}`);
    await env.timers.sleep(2);
  }
}

/** Commits and insists that it was committed. */
export async function mustCommit(storage: Storage, transaction: Partial<Transaction>): Promise<readonly bigint[]> {
  const result = await storage.commit({ conditions: [], mutations: [], ...transaction });
  if (!result.committed) throw new Error("the transaction's conditions did not hold");
  return result.rvs;
}

/** A watch that keeps what it hears. */
export function follow(storage: Storage, sinceRv: bigint): Following {
  const abort = new AbortController();
  const events: StorageEvent[] = [];
  const batches: StorageEventBatch[] = [];
  const onBatch = (batch: StorageEventBatch): void => {
    batches.push(batch);
    events.push(...batch.events);
  };
  const ended = storage.watch(sinceRv, { onBatch }, abort.signal);
  ended.catch(() => undefined);
  const stop = async (): Promise<void> => {
    abort.abort();
    await ended;
  };
  return { events, batches, ended, stop };
}

export interface Following {
  readonly events: StorageEvent[];
  readonly batches: StorageEventBatch[];
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

const brief = ({ type, key, rv }: StorageEvent): string => `${type} ${key} ${rv}`;

/** Runs the whole contract against what `start` makes. */
export function storageSuite(name: string, start: () => Promise<StorageFixture>): void {
  describe(name, () => {
    let fixture: StorageFixture;
    let storage: Storage;
    let scope = 0;
    /** A key prefix of the test's own. */
    const area = (): string => `/t${++scope}/`;
    beforeAll(async () => {
      fixture = await start();
      storage = fixture.client();
    }, 60_000);
    afterAll(async () => {
      await storage.close();
      await fixture.stop();
    });

    commitTests(() => storage, area);
    groupTests(() => storage, area);
    readTests(() => storage, area);
    watchTests(
      () => storage,
      area,
      () => fixture.client(),
    );
    electionTests(() => fixture.client());

    test("random transactions end as a simple model says, and a watch tells the same story", async () => {
      await assert(
        asyncProperty(randomTransactions(), async (rounds) => runModel(storage, area(), rounds)),
        { numRuns: 25 },
      );
    });

    // Last: it forgets the history of all the others.
    compactionTests(() => storage, area);
  });
}

function commitTests(storage: () => Storage, area: () => string): void {
  test("a put can be read back at the version that its commit returned", async () => {
    const key = `${area()}a`;
    const [rv] = await mustCommit(storage(), { mutations: [put(key, "one")] });
    expect(await storage().get(key)).toEqual({ key, value: bytes("one"), rv });
    expect(await storage().get(`${key}x`)).toBeUndefined();
  });

  test("the empty value is a value", async () => {
    const key = `${area()}a`;
    await mustCommit(storage(), { mutations: [put(key, "")] });
    expect((await storage().get(key))?.value).toHaveLength(0);
  });

  test("a failed condition changes nothing and says what the keys hold", async () => {
    const at = area();
    const [rv] = await mustCommit(storage(), { mutations: [put(`${at}a`)] });
    const result = await storage().commit({
      conditions: [
        { key: `${at}a`, is: "at", rv: rv! },
        { key: `${at}b`, is: "absent" },
        { key: `${at}a`, is: "absent" },
      ],
      mutations: [put(`${at}b`)],
    });
    expect(result).toEqual({
      committed: false,
      current: [
        { key: `${at}a`, value: bytes(`${at}a`), rv },
        undefined,
        { key: `${at}a`, value: bytes(`${at}a`), rv },
      ],
    });
    expect(await storage().get(`${at}b`)).toBeUndefined();
  });

  test("compare and swap: of many writers of one version, one wins", async () => {
    const key = `${area()}a`;
    const [rv] = await mustCommit(storage(), { mutations: [put(key)] });
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        storage().commit({ conditions: [{ key, is: "at", rv: rv! }], mutations: [put(key, `w${at}`)] }),
      ),
    );
    expect(results.filter(({ committed }) => committed)).toHaveLength(1);
  });

  test("nothing is at the version of a list, at version 0, or at a version gone by", async () => {
    const key = `${area()}a`;
    const [first] = await mustCommit(storage(), { mutations: [put(key, "1")] });
    await mustCommit(storage(), { mutations: [put(key, "2")] });
    for (const rv of [first!, 0n, endOfRevision(revisionOf(first!))]) {
      const result = await storage().commit({ conditions: [{ key, is: "at", rv }], mutations: [put(key, "3")] });
      expect(result.committed).toBe(false);
    }
    const absent = await storage().commit({
      conditions: [{ key: `${key}-none`, is: "at", rv: 0n }],
      mutations: [put(`${key}-none`)],
    });
    expect(absent.committed).toBe(false);
  });

  test("a fence: equal holds by bytes, whatever the version, and only while they last", async () => {
    const at = area();
    const fence = `${at}fence`;
    const fenced = (value: string): Promise<CommitResult> =>
      storage().commit({ conditions: [{ key: fence, is: "equal", value: bytes(value) }], mutations: [put(`${at}x`)] });
    expect(await fenced("one")).toEqual({ committed: false, current: [undefined] });
    await mustCommit(storage(), { mutations: [put(fence, "one")] });
    expect((await fenced("one")).committed).toBe(true);
    await mustCommit(storage(), { mutations: [put(fence, "one")] });
    expect((await fenced("one")).committed).toBe(true);
    const [rv] = await mustCommit(storage(), { mutations: [put(fence, "two")] });
    expect(await fenced("one")).toEqual({ committed: false, current: [{ key: fence, value: bytes("two"), rv }] });
    await mustCommit(storage(), { mutations: [remove(fence)] });
    expect((await fenced("two")).committed).toBe(false);
  });

  test("127 mutations fit, 128 and a key twice do not", async () => {
    const at = area();
    const many = (count: number): Transaction => ({
      conditions: Array.from({ length: count }, (_, n) => ({ key: `${at}${n}`, is: "absent" })),
      mutations: Array.from({ length: count }, (_, n) => put(`${at}${n}`)),
    });
    const rvs = await mustCommit(storage(), many(127));
    expect(new Set(rvs).size).toBe(127);
    await mustCommit(storage(), { mutations: Array.from({ length: 127 }, (_, n) => remove(`${at}${n}`)) });
    await expect(storage().commit(many(128))).rejects.toSatisfy((error) => isReason(error, "RequestEntityTooLarge"));
    await expect(storage().commit({ conditions: [], mutations: [put(at), put(at)] })).rejects.toThrow("twice");
  });

  test("an object of over 1.5 MB is refused, one of 1.4 MB goes alone", async () => {
    const at = area();
    const value = (size: number): Transaction => ({
      conditions: [],
      mutations: [{ op: "put", key: `${at}big`, value: Buffer.alloc(size, 7) }],
    });
    await expect(storage().commit(value(1_572_864))).rejects.toSatisfy((e) => isReason(e, "RequestEntityTooLarge"));
    const [big] = await Promise.all([
      mustCommit(storage(), value(1_400_000)),
      mustCommit(storage(), { mutations: [put(`${at}small`)] }),
    ]);
    expect((await storage().get(`${at}big`))?.rv).toBe(big[0]);
    expect((await storage().get(`${at}big`))?.value).toHaveLength(1_400_000);
  });
}

function groupTests(storage: () => Storage, area: () => string): void {
  test("transactions that arrive together get versions of their own and fail on their own", async () => {
    const at = area();
    await mustCommit(storage(), { mutations: [put(`${at}5`)] });
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        storage().commit({ conditions: [{ key: `${at}${n}`, is: "absent" }], mutations: [put(`${at}${n}`)] }),
      ),
    );
    expect(results.flatMap(({ committed }, n) => (committed ? [] : [n]))).toEqual([5]);
    const rvs = results.flatMap((result) => (result.committed ? result.rvs : []));
    expect(new Set(rvs).size).toBe(199);
    const { items } = await storage().list({ prefix: at });
    expect(items.map(({ key, rv }) => `${key} ${rv}`)).toEqual(
      items.map(({ key }) => {
        const own = results[Number(key.slice(at.length))]!;
        return `${key} ${own.committed ? own.rvs[0] : items.find((item) => item.key === key)!.rv}`;
      }),
    );
  });

  test("a key written twice at the same time keeps the order of the calls", async () => {
    const key = `${area()}a`;
    const rvs = await Promise.all(
      Array.from({ length: 10 }, (_, n) => mustCommit(storage(), { mutations: [put(key, `v${n}`)] })),
    );
    expect((await storage().get(key))?.value.toString()).toBe("v9");
    expect(rvs.flat()).toEqual(rvs.flat().toSorted((a, b) => (a < b ? -1 : 1)));
  });

  test("no write skew: two that read what the other writes do not both succeed", async () => {
    const at = area();
    const result = await Promise.all([
      storage().commit({ conditions: [{ key: `${at}a`, is: "absent" }], mutations: [put(`${at}b`)] }),
      storage().commit({ conditions: [{ key: `${at}b`, is: "absent" }], mutations: [put(`${at}a`)] }),
    ]);
    expect(result.filter(({ committed }) => committed)).toHaveLength(1);
  });
}

function readTests(storage: () => Storage, area: () => string): void {
  test("lists in key order, in pages, at one version", async () => {
    const at = area();
    for (const n of [3, 1, 2, 5, 4]) await mustCommit(storage(), { mutations: [put(`${at}${n}`)] });
    const first = await storage().list({ prefix: at, limit: 2 });
    await mustCommit(storage(), { mutations: [put(`${at}6`), remove(`${at}4`)] });
    const second = await storage().list({ prefix: at, limit: 2, startAfter: first.items[1]!.key, rv: first.rv });
    const third = await storage().list({ prefix: at, limit: 2, startAfter: second.items[1]!.key, rv: first.rv });
    const names = [first, second, third].map(({ items }) => items.map(({ key }) => key.slice(at.length)));
    expect(names).toEqual([["1", "2"], ["3", "4"], ["5"]]);
    expect([first.more, second.more, third.more]).toEqual([true, true, false]);
    expect([second.rv, third.rv]).toEqual([first.rv, first.rv]);
    expect(placeOf(first.rv)).toBe(1023);
    expect((await storage().list({ prefix: at })).items).toHaveLength(5);
    expect((await storage().list({ prefix: `${at}none` })).items).toEqual([]);
  });

  test("the current version covers every commit that was acknowledged before it was asked for", async () => {
    const at = area();
    await Promise.all(
      Array.from({ length: 30 }, async (_, n) => {
        const [rv] = await mustCommit(storage(), { mutations: [put(`${at}${n}`)] });
        expect(await storage().currentRv()).toBeGreaterThanOrEqual(rv!);
      }),
    );
  });

  test("answers a ping", async () => {
    await storage().ping();
  });
}

function watchTests(storage: () => Storage, area: () => string, client: () => Storage): void {
  test("cut at every point of a commit and resumed, a watch sees every event once, in order", async () => {
    const at = area();
    await mustCommit(storage(), { mutations: ["a", "b", "c", "d"].map((key) => put(`${at}${key}`)) });
    const before = await storage().currentRv();
    await Promise.all([
      mustCommit(storage(), { mutations: [remove(`${at}a`), put(`${at}e`), remove(`${at}b`)] }),
      mustCommit(storage(), { mutations: [put(`${at}f`)] }),
      mustCommit(storage(), { mutations: [remove(`${at}c`)] }),
      storage().commit({ conditions: [{ key: `${at}e`, is: "at", rv: 5n }], mutations: [remove(`${at}d`)] }),
      mustCommit(storage(), { mutations: [put(`${at}g`)] }),
    ]);
    await mustCommit(storage(), { mutations: [remove(`${at}d`)] });
    await mustCommit(storage(), { mutations: [put(`${at}a`, "again"), remove(`${at}g`)] });
    const whole = follow(storage(), before);
    await eventually(() => whole.events.length === 9, "nine events");
    await whole.stop();
    const story = whole.events.map(brief);
    expect(new Set(whole.events.map(({ rv }) => rv)).size).toBe(9);
    expect(story).toEqual(whole.events.toSorted((x, y) => (x.rv < y.rv ? -1 : 1)).map(brief));
    const other = client();
    for (const [cut, { rv }] of whole.events.entries()) {
      const rest = follow(cut % 2 === 0 ? storage() : other, rv);
      await eventually(() => rest.events.length >= 8 - cut && rest.batches.length > 0 === cut < 8, `cut at ${cut}`);
      await rest.stop();
      expect(rest.events.map(brief)).toEqual(story.slice(cut + 1));
    }
    await other.close();
  });

  test("a watch reaches the current version although no user's key changed in it", async () => {
    const key = `${area()}a`;
    const since = await storage().currentRv();
    const watching = follow(storage(), since);
    await mustCommit(storage(), { mutations: [put(key)] });
    const now = await storage().currentRv();
    await eventually(() => (watching.batches.at(-1)?.throughRv ?? 0n) >= now, "the current version");
    await watching.stop();
  });

  test("watches of several clients see the same events, with whole revisions in a batch", async () => {
    const at = area();
    const other = client();
    const since = await storage().currentRv();
    const watches = [follow(storage(), since), follow(other, since)];
    await Promise.all(
      Array.from({ length: 300 }, (_, n) => mustCommit([storage(), other][n % 2]!, { mutations: [put(`${at}${n}`)] })),
    );
    for (const { events } of watches) await eventually(() => events.length >= 300, "300 events");
    expect(watches[0]!.events.map(brief)).toEqual(watches[1]!.events.map(brief));
    for (const { batches } of watches) {
      let through = since;
      for (const batch of batches) {
        expect(batch.events.every(({ rv }) => rv > through && rv <= batch.throughRv)).toBe(true);
        through = batch.throughRv;
      }
    }
    await Promise.all(watches.map((watch) => watch.stop()));
    await other.close();
  });
}

function electionTests(client: () => Storage): void {
  test("one candidate leads, the next takes over with a higher term", async () => {
    const [one, two] = [client(), client()];
    const signal = new AbortController();
    const first = await one.candidate("suite", "one", 3_000).campaign(signal.signal);
    let second: typeof first | undefined;
    const waiting = two
      .candidate("suite", "two", 3_000)
      .campaign(signal.signal)
      .then((leadership) => (second = leadership));
    await env.timers.sleep(20);
    expect(second).toBeUndefined();
    expect(first.lost.aborted).toBe(false);
    await first.resign();
    expect(first.lost.aborted).toBe(true);
    await waiting;
    expect(second!.term).toBeGreaterThan(first.term);
    const gaveUp = new AbortController();
    const third = one.candidate("suite", "one", 3_000).campaign(gaveUp.signal);
    gaveUp.abort();
    await expect(third).rejects.toMatchObject({ name: "AbortError" });
    await two.close();
    expect(second!.lost.aborted).toBe(true);
    await one.close();
  });
}

function compactionTests(storage: () => Storage, area: () => string): void {
  test("compaction forgets history before a version, and says so", async () => {
    const at = area();
    const old = await storage().currentRv();
    for (const n of [1, 2, 3])
      await mustCommit(storage(), { mutations: [put(`${at}a`, String(n)), put(`${at}b${n}`)] });
    await mustCommit(storage(), { mutations: [remove(`${at}b1`), remove(`${at}b2`)] });
    const edge = await storage().currentRv();
    const [rv] = await mustCommit(storage(), { mutations: [remove(`${at}b3`)] });
    const live = follow(storage(), edge);
    await storage().compact(rv!);
    await storage().compact(rv!);
    await expect(storage().watch(old, { onBatch: () => {} }, new AbortController().signal)).rejects.toThrow(
      CompactedError,
    );
    await expect(storage().list({ prefix: at, rv: old })).rejects.toThrow(CompactedError);
    // One revision before: its deletes may be gone.
    const before = endOfRevision(revisionOf(rv!) - 2n);
    await expect(storage().watch(before, { onBatch: () => {} }, new AbortController().signal)).rejects.toThrow(
      CompactedError,
    );
    const rest = follow(storage(), edge);
    for (const watch of [live, rest]) {
      await eventually(() => watch.events.length > 0, "the delete after the edge");
      expect(watch.events.map(brief)).toEqual([`delete ${at}b3 ${rv}`]);
      await watch.stop();
    }
    expect((await storage().list({ prefix: at, rv: rv! })).items.map(({ key }) => key)).toEqual([`${at}a`]);
  });
}
