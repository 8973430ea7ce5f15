// The position in a sorted list is the one that a search from the front would find.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { lowerBound } from "../src/lower-bound.ts";

test("property: the first element that is not before, in the whole list or in its end", () => {
  const number = fc.nat(10);
  fc.assert(
    fc.property(fc.array(number, { maxLength: 20 }), number, fc.nat(20), (numbers, target, start) => {
      const sorted = numbers.toSorted((a, b) => a - b);
      const from = Math.min(start, sorted.length);
      const found = sorted.findIndex((each, at) => at >= from && each >= target);
      expect(lowerBound(sorted, (each) => each < target, from)).toBe(found < 0 ? sorted.length : found);
    }),
  );
});
