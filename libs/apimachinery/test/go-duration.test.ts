// Durations as Go reads them.
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseGoDuration } from "../src/go-duration.ts";

test.each<[string, number]>([
  ["0", 0],
  ["+0", 0],
  ["-0", 0],
  ["-0s", 0],
  ["10s", 10_000],
  ["1m30s", 90_000],
  ["1h2m3.5s", 3_723_500],
  ["1.5h", 5_400_000],
  ["250ms", 250],
  ["-1.5m", -90_000],
  ["+5s", 5_000],
  [".5s", 500],
  ["1.s", 1_000],
  ["1us", 0.001],
  ["3µs", 0.003],
  ["3μs", 0.003],
  ["1s1h", 3_601_000],
  ["2562047h47m16.8s", 9_223_372_036_800],
])("%j is %d ms", (text, ms) => {
  expect(parseGoDuration(text)).toBeCloseTo(ms, 9);
});

test.each([
  ["", 'time: invalid duration ""'],
  ["-", 'time: invalid duration "-"'],
  ["3", 'time: missing unit in duration "3"'],
  ["1m30", 'time: missing unit in duration "1m30"'],
  ["one", 'time: invalid duration "one"'],
  ["s", 'time: invalid duration "s"'],
  [".s", 'time: invalid duration ".s"'],
  ["1 s", 'time: unknown unit " s" in duration "1 s"'],
  ["1d", 'time: unknown unit "d" in duration "1d"'],
  ["--1s", 'time: invalid duration "--1s"'],
  ["1.2.3s", 'time: missing unit in duration "1.2.3s"'],
  ["9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'],
])("%j is none: %s", (text, message) => {
  expect(() => parseGoDuration(text)).toThrow(message);
});

test("whatever amounts are joined, they add up", () => {
  const units: readonly [string, number][] = [
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1_000],
    ["ms", 1],
  ];
  const part = fc.record({ amount: fc.nat(1_000), unit: fc.constantFrom(...units) });
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), fc.boolean(), (parts, negative) => {
      const text = `${negative ? "-" : ""}${parts.map(({ amount, unit }) => `${amount}${unit[0]}`).join("")}`;
      const sum = parts.reduce((total, { amount, unit }) => total + amount * unit[1], 0);
      expect(parseGoDuration(text)).toBe(negative && sum > 0 ? -sum : sum);
    }),
  );
});
