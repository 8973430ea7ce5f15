// A process that keeps dying is started ever more slowly, and one that ran well starts at once.
import { expect, test } from "vitest";
import { planRestart, RESTART_POLICY } from "../src/restart-policy.ts";

test("the delay doubles up to its limit, and a long run resets it", () => {
  let history = { streak: 0 };
  const delays: number[] = [];
  for (let death = 0; death < 10; death++) {
    const plan = planRestart(history, 10);
    delays.push(plan.delayMs);
    history = plan.history;
  }
  expect(delays.slice(0, 4)).toEqual([100, 200, 400, 800]);
  expect(delays.at(-1)).toBe(RESTART_POLICY.maxDelayMs);
  expect(planRestart(history, RESTART_POLICY.resetAfterMs).delayMs).toBe(100);
});
