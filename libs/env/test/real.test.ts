// Timers of the real environment whose time the platform's own would not keep: it takes more than 24.8 days for a millisecond.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createRealEnv, type AbortError } from "../src/index.ts";

const DAY_MS = 86_400_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a timer of months runs when they are over, once", async () => {
  const { timers } = createRealEnv();
  const run = vi.fn();
  timers.setTimeout(run, 90 * DAY_MS);
  await vi.advanceTimersByTimeAsync(90 * DAY_MS - 1);
  expect(run).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(run).toHaveBeenCalledOnce();
  expect(vi.getTimerCount()).toBe(0);
});

test("it is cancelled in its second month as in its first", async () => {
  const { timers } = createRealEnv();
  const run = vi.fn();
  const handle = timers.setTimeout(run, 90 * DAY_MS);
  await vi.advanceTimersByTimeAsync(40 * DAY_MS);
  timers.clear(handle);
  expect(vi.getTimerCount()).toBe(0);
});

test("a sleep of months ends when they are over, or when it is given up", async () => {
  const { timers } = createRealEnv();
  const ended: string[] = [];
  const given = new AbortController();
  void timers.sleep(60 * DAY_MS).then(() => ended.push("slept"));
  void timers.sleep(60 * DAY_MS, given.signal).catch((error: unknown) => ended.push((error as AbortError).name));
  await vi.advanceTimersByTimeAsync(59 * DAY_MS);
  expect(ended).toEqual([]);
  given.abort();
  await vi.advanceTimersByTimeAsync(1);
  expect(ended).toEqual(["AbortError"]);
  await vi.advanceTimersByTimeAsync(DAY_MS);
  expect(ended).toEqual(["AbortError", "slept"]);
});

test("time that has passed already is none", async () => {
  const { timers } = createRealEnv();
  const warned = vi.spyOn(process, "emitWarning");
  const run = vi.fn();
  timers.setTimeout(run, -5);
  await vi.advanceTimersByTimeAsync(1);
  expect(run).toHaveBeenCalledOnce();
  expect(() => timers.timeoutSignal(-5)).not.toThrow();
  expect(() => timers.timeoutSignal(90 * DAY_MS)).not.toThrow();
  expect(warned).not.toHaveBeenCalled();
});
