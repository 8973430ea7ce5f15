// What rules are estimated to cost by the limits of their schema, and which are refused for it. The figures of the table are
// upstream's: https://github.com/kubernetes/apiextensions-apiserver/blob/v0.35.0/pkg/apiserver/schema/cel/compilation_test.go
import { fieldErrorText } from "@coxswain/apimachinery";
import { expect, test } from "vitest";
import { compileRulesAt } from "../src/apiextensions-v1/structural/cel-rules.ts";
import { costSizes, sizedSchema } from "../src/apiextensions-v1/structural/cel-sizes.ts";
import { structuralSchema } from "../src/apiextensions-v1/structural/schema.ts";
import { validateRules } from "../src/apiextensions-v1/structural/validate-rules.ts";
import type { JsonSchemaProps } from "../src/apiextensions-v1/types.ts";

type Make = (limit: number | undefined) => JsonSchemaProps;

const limited = (key: "maxItems" | "maxProperties" | "maxLength", limit: number | undefined): JsonSchemaProps =>
  limit === undefined ? {} : { [key]: limit };

const FORMATS = ["duration", "date", "date-time"];

function simple(type: string): JsonSchemaProps {
  if (type === "int-or-string") return { "x-kubernetes-int-or-string": true };
  return FORMATS.includes(type) ? { type: "string", format: type } : { type };
}

const text: Make = (limit) => ({ type: "string", ...limited("maxLength", limit) });
const list =
  (items: Make): Make =>
  (limit) => ({ type: "array", items: items(limit), ...limited("maxItems", limit) });
const map =
  (values: Make): Make =>
  (limit) => ({ type: "object", additionalProperties: values(limit), ...limited("maxProperties", limit) });
const one =
  (type: string): Make =>
  () =>
    simple(type);
const object: Make = () => ({
  type: "object",
  required: ["required"],
  properties: { required: { type: "string" }, optional: { type: "string" } },
});
const record = (properties: Record<string, Make>): Make => {
  return (limit) => ({
    type: "object",
    properties: Object.fromEntries(Object.entries(properties).map(([name, make]) => [name, make(limit)])),
  });
};
const fixedText =
  (maxLength: number): Make =>
  () => ({ type: "string", maxLength });

function costOf(make: Make, rule: string, limit: number | undefined): number {
  const schema = structuralSchema({ ...make(limit), "x-kubernetes-validations": [{ rule }] });
  const [compiled] = compileRulesAt(schema, false);
  if (compiled?.program === undefined) throw new Error(compiled?.issue);
  return compiled.program.estimate(costSizes(sizedSchema(schema, false)!)).max;
}

const TRUE = "self.all(x, true)";

