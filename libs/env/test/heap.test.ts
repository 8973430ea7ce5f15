// What comes out of the heap is always the first of what is in it.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Heap } from "../src/heap.ts";

test("an empty heap has nothing to give, before and after it held something", () => {
  const heap = new Heap<number>((a, b) => a < b);
  expect([heap.peek(), heap.pop()]).toEqual([undefined, undefined]);
  heap.push(1);
  expect([heap.peek(), heap.pop(), heap.peek(), heap.pop()]).toEqual([1, 1, undefined, undefined]);
});

test("property: whatever is pushed and popped in between, the first comes out, and nothing is lost", () => {
  // A number is pushed; undefined pops.
  const steps = fc.array(fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined, freq: 3 }), { maxLength: 80 });
  fc.assert(
    fc.property(steps, (pushed) => {
      const heap = new Heap<number>((a, b) => a < b);
      const model: number[] = [];
      for (const number of pushed) {
        if (number === undefined) expect(heap.pop()).toBe(model.shift());
        else {
          heap.push(number);
          model.push(number);
          model.sort((a, b) => a - b);
        }
        expect(heap.peek()).toBe(model[0]);
      }
      for (const number of model) expect(heap.pop()).toBe(number);
      expect(heap.pop()).toBeUndefined();
    }),
  );
});
