// The memory store plays outages, lost answers and lost leases, the same way each time under virtual time.
import { expect, test } from "vitest";
import { isReason, makeResourceVersion } from "@coxswain/apimachinery";
import { VirtualEnv } from "@coxswain/env";
import {
  CompactedError,
  createMemoryStorage,
  MemoryStore,
  type StorageEvent,
  type Transaction,
} from "@coxswain/storage";

const put = (key: string): Transaction => ({
  conditions: [],
  mutations: [{ op: "put", key, value: Buffer.from(key) }],
});

test("a store that begins late takes every earlier version for compacted", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const storage = createMemoryStorage({ env, firstRevision: 1_000n });
  const early = storage.watch(makeResourceVersion(999n, 1023), { onBatch: () => {} }, new AbortController().signal);
  await expect(early).rejects.toThrow(CompactedError);
  await expect(storage.list({ prefix: "/", rv: makeResourceVersion(998n, 0) })).rejects.toThrow(CompactedError);
  const start = await storage.currentRv();
  expect(start).toBe(makeResourceVersion(1_000n, 1023));
  const seen: string[] = [];
  const over = new AbortController();
  const onBatch = (batch: { events: readonly StorageEvent[] }): void =>
    void seen.push(...batch.events.map(({ key }) => key));
  const following = storage.watch(start, { onBatch }, over.signal);
  const written = storage.commit(put("/a"));
  await env.advance(10);
  expect(await written).toEqual({ committed: true, rvs: [makeResourceVersion(1_001n, 0)] });
  expect(seen).toEqual(["/a"]);
  over.abort();
  await following;
});

/** What a promise came to, once virtual time has run. */
function outcome<T>(promise: Promise<T>): { value?: T; error?: unknown } {
  const out: { value?: T; error?: unknown } = {};
  promise.then(
    (value) => (out.value = value),
    (error: unknown) => (out.error = error),
  );
  return out;
}

async function story(seed: number): Promise<string[]> {
  const env = new VirtualEnv({ seed });
  const store = new MemoryStore({ env });
  const [one, two] = [createMemoryStorage({ env, store }), createMemoryStorage({ env, store })];
  const events: StorageEvent[] = [];
  const states: boolean[] = [];
  const onBatch = (batch: { events: readonly StorageEvent[] }): void => void events.push(...batch.events);
  outcome(one.watch(0n, { onBatch, onConnection: (up) => void states.push(up) }, new AbortController().signal));
  outcome(two.commit(put("/a")));
  await env.advance(10);
  store.disconnect();
  const refused = outcome(one.commit(put("/b")));
  await env.advance(10);
  expect(isReason(refused.error, "ServiceUnavailable")).toBe(true);
  store.reconnect();
  await env.advance(10);
  one.disconnect();
  outcome(two.commit(put("/c")));
  await env.advance(10);
  expect(events.map(({ key }) => key)).toEqual(["/a"]);
  one.reconnect();
  env.failpoints.inject({
    id: "x",
    failpoint: "storage.commit.reply",
    action: "error",
    delayMs: 0,
    probability: 1,
    count: 1,
  });
  const unknown = outcome(two.commit(put("/d")));
  await env.advance(10);
  expect(isReason(unknown.error, "Timeout")).toBe(true);
  expect(states).toEqual([false, true, false, true]);
  return events.map(({ type, key, rv }) => `${type} ${key} ${rv}`);
}

test("outages, cuts of one client and lost answers: the watch misses nothing, and two runs are equal", async () => {
  const first = await story(7);
  expect(first.map((line) => line.split(" ")[1])).toEqual(["/a", "/c", "/d"]);
  expect(await story(7)).toEqual(first);
});

test("a leader that is cut off knows before the next one leads", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const store = new MemoryStore({ env });
  const [one, two] = [createMemoryStorage({ env, store }), createMemoryStorage({ env, store })];
  const signal = new AbortController().signal;
  const log: string[] = [];
  const lead = async (storage: typeof one, id: string): Promise<void> => {
    const { lost, term } = await storage.candidate("publisher", id, 9_000).campaign(signal);
    log.push(`${id} leads ${term}`);
    lost.addEventListener("abort", () => void log.push(`${id} lost`));
  };
  outcome(lead(one, "one"));
  await env.advance(1);
  outcome(lead(two, "two"));
  await env.advance(60_000);
  expect(log).toEqual(["one leads 1"]);
  one.disconnect();
  await env.advance(9_000);
  expect(log).toEqual(["one leads 1", "one lost", "two leads 2"]);
});
