// The extension for lists: what it gives, what it refuses, what it costs before and while it runs. The estimates are those of
// the reference implementation. https://github.com/google/cel-go/blob/v0.26.0/ext/lists_test.go
import { expect, test } from "vitest";
import { CelScope, type CelProgram, type CostSizes } from "../src/index.ts";

const scope = new CelScope({
  d: { is: "dyn" },
  items: { is: "list", items: { is: "dyn" } },
  n: { is: "int" },
  ints: { is: "list", items: { is: "int" } },
  texts: { is: "list", items: { is: "string" } },
  maps: { is: "list", items: { is: "map", values: { is: "string" } } },
});

function program(expression: string): CelProgram {
  const compiled = scope.compile(expression);
  if ("issue" in compiled) throw new Error(compiled.issue);
  return compiled.program;
}

const VALUES = {
  d: [[2], [1]],
  items: [3, 1, 2],
  ints: [3, 1, 2],
  texts: ["b", "a", "b"],
  n: 2,
  maps: [{ x: "b" }, { x: "a" }],
};
const run = (expression: string): { readonly value: unknown; readonly cost: number } =>
  program(expression).run(
    Object.fromEntries(Object.entries(VALUES).map(([name, json]) => [name, scope.value(name, json)])),
  );

test.each([
  "[1, 2, 3, 4].slice(1, 3) == [2, 3] && [1, 2].slice(2, 2) == [] && d.slice(1, 2) == [[1]]",
  "[[1, 2], [3], []].flatten() == [1, 2, 3] && [dyn([dyn(1), dyn([dyn(2), dyn([3])])]), dyn(4)].flatten(2) == [dyn(1), dyn(2), dyn([3]), dyn(4)]",
  "[[1], [2]].flatten(0) == [[1], [2]] && d.flatten() == [2, 1]",
  "['b', 'b', 'c', 'a', 'c'].distinct() == ['b', 'c', 'a'] && texts.distinct() == ['b', 'a']",
  "[duration('60s'), duration('2s'), duration('1m')].distinct() == [duration('60s'), duration('2s')]",
  "duration('1s') in [duration('2s')] == false && [1u, 2u].indexOf(2u) == 1",
  "[b'b', b'a', b'b'].distinct().sort() == [b'a', b'b']",
  "[3, 2, 1].sort() == [1, 2, 3] && items.sort() == [1, 2, 3] && [].sort() == []",
  "[2.5, -1.0].sort() == [-1.0, 2.5] && [true, false].sort() == [false, true] && [3u, 1u].sort() == [1u, 3u]",
  "[duration('2s'), duration('1500ms')].sort() == [duration('1500ms'), duration('2s')]",
  "[timestamp('2026-01-02T00:00:00Z'), timestamp('2026-01-01T00:00:00Z')].sort()[0].getDayOfMonth() == 0",
  // Texts have the order of their bytes.
  "['\\U0001F600', '\\uFF5E'].sort() == ['\\uFF5E', '\\U0001F600']",
  "maps.sortBy(m, m.x).map(m, m.x) == ['a', 'b'] && items.sortBy(i, -i) == [3, 2, 1]",
  "['ccc', 'a', 'bb'].sortBy(t, size(t)) == ['a', 'bb', 'ccc'] && [].sortBy(x, x) == []",
  "texts.sortBy(t, t)[0].size() == 1 && [[3, 1], [2]].sortBy(l, l.sortBy(x, x)[0])[0] == [3, 1]",
  "lists.range(3) == [0, 1, 2] && lists.range(n) == [0, 1] && lists.range(-1) == []",
  "[5, 3, 1].reverse() == [1, 3, 5] && items.reverse() == [2, 1, 3]",
])("%s", (expression) => {
  expect(run(expression).value).toBe(true);
});

test.each([
  ["[1, 2].slice(-1, 1)", "cannot slice(-1, 1), negative indexes not supported"],
  ["[1, 2].slice(2, 1)", "cannot slice(2, 1), start index must be less than or equal to end index"],
  ["[1, 2].slice(0, 3)", "cannot slice(0, 3), list is length 2"],
  ["[[1]].flatten(-1)", "level must be non-negative"],
  ["dyn([dyn(1), dyn('a')]).sort()", "list elements must have the same type"],
  ["items.map(i, dyn([i])).sort()", "list elements must be comparable"],
  ["[1, 2].sortBy(i, i > 1 ? dyn(i) : dyn('a'))", "list elements must have the same type"],
  ["lists.range(2000000)", "actual cost limit exceeded"],
  ["lists.range(1000).sort()", "actual cost limit exceeded"],
  ["lists.range(1000).sortBy(i, -i)", "actual cost limit exceeded"],
])("%s fails", (expression, message) => {
  expect(() => run(expression)).toThrow(message);
});

