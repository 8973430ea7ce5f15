// One seed is one run: the same trace, to the byte, however often it is played. And runs do break, or they would show nothing.
import { describe, expect, test } from "vitest";
import { planScenario } from "../src/scenario.ts";
import { runSeed } from "../src/run-seed.ts";

describe("a seed", () => {
  test.each([1, 2, 3])("%d is the same run twice, and breaks nothing", { timeout: 300_000 }, async (seed) => {
    const first = (await runSeed(seed)).result;
    expect(first.violations).toEqual([]);
    expect(first.faults).toBeGreaterThan(0);
    expect((await runSeed(seed)).result).toEqual(first);
  });

  test("differs from the next", { timeout: 300_000 }, async () => {
    const [first, second] = [await runSeed(11), await runSeed(12)];
    expect(first.result.traceHash).not.toBe(second.result.traceHash);
    expect(planScenario(11)).toEqual(planScenario(11));
  });
});
