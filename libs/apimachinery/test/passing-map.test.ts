// The map of what comes and goes: a Map in what it holds, and nothing kept of what has left.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { expect, test } from "vitest";
import { PassingMap } from "../src/passing-map.ts";

interface Item {
  readonly id: number;
}

test("it holds what a Map holds, in the same order", () => {
  const key = fc.nat(9);
  const step = fc.oneof(
    fc.record({ op: fc.constant("set" as const), key }),
    fc.record({ op: fc.constant("take" as const), key }),
    fc.record({ op: fc.constant("get" as const), key }),
    fc.record({ op: fc.constant("takeFirst" as const), key }),
    fc.record({ op: fc.constant("clear" as const), key }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const [map, model] = [new PassingMap<number, Item>(), new Map<number, Item>()];
      for (const [id, { op, key: at }] of steps.entries()) {
        if (op === "set") {
          const item = { id };
          map.set(at, item);
          model.set(at, item);
        } else if (op === "get") {
          expect(map.get(at)).toBe(model.get(at));
        } else if (op === "take") {
          expect(map.take(at)).toBe(model.get(at));
          model.delete(at);
        } else if (op === "takeFirst") {
          const [first] = model.keys();
          expect(map.takeFirst()).toBe(first === undefined ? undefined : model.get(first));
          if (first !== undefined) model.delete(first);
        } else {
          map.clear();
          model.clear();
        }
        expect(map.size).toBe(model.size);
        expect([...map.values()]).toEqual([...model.values()]);
      }
    }),
  );
});

test("what has left is garbage for a scavenge, also after the map has been through a full collection", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options: { readonly type: "major" | "minor" }) => void;
  const NUMBERS = 100;
  const ROUND = 20_000;
  const map = new PassingMap<number, Item & { readonly numbers: readonly number[] }>();
  let made = 0;
  // 64 are there at any time.
  const pass = (count: number): void => {
    for (const end = made + count; made < end; made++) {
      map.set(made, { id: made, numbers: Array.from({ length: NUMBERS }, () => 0.5) });
      map.take(made - 64);
    }
  };
  pass(1_000);
  collect({ type: "major" });
  const before = process.memoryUsage().heapUsed;
  let most = 0;
  for (let round = 0; round < 3; round++) {
    pass(ROUND);
    collect({ type: "minor" });
    most = Math.max(most, process.memoryUsage().heapUsed - before);
  }
  // A Map keeps more than half.
  expect(most).toBeLessThan((3 * ROUND * NUMBERS * 8) / 4);
});
