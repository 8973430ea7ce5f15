// What is remembered by its text: bounded, and what is asked for stays.
import fc from "fast-check";
import { expect, test } from "vitest";
import { RecentTexts } from "../src/index.ts";

test("a text has the value that was given last, or is forgotten", () => {
  const texts = fc.constantFrom("a", "bb", "ccc", "dddd");
  fc.assert(
    fc.property(fc.array(fc.tuple(texts, fc.option(fc.nat(), { nil: undefined }))), (steps) => {
      const known = new RecentTexts<number>(6);
      const last = new Map<string, number>();
      for (const [text, value] of steps) {
        if (value !== undefined) {
          known.set(text, value);
          last.set(text, value);
        } else expect([undefined, last.get(text)]).toContain(known.get(text));
      }
    }),
  );
});

test("what is asked for stays, and what is not goes", () => {
  const known = new RecentTexts<number>(4);
  known.set("kept", 1);
  known.set("lost", 2);
  for (const text of ["new1", "new2", "new3"]) {
    expect(known.get("kept")).toBe(1);
    known.set(text, 3);
  }
  expect(known.get("lost")).toBeUndefined();
});
