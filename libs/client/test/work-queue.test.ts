// A key is never handed to two workers, and never lost.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { VirtualEnv } from "@coxswain/env";
import { createWorkQueue } from "../src/work-queue.ts";

const make = () => {
  const env = new VirtualEnv({ seed: 1 });
  return { env, queue: createWorkQueue({ env, name: "test" }) };
};

test("a key waits once, and again only after done", async () => {
  const { queue } = make();
  queue.add("a");
  queue.add("a");
  queue.add("b");
  expect(queue.length).toBe(2);
  expect(await queue.get()).toBe("a");
  queue.add("a");
  expect(await queue.get()).toBe("b");
  expect(queue.length).toBe(0);
  queue.done("a");
  expect(await queue.get()).toBe("a");
});

test("rate-limited keys come back after 5, 10, 20 … ms, until forgotten", async () => {
  const { env, queue } = make();
  const waits: number[] = [];
  for (let round = 0; round < 4; round++) {
    if (round === 3) queue.forget("a");
    queue.addRateLimited("a");
    const from = env.elapsedMs;
    const next = queue.get();
    await env.step();
    expect(await next).toBe("a");
    queue.done("a");
    waits.push(env.elapsedMs - from);
  }
  expect(waits).toEqual([5, 10, 20, 5]);
  expect(queue.numRequeues("a")).toBe(1);
});

test("an earlier delay wins, and a delayed key shows in the snapshot", async () => {
  const { env, queue } = make();
  queue.addAfter("a", 100);
  queue.addAfter("a", 30);
  queue.addAfter("a", 60);
  expect(queue.snapshot().keys).toEqual([{ key: "a", requeues: 0, readyInMs: 30 }]);
  await env.advance(30);
  expect(await queue.get()).toBe("a");
  queue.done("a");
  await env.advance(1000);
  expect(queue.length).toBe(0);
});

test("shutDown lets what is ready out, then ends every waiter", async () => {
  const { queue } = make();
  queue.add("a");
  queue.addAfter("late", 5);
  queue.shutDown();
  queue.add("b");
  expect(await queue.get()).toBe("a");
  expect(await queue.get()).toBeUndefined();
});

test("whatever the order of calls, no key is processed twice at once and none is lost", async () => {
  const operation = fc.record({ op: fc.constantFrom("add", "after", "get", "done"), key: fc.nat(4), ms: fc.nat(20) });
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async (operations) => {
      const { env, queue } = make();
      const processing = new Set<string>();
      // Keys added since they were last handed out.
      const owed = new Set<string>();
      const take = async (): Promise<void> => {
        const key = (await queue.get()) ?? "";
        expect(processing.has(key)).toBe(false);
        processing.add(key);
        owed.delete(key);
      };
      for (const { op, key, ms } of operations) {
        const name = `k${key}`;
        if (op === "add") queue.add(name);
        if (op === "after") queue.addAfter(name, ms);
        if (op === "add" || op === "after") owed.add(name);
        if (op === "get" && queue.length > 0) await take();
        if (op === "done" && processing.delete(name)) queue.done(name);
        await env.advance(1);
      }
      for (let round = 0; round < 20 && (owed.size > 0 || processing.size > 0); round++) {
        for (const key of processing) queue.done(key);
        processing.clear();
        await env.advance(25);
        while (queue.length > 0) await take();
      }
      expect([...owed]).toEqual([]);
    }),
    { numRuns: 100 },
  );
});
