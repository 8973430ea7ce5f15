// Text that is no JSON says nothing, and is no error.
import { expect, test } from "vitest";
import { jsonOrNothing } from "../src/json-or-nothing.ts";

test.each([
  ['{"a":[1]}', { a: [1] }],
  ["null", null],
  ["", undefined],
  ["{", undefined],
  ["{} trailing", undefined],
])("%s", (text, value) => {
  expect(jsonOrNothing(text)).toEqual(value);
});
