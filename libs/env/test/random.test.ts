// Randomness is uniform, keeps to its bounds, and repeats under a seed.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRealEnv, createSeededRandom, isAbort } from "../src/index.ts";

/** Pearson's statistic of `draws` draws over `cells` cells. */
function chiSquared(cells: number, draws: number, draw: () => number): number {
  const counts = Array.from({ length: cells }, () => 0);
  for (let at = 0; at < draws; at++) counts[draw()]!++;
  const mean = draws / cells;
  return counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
}

const sources = [
  ["seeded", createSeededRandom(7)],
  ["real", createRealEnv().random],
] as const;

describe.each(sources)("%s randomness", (_name, random) => {
  test("is uniform", () => {
    // 99.9999% of fair sources stay below 66 with 20 cells (19 degrees of freedom: p = 5e-7).
    expect(chiSquared(20, 40_000, () => random.int(20))).toBeLessThan(66);
    expect(chiSquared(20, 40_000, () => Math.floor(random.float() * 20))).toBeLessThan(66);
  });

  test("keeps to its bounds and forms", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 32 }), (max) => {
        const draw = random.int(max);
        expect(Number.isInteger(draw) && draw >= 0 && draw < max).toBe(true);
      }),
    );
    expect(() => random.int(0)).toThrow(RangeError);
    expect(random.uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(random.nameSuffix(200)).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]{200}$/);
    expect(random.bytes(33)).toHaveLength(33);
  });
});

test("one seed is one sequence", () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const [a, b] = [createSeededRandom(seed), createSeededRandom(seed)];
      expect([a.float(), a.uuid(), a.int(1000)]).toEqual([b.float(), b.uuid(), b.int(1000)]);
    }),
  );
});

test("real timers sleep, abort and clear", async () => {
  const { timers, clock } = createRealEnv();
  const from = clock.monotonic();
  await timers.sleep(5);
  expect(clock.monotonic() - from).toBeGreaterThan(3);
  const parent = new AbortController();
  const slept = timers.sleep(60_000, parent.signal).catch((error: unknown) => error);
  const child = timers.timeoutSignal(60_000, parent.signal);
  timers.clear(timers.setTimeout(() => expect.unreachable("a cleared timer fired"), 1));
  parent.abort();
  expect(isAbort(await slept)).toBe(true);
  expect(child.aborted).toBe(true);
});

test("bytes of the platform are never given out twice, and are the caller's own", () => {
  const { random } = createRealEnv();
  const lengths = [...Array.from({ length: 1_000 }, () => 16), 5_000, 4_096, 16];
  const given = lengths.map((length) => ({ length, bytes: random.bytes(length) }));
  const texts = given.map(({ bytes }) => bytes.toString("hex"));
  for (const { length, bytes } of given) {
    expect(bytes).toHaveLength(length);
    bytes.fill(0);
  }
  expect(new Set(texts).size).toBe(lengths.length);
  expect(random.bytes(16).toString("hex")).not.toBe("0".repeat(32));
});
