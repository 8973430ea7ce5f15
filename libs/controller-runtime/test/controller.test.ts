// Controllers retry, pause, step and stop cleanly.
import { expect, test } from "vitest";
import { silentLogger, noMetrics, type Metrics } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { createController } from "../src/controller.ts";

function make(reconcile: (key: string) => Promise<{ requeueAfterMs?: number } | void>, workers = 1) {
  const env = new VirtualEnv({ seed: 1 });
  const abort = new AbortController();
  const controller = createController({ name: "test", reconcile, workers }, { env, logger: silentLogger });
  return { env, abort, controller };
}

test("a failed key comes back with backoff until it succeeds", async () => {
  const at: number[] = [];
  const { env, abort, controller } = make(async () => {
    at.push(env.elapsedMs);
    if (at.length < 3) throw new Error("no");
  });
  const running = controller.run(abort.signal);
  controller.enqueue("a");
  await env.advance(1000);
  expect(at).toEqual([0, 5, 15]);
  expect(controller.state()).toMatchObject({ reconciles: 3, errors: 2, lastError: "no", queueDepth: 0 });
  abort.abort();
  await running;
});

test("what is queued, tried again and worked on is counted", async () => {
  const counted = new Map<string, number>();
  const count = (name: string, by = 1): void => void counted.set(name, (counted.get(name) ?? 0) + by);
  const metrics: Metrics = {
    ...noMetrics,
    counter: (name) => {
      const inc = (labels: Record<string, string> = {}): void => count(`${name} ${labels["name"]}`);
      return { inc, of: (labels) => ({ inc: () => inc(labels) }) };
    },
    histogram: (name) => {
      const observe = (value: number): void => count(name, value);
      return { observe, of: () => ({ observe }) };
    },
  };
  const env = new VirtualEnv({ seed: 1 });
  const abort = new AbortController();
  let failures = 1;
  const reconcile = async (): Promise<void> => {
    await env.timers.sleep(250);
    if (failures-- > 0) throw new Error("no");
  };
  const controller = createController({ name: "test", reconcile }, { env, logger: silentLogger, metrics });
  // The same key waits once, however often it is named.
  for (const key of ["a", "a", "b"]) controller.enqueue(key);
  const running = controller.run(abort.signal);
  await env.advance(2_000);
  expect(Object.fromEntries(counted)).toEqual({
    "workqueue_adds_total test": 2,
    "workqueue_retries_total test": 1,
    workqueue_work_duration_seconds: 0.75,
  });
  abort.abort();
  await running;
});

test("requeueAfterMs looks again without an event", async () => {
  const at: number[] = [];
  const { env, abort, controller } = make(async () => {
    at.push(env.elapsedMs);
    return at.length === 1 ? { requeueAfterMs: 40 } : undefined;
  });
  const running = controller.run(abort.signal);
  controller.enqueue("a");
  await env.advance(1000);
  expect(at).toEqual([0, 40]);
  abort.abort();
  await running;
});

test("paused, only step reconciles; resumed, the rest follows", async () => {
  const seen: string[] = [];
  const { env, abort, controller } = make(async (key) => {
    seen.push(key);
    if (key === "b") throw new Error("bad b");
  });
  const running = controller.run(abort.signal);
  await env.advance(1);
  controller.pause();
  for (const key of ["a", "b", "c"]) controller.enqueue(key);
  await env.advance(10);
  expect(seen).toEqual([]);
  expect(controller.state()).toMatchObject({ paused: true, queueDepth: 3 });
  expect(controller.queue().keys.map((entry) => entry.key)).toEqual(["a", "b", "c"]);
  expect(await controller.step()).toEqual({ key: "a", error: "" });
  expect(await controller.step()).toEqual({ key: "b", error: "bad b" });
  controller.resume();
  await env.advance(1);
  expect(seen).toEqual(["a", "b", "c"]);
  await expect(controller.step()).rejects.toThrow("controller test is not paused");
  abort.abort();
  await running;
});

test("stopping waits for what runs, and keeps open keys for the next run", async () => {
  const seen: string[] = [];
  let finish = (): void => {};
  const { env, abort, controller } = make(async (key) => {
    seen.push(key);
    await new Promise<void>((resolve) => (finish = resolve));
  });
  let settled = false;
  const running = controller.run(abort.signal).then(() => (settled = true));
  controller.enqueue("a");
  controller.enqueue("b");
  await env.advance(1);
  abort.abort();
  await env.advance(1);
  expect(settled).toBe(false);
  finish();
  await running;
  const again = new AbortController();
  const rerun = controller.run(again.signal);
  await env.advance(1);
  expect(seen).toEqual(["a", "a"]);
  finish();
  await env.advance(1);
  expect(seen).toEqual(["a", "a", "b"]);
  again.abort();
  finish();
  await rerun;
});

test("several workers never share a key", async () => {
  const busy = new Set<string>();
  let most = 0;
  const { env, abort, controller } = make(async (key) => {
    expect(busy.has(key)).toBe(false);
    busy.add(key);
    most = Math.max(most, busy.size);
    await env.timers.sleep(10);
    busy.delete(key);
  }, 3);
  const running = controller.run(abort.signal);
  for (let round = 0; round < 5; round++) {
    for (const key of ["a", "b", "c", "d"]) controller.enqueue(key);
    await env.advance(7);
  }
  await env.advance(100);
  expect(most).toBe(3);
  abort.abort();
  await running;
});