test.each<[string, Make, string, number, number, number]>([
  ["numbers", list(one("number")), TRUE, 4_718_591, 10, 32],
  ["texts", list(one("string")), TRUE, 3_145_727, 20, 62],
  ["booleans", list(one("boolean")), TRUE, 1_887_437, 5, 17],
  ["lists", list(list(one("number"))), TRUE, 3_145_727, 100, 302],
  ["objects", list(object), TRUE, 555_128, 50, 152],
  ["a map of numbers", map(one("number")), TRUE, 1_348_169, 10, 32],
  ["a map of texts", map(one("string")), TRUE, 1_179_647, 3, 11],
  ["a map of booleans", map(one("boolean")), TRUE, 943_718, 100, 302],
  ["contains", text, "self.contains('test')", 314_574, 10, 5],
  ["startsWith", text, "self.startsWith('test')", 2, 15, 2],
  ["endsWith", text, "self.endsWith('test')", 2, 30, 2],
  ["texts put together", text, `size(self + "hello") > size("hello")`, 314_578, 4, 7],
  ["a number by its index", list(one("number")), "self[1] == 0.0", 2, 5_000, 2],
  ["texts by their index", list(one("string")), "self[1] == self[1]", 314_577, 8, 314_577],
  ["loop in loop", list(one("number")), "self.all(x, self.all(y, true))", Infinity, 10, 352],
  ["three loops", list(one("number")), "self.all(x, self.all(y, self.all(z, true)))", Infinity, 10, 3_552],
  ["a pattern", text, `self.matches("x")`, 314_574, 50, 22],
  ["a pattern of nothing", text, `"".matches("(((((((((())))))))))[0-9]")`, 7, 10, 7],
  ["an empty pattern", text, `self.matches("")`, 1, 100, 1],
  ["values by key", map(text), "self.all(x, x.contains(self[x]))", 2_752_507, 10, 72],
  ["no items", list(one("number")), "self[3] == 0.0", 2, 0, 2],
  ["no entries", map(one("number")), `self["x"] == 0.0`, 2, 0, 2],
  ["no characters", text, `self == "x"`, 2, 0, 1],
  [
    "no bytes",
    (limit) => ({ type: "string", format: "byte", ...limited("maxLength", limit) }),
    `self == b"x"`,
    2,
    0,
    1,
  ],
  ["more than fits", list(one("number")), "self.all(x, x == 0.0)", 6_291_454, 3 * 1024 * 2048, 25_165_826],
  ["maps in a list", list(map(object)), `self.all(x, x["y"].required == "z")`, 7_340_027, 10, 72],
  ["int or string", list(one("int-or-string")), TRUE, 4_718_591, 10, 32],
  ["int or string by its index", list(one("int-or-string")), "self[0] == 5", 3, 10, 3],
  ["booleans by their index", list(one("boolean")), "self[0] == false", 2, 25, 2],
  ["objects by their index", list(object), "self[0] == null", 2, 422, 2],
  ["lists by their index", list(list(one("number"))), "self[0][0] == -1.0", 3, 51, 3],
  ["durations", list(one("duration")), TRUE, 2_359_295, 5, 17],
  ["a duration's hours", list(one("duration")), "self[0].getHours() == 2", 4, 525, 4],
  ["dates", list(one("date")), TRUE, 725_936, 15, 47],
  ["a date's day", list(one("date")), "self[2].getDayOfMonth() == 13", 4, 42, 4],
  ["times", list(one("date-time")), TRUE, 428_963, 25, 77],
  ["maps of int or string", map(one("int-or-string")), TRUE, 1_348_169, 15, 47],
  ["a map of objects", map(object), TRUE, 428_963, 20, 62],
  ["a map of maps", map(map(one("number"))), TRUE, 1_179_647, 10, 32],
  ["a map of lists", map(list(one("number"))), TRUE, 1_179_647, 25, 77],
  ["a map of durations", map(one("duration")), TRUE, 1_048_577, 5, 17],
  ["a map of dates", map(one("date")), TRUE, 524_288, 10, 32],
  ["a map of times", map(one("date-time")), TRUE, 349_526, 25, 77],
  ["find", text, "self.find('[0-9]+') == ''", 629_147, 10, 11],
  ["join", list(text), "self.join(' ') == 'aa bb'", 329_853_068_905, 10, 43],
  ["isSorted", list(text), "self.isSorted() == true", 329_854_432_052, 10, 52],
  [
    "replace",
    record({ str: text, before: fixedText(2), after: fixedText(4) }),
    "self.str.replace(self.before, self.after) == 'does not matter'",
    629_154,
    4,
    12,
  ],
  ["split", record({ str: text, separator: text }), "self.str.split(self.separator) == []", 629_160, 10, 22],
  ["lowerAscii", text, "self.lowerAscii() == 'lower!'", 314_575, 10, 6],
  ["size", map(one("integer")), "oldSelf.size() == self.size()", 5, 10, 5],
  ["times compared", map(one("date-time")), `self["a"] == self["b"]`, 8, 7, 8],
  [
    "values of an enum",
    (limit) => ({ type: "string", enum: ["A", "B", "C", "LongValue"], ...limited("maxLength", limit) }),
    "self.contains('A')",
    2,
    1_000,
    401,
  ],
  [
    "a quantity",
    (limit) => ({ "x-kubernetes-int-or-string": true, ...limited("maxLength", limit) }),
    "isQuantity(self)",
    314_574,
    20,
    9,
  ],
])("%s", (_name, make, rule, open, limit, bounded) => {
  const cost = costOf(make, rule, undefined);
  if (open === Infinity) expect(cost).toBeGreaterThan(10_000_000);
  else expect(cost).toBe(open);
  expect(costOf(make, rule, limit)).toBe(bounded);
});

test("a value that may be null costs as one that may not", () => {
  const nullable = (spec: JsonSchemaProps): Make => {
    return () => ({ type: "object", properties: { spec: { ...spec, nullable: true } } });
  };
  const items = list(text)(10);
  expect(costOf(nullable(items), "self.spec.all(x, x == 'a')", undefined)).toBe(
    costOf(() => ({ type: "object", properties: { spec: items } }), "self.spec.all(x, x == 'a')", undefined),
  );
});

const HINT =
  "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)";

