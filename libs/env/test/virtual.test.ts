// Virtual time fires timers in order, repeats under a seed, and failpoints do what was armed.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AbortError, FailpointError, isAbort, VirtualEnv } from "../src/index.ts";

/** A small program that uses every door; returns what it did and when. */
async function trace(seed: number): Promise<string[]> {
  const env = new VirtualEnv({ seed });
  const out: string[] = [];
  const note = (what: string): void => void out.push(`${env.clock.now()} ${what}`);
  env.failpoints.inject({ id: "f", failpoint: "step", action: "error", delayMs: 3, probability: 0.5, count: 0 });
  const worker = async (name: string): Promise<void> => {
    for (let round = 0; round < 5; round++) {
      await env.timers.sleep(env.random.int(100));
      const failed = await env.failpoints.hit("step").then(
        () => false,
        () => true,
      );
      note(`${name}${round} ${failed} ${env.random.uuid()}`);
    }
  };
  const done = Promise.all(["a", "b", "c"].map(worker));
  const beat = env.timers.setInterval(() => note(`beat ${env.random.nameSuffix(5)}`), 40);
  await env.advance(1_000);
  env.timers.clear(beat);
  await done;
  return out;
}

describe("virtual time", () => {
  test("one seed is one run, another seed another", async () => {
    expect(await trace(42)).toEqual(await trace(42));
    expect(await trace(42)).not.toEqual(await trace(43));
  });

  test("timers fire in order of due time, then of creation, and cancelled ones never", async () => {
    const delays = fc.array(fc.record({ ms: fc.nat(50), cancel: fc.boolean() }), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(delays, async (timers) => {
        const env = new VirtualEnv({ seed: 1 });
        const fired: number[] = [];
        for (const [index, { ms, cancel }] of timers.entries()) {
          const handle = env.timers.setTimeout(() => fired.push(index), ms);
          if (cancel) env.timers.clear(handle);
        }
        await env.advance(50);
        const expected = timers
          .map((timer, index) => ({ ...timer, index }))
          .filter((timer) => !timer.cancel)
          .toSorted((a, b) => a.ms - b.ms || a.index - b.index)
          .map((timer) => timer.index);
        expect(fired).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  test("the clock stands where advance left it, and both clocks agree", async () => {
    const env = new VirtualEnv({ seed: 1, startMs: 5_000 });
    await env.advance(250);
    expect([env.clock.now(), env.clock.monotonic(), env.elapsedMs]).toEqual([5_250, 250, 250]);
    expect(await env.runUntil(() => false, 400)).toBe(false);
    expect(env.elapsedMs).toBe(400);
  });

  test("sleep and timeoutSignal end early with their parents", async () => {
    const env = new VirtualEnv({ seed: 1 });
    const parent = new AbortController();
    const slept = env.timers.sleep(1_000, parent.signal).catch((error: unknown) => error);
    const child = env.timers.timeoutSignal(1_000, parent.signal);
    const alone = env.timers.timeoutSignal(100);
    await env.advance(99);
    expect([child.aborted, alone.aborted]).toEqual([false, false]);
    await env.advance(1);
    expect(alone.aborted).toBe(true);
    parent.abort();
    expect(await slept).toBeInstanceOf(AbortError);
    expect(child.aborted).toBe(true);
    expect(isAbort(await env.timers.sleep(1, parent.signal).catch((error: unknown) => error))).toBe(true);
  });

  test("an interval repeats until cleared, even from inside", async () => {
    const env = new VirtualEnv({ seed: 1 });
    let count = 0;
    const handle = env.timers.setInterval(() => {
      count++;
      if (count === 3) env.timers.clear(handle);
    }, 10);
    await env.advance(1_000);
    expect(count).toBe(3);
  });
});

describe("failpoints", () => {
  const base = { id: "x", failpoint: "p", delayMs: 0, probability: 1, count: 0 } as const;

  test("fire as often as asked, then heal themselves", async () => {
    const env = new VirtualEnv({ seed: 1 });
    env.failpoints.inject({ ...base, action: "error", count: 2 });
    for (const fails of [true, true, false, false]) {
      const hit = env.failpoints.hit("p");
      if (fails) await expect(hit).rejects.toBeInstanceOf(FailpointError);
      else await expect(hit).resolves.toBeUndefined();
    }
    expect(env.failpoints.list()).toMatchObject([{ id: "x", fired: 2 }]);
    expect(env.failpoints.heal("other")).toEqual([]);
    expect(env.failpoints.heal()).toMatchObject([{ id: "x" }]);
    expect(env.failpoints.armed("p")).toBe(false);
    expect(env.failpoints.known()).toEqual(["p"]);
  });

  test("delay in virtual time, and crash through the door", async () => {
    const crashes: string[] = [];
    const env = new VirtualEnv({ seed: 1, onCrash: (name) => crashes.push(name) });
    env.failpoints.inject({ ...base, action: "delay", delayMs: 70 });
    let passedAt = -1;
    const hit = env.failpoints.hit("p").then(() => {
      passedAt = env.elapsedMs;
      return passedAt;
    });
    await env.advance(100);
    expect([await hit, passedAt]).toEqual([70, 70]);
    env.failpoints.heal();
    env.failpoints.inject({ ...base, action: "crash" });
    await env.failpoints.hit("p");
    expect(crashes).toEqual(["p"]);
  });

  test("refuse a probability outside 0..1", () => {
    const { failpoints } = new VirtualEnv({ seed: 1 });
    for (const probability of [-0.1, 1.1, Number.NaN]) {
      expect(() => failpoints.inject({ ...base, action: "error", probability })).toThrow(RangeError);
    }
  });
});
