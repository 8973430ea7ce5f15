// How many transactions share a commit: two groups take turns, and few are not spread thin.
import { expect, test } from "vitest";
import { groupSize } from "../src/transaction.ts";

const GROUPS = 2;

/** Sizes of the groups that go out for `writers`, each of which writes again when it is answered; the older group is answered first. */
function turns(writers: number, count: number): number[] {
  const underWay: number[] = [];
  const sizes: number[] = [];
  let waiting = writers;
  while (sizes.length < count) {
    while (underWay.length < GROUPS && waiting > 0) {
      const sum = underWay.reduce((total, size) => total + size, 0);
      const size = Math.min(waiting, groupSize(waiting, sum, GROUPS));
      underWay.push(size);
      sizes.push(size);
      waiting -= size;
    }
    waiting += underWay.shift()!;
  }
  return sizes;
}

test("writers that go on when they are answered stay in two halves, so that one is answered while the other is written", () => {
  expect(turns(64, 6)).toEqual([32, 32, 32, 32, 32, 32]);
  expect(turns(100, 6)).toEqual([50, 50, 50, 50, 50, 50]);
});

test("few writers share one group", () => {
  expect(turns(1, 3)).toEqual([1, 1, 1]);
  expect(turns(20, 3)).toEqual([20, 20, 20]);
});