function issues(spec: JsonSchemaProps, costAccepted = false): string[] {
  const schema = structuralSchema({ type: "object", properties: { spec } });
  return validateRules(schema, "schema", { costAccepted }).map((error) => fieldErrorText(error));
}

const AT = "schema.properties[spec].x-kubernetes-validations[0]";
const twice = "self.all(x, self.all(y, x == y))";
const TOTAL = (factor: string): string =>
  `schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of ${factor} ${HINT}`;
const contributed = (at: string): string =>
  `${at}: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema`;

test("a rule that may cost too much is refused, and one with limits is not", () => {
  const texts = { type: "array", items: { type: "string" } };
  const rules = { "x-kubernetes-validations": [{ rule: twice }] };
  expect(issues({ ...texts, ...rules })).toEqual([
    `${AT}.rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x ${HINT}`,
    contributed(`${AT}.rule`),
    TOTAL("more than 100x"),
  ]);
  const bounded = { ...texts, maxItems: 10, items: { type: "string", maxLength: 20 }, ...rules };
  expect(issues(bounded)).toEqual([]);
  // What was accepted once is not refused for what one rule costs, but still for what all do.
  expect(issues({ ...texts, ...rules }, true)).toEqual([contributed(`${AT}.rule`), TOTAL("more than 100x")]);
});

test("the factor is told with the precision that says something", () => {
  const rule = (maxItems: number): JsonSchemaProps => ({
    type: "array",
    maxItems,
    items: { type: "integer" },
    "x-kubernetes-validations": [{ rule: TRUE }],
  });
  expect(issues(rule(3_333_332))).toEqual([]);
  expect(issues(rule(3_500_000))).toEqual([
    `${AT}.rule: Forbidden: estimated rule cost exceeds budget by factor of 1.050000x ${HINT}`,
  ]);
  expect(issues(rule(10_000_000))).toEqual([
    `${AT}.rule: Forbidden: estimated rule cost exceeds budget by factor of 3.0x ${HINT}`,
  ]);
});

test("a rule below lists and maps counts as often as it may be asked", () => {
  const item = { type: "string", maxLength: 1_000, "x-kubernetes-validations": [{ rule: "self.contains('abc')" }] };
  const path = "schema.properties[spec].items.items.x-kubernetes-validations[0].rule";
  const nested = (maxItems: number | undefined): JsonSchemaProps => ({
    type: "array",
    maxItems: 100,
    items: { type: "array", items: item, ...limited("maxItems", maxItems) },
  });
  // 4,000 bytes at most, a tenth of that for the walk and one for the rule's own variable: 401 for each of 100 times maxItems.
  expect(issues(nested(200))).toEqual([]);
  expect(issues(nested(300))).toEqual([
    `${path}: Forbidden: estimated rule cost exceeds budget by factor of 1.203000x ${HINT}`,
  ]);
  // Without a limit, as often as the shortest text fits into a request.
  const often = Math.floor((3 * 1024 * 1024) / 3);
  expect(issues(nested(undefined))).toEqual([
    `${path}: Forbidden: estimated rule cost exceeds budget by factor of ${((401 * often) / 1e7).toFixed(1)}x ${HINT}`,
    contributed(path),
    TOTAL(`${((401 * often) / 1e8).toFixed(1)}x`),
  ]);
});

test("the four dearest rules are named where all together cost too much", () => {
  const rule = { rule: TRUE };
  const large = (maxItems: number): JsonSchemaProps => ({
    type: "array",
    maxItems,
    items: { type: "integer" },
    "x-kubernetes-validations": Array.from({ length: 3 }, () => rule),
  });
  const properties = Object.fromEntries(
    Array.from({ length: 4 }, (_, index) => [`l${index}`, large(index === 3 ? 3_333_000 : 3_000_000)]),
  );
  const found = issues({ type: "object", properties });
  const at = (name: string, index: number): string =>
    `schema.properties[spec].properties[${name}].x-kubernetes-validations[${index}].rule`;
  expect(found).toEqual([
    contributed(at("l3", 0)),
    contributed(at("l3", 1)),
    contributed(at("l3", 2)),
    contributed(at("l0", 0)),
    TOTAL("1.109970x"),
  ]);
});

test("an expression for the message counts too, once", () => {
  const spec = {
    type: "array",
    items: { type: "string" },
    "x-kubernetes-validations": [{ rule: "true", messageExpression: "self.join(',')" }],
  };
  expect(issues(spec)[0]).toBe(
    `${AT}.messageExpression: Forbidden: estimated messageExpression cost exceeds budget by factor of more than 100x ${HINT}`,
  );
});