test.each([
  ["[[1]].sort()", "found no matching overload for 'sort'"],
  ["[1, 2].flatten()", "found no matching overload for 'flatten'"],
  ["texts.sortBy(t, [t])", "found no matching overload for '@sortByAssociatedKeys'"],
  ["n.sortBy(t, t)", "expression of type 'int' cannot be range of a comprehension"],
  ["'a'.slice(0, 1)", "found no matching overload for 'slice'"],
  ["lists.range('a')", "found no matching overload for 'lists.range'"],
])("%s is refused", (expression, text) => {
  expect(() => program(expression)).toThrow(text);
});

const SIZES: Readonly<Record<string, number>> = { items: 3, ints: 5, texts: 10, maps: 3 };
const sizes: CostSizes = {
  size: ([variable, ...rest]) =>
    variable !== undefined && rest.length === 0 && variable in SIZES ? { min: 0, max: SIZES[variable]! } : undefined,
  kind: () => undefined,
};

test.each([
  ["lists.range(4) == [0, 1, 2, 3]", 26, 26],
  ["lists.range(4 / 2) == [0, 1]", Infinity, Infinity],
  ["[dyn([1, 2]), dyn(3)].flatten(1) == [1, 2, 3]", 46, 46],
  ["[dyn([1, 2]), dyn(3)].flatten(2) == [1, 2, 3]", 48, 48],
  ["[dyn([1, 2]), dyn(3)].flatten(n) == [1, 2, 3]", Infinity, Infinity],
  ["[1, 2, 3].distinct() == [1, 2, 3]", 50, 50],
  ["items.distinct() == ['hello']", 23, 41],
  ["[1, 2, 3, 4, 5].slice(n, n) == [2, 3]", 39, 39],
  ["items.slice(1, 3) == [2, 3]", 25, 25],
  ["[1, 2, 3].slice(1, 3) == [1, 2]", 34, 34],
  ["[3, 2, 1].reverse() == [1, 2, 3]", 35, 35],
  ["ints.reverse() == [1, 2, 3]", 23, 28],
  ["[2, 3, 1].sort() == [1, 2, 3]", 50, 50],
  ["ints.sort() == [1, 2, 3]", 23, 73],
  ["texts.sort() == ['a', 'a', 'b', 'b', 'c', 'c']", 23, 233],
  ["ints.sort() == []", 22, 72],
  ["[{'x': 4}, {'x': 3}].sortBy(m, m['x']) == [{'x': 3}, {'x': 4}]", 211, 211],
  ["maps.sortBy(m, m['x']) == [{'x': 'a'}, {'x': 'b'}, {'x': 'c'}]", 136, 197],
])("%s is estimated at %d to %d", (expression, least, most) => {
  const { min, max } = program(expression).estimate(sizes);
  expect([min, max].map((each) => (each > 2 ** 60 ? Infinity : each))).toEqual([least, most]);
});

// A step is counted for each part that is not in the second expression.
test.each([
  ["lists.range(n)", "n", 2 + 13],
  ["d.flatten()", "d", 13],
  ["items.flatten(5)", "items", 1 + 26],
  ["items.reverse()", "items", 14],
  ["items.slice(1, 3)", "items", 2 + 13],
  ["ints.distinct()", "ints", 29],
  ["texts.distinct()", "texts", Math.floor(9 * 2.1) + 11],
  ["ints.sort()", "ints", 29],
  ["texts.sort()", "texts", Math.floor(9 * 2.1) + 11],
  ["texts.sortBy(t, t)", "texts", 3 + Math.floor(9 * 2.1) + 11],
  ["ints.sort().sort()", "ints.sort()", 29],
])("%s costs what %s does and %d more", (expression, parts, more) => {
  expect(run(expression).cost - run(parts).cost).toBe(more);
});
