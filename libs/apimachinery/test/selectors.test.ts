// Selectors match and print as upstream's; bad ones are refused in its words.
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  fieldErrorText,
  labelSelectorAsSelector,
  parseFieldSelector,
  parseLabelSelector,
  StatusError,
  validateLabelSelector,
} from "../src/index.ts";

test.each([
  ["", {}, true],
  ["a=b", { a: "b" }, true],
  ["a==b,c!=d", { a: "b" }, true],
  ["a in (x, y)", { a: "y" }, true],
  ["a notin (x)", {}, true],
  ["a notin (x)", { a: "x" }, false],
  ["a,!b", { a: "" }, true],
  ["a,!b", { a: "", b: "" }, false],
  ["n>5", { n: "6" }, true],
  ["n<5", { n: "x" }, false],
  ["toString", {}, false],
  ["a in (,x)", { a: "" }, true],
])("%s on %j", (text, labels: Record<string, string>, expected) => {
  expect(parseLabelSelector(text).matches(labels)).toBe(expected);
});

test.each([
  ["b,a in (y,x)", "a in (x,y),b"],
  ["x = 1 , !y", "x=1,!y"],
  ["x in ()", "x in ()"],
])("%s prints as %s", (text, printed) => expect(parseLabelSelector(text).toString()).toBe(printed));

test.each([
  ["a,", "found '', expected: identifier after ','"],
  ["a in x", "unable to parse requirement: found 'x' expected: '('"],
  ["a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
  ["a=b c", "found 'c', expected: ',' or 'end of string'"],
])("%s is refused", (text, message) => expect(() => parseLabelSelector(text)).toThrow(message));

test("any text is parsed or refused with a StatusError", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."ab=!(),<> \t/in.".split("")) }), (text) => {
      try {
        const selector = parseLabelSelector(text);
        expect(parseLabelSelector(selector.toString()).toString()).toBe(selector.toString());
      } catch (error) {
        expect(error).toBeInstanceOf(StatusError);
      }
    }),
  );
});

test("the object form: absent selects nothing, empty everything", () => {
  expect(labelSelectorAsSelector(undefined).matches({ a: "b" })).toBe(false);
  expect(labelSelectorAsSelector({}).matches({ a: "b" })).toBe(true);
  const selector = labelSelectorAsSelector({
    matchLabels: { a: "b" },
    matchExpressions: [{ key: "c", operator: "DoesNotExist" }],
  });
  expect(selector.matches({ a: "b" })).toBe(true);
  expect(selector.toString()).toBe("a=b,!c");
  const errors = validateLabelSelector({ matchExpressions: [{ key: "", operator: "In" }] }, "spec.selector");
  expect(errors.map((error) => fieldErrorText(error))[0]).toBe(
    "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
  );
});

test("field selectors", () => {
  const selector = parseFieldSelector("a.b=c\\,d,x!=y,z==w");
  expect(selector.requirements).toEqual([
    { field: "a.b", op: "=", value: "c,d" },
    { field: "x", op: "!=", value: "y" },
    { field: "z", op: "=", value: "w" },
  ]);
  expect(selector.matches({ "a.b": "c,d", z: "w" })).toBe(true);
  expect(selector.toString()).toBe("a.b=c\\,d,x!=y,z=w");
  expect(() => parseFieldSelector("nope")).toThrow("invalid selector: 'nope'; can't understand 'nope'");
});
