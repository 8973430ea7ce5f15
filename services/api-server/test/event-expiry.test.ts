// How events expire where there are very many of them: what a sweep reads, and whom it lets in between.
import { expect, test } from "vitest";
import type { BatchOperation } from "@coxswain/client";
import { silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { EVENT_TTL_MS, runEventExpiry } from "../src/feed/event-expiry.ts";
import type { VersionedObject } from "../src/pipeline/contract.ts";

const MINUTE_MS = 60_000;

/** A cache of events that counts how often one is read. */
function eventSource(env: VirtualEnv) {
  const events = new Map<string, VersionedObject>();
  const source = { reads: 0, throughRv: 0n, list: () => [...events.values()] };
  const deleted: string[] = [];
  const client = {
    batch: async (operations: readonly BatchOperation[]) =>
      operations.map((operation) => {
        if (operation.op !== "delete") throw new Error(`unexpected ${operation.op}`);
        events.delete(operation.target.name);
        deleted.push(operation.target.name);
        return { ok: true, object: {} } as const;
      }),
  };
  const add = (name: string): void => {
    const rv = ++source.throughRv;
    const creationTimestamp = new Date(env.clock.now()).toISOString();
    const object = { metadata: { name, namespace: "default", creationTimestamp } };
    events.set(name, {
      namespace: "default",
      name,
      rv,
      object,
      get json() {
        source.reads++;
        return Buffer.from(JSON.stringify(object));
      },
    });
  };
  const stop = new AbortController();
  const start = (): Promise<void> =>
    runEventExpiry({ env, logger: silentLogger, source, client: client as never }, stop.signal);
  return { source, deleted, add, start, stop: () => stop.abort() };
}

test("an event is read when it may be due, and not before", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const { source, deleted, add, start, stop } = eventSource(env);
  const running = start();
  for (let at = 0; at < 300; at++) add(`e${at}`);
  await env.advance(EVENT_TTL_MS - MINUTE_MS);
  expect(source.reads).toBe(0);
  add("young");
  await env.advance(3 * MINUTE_MS);
  expect(deleted).toHaveLength(300);
  expect(source.reads).toBe(300);
  expect(source.list().map(({ name }) => name)).toEqual(["young"]);
  stop();
  await running;
});

test("what was there before is read once, in turns with other work, and goes when it is due", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const { source, deleted, add, start, stop } = eventSource(env);
  for (let at = 0; at < 1_000; at++) add(`e${at}`);
  await env.advance(30 * MINUTE_MS);
  const running = start();
  const between: number[] = [];
  const look = (): void => {
    between.push(source.reads);
    if (source.reads < 1_000) env.timers.defer(look);
  };
  env.timers.setTimeout(look, MINUTE_MS);
  await env.advance(MINUTE_MS + 10);
  expect(new Set(between).size).toBeGreaterThan(5);
  await env.advance(28 * MINUTE_MS);
  expect(source.reads).toBe(1_000);
  expect(deleted).toEqual([]);
  await env.advance(2 * MINUTE_MS);
  expect(source.reads).toBe(1_000);
  expect(deleted).toHaveLength(1_000);
  stop();
  await running;
});
