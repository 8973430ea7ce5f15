// What calls cost when they run, by what they are given: those whose work is not told by what they return.
// https://github.com/google/cel-go/blob/v0.26.0/ext/lists.go
import { LIST_COST, SELF_COMPARISON, STRING_FACTOR } from "./calls.ts";

type Values = readonly unknown[];
/** `values` are those of target and arguments: the last of a macro is its body's last one. Undefined for a value of another type. */
export type RuntimeRule = (values: Values) => number | undefined;

const made = (steps: number): number => Math.floor(steps) + 1 + LIST_COST;

function compared(count: number, key: unknown): number {
  const texts = typeof key === "string" || key instanceof Uint8Array;
  return made(count * count * (SELF_COMPARISON + (texts ? STRING_FACTOR : 0)));
}

const overList =
  (cost: (list: Values, ...args: Values) => number): RuntimeRule =>
  ([list, ...args]) =>
    Array.isArray(list) ? cost(list, ...args) : undefined;

/** Of what makes or compares lists, by the function's name. */
const RULES: Readonly<Record<string, RuntimeRule>> = {
  slice: overList((list, from, to) => made(Math.max(Math.min(Number(to), list.length) - Number(from), 0))),
  flatten: overList((list, depth = 1) => made(list.length * Math.max(Number(depth), 0))),
  reverse: overList((list) => made(list.length)),
  distinct: overList((list) => compared(list.length, list[0])),
  sort: overList((list) => compared(list.length, list[0])),
  sortBy: overList((list, _name, key) => compared(list.length, key)),
};

const range: RuntimeRule = ([, count]) => made(Math.max(Number(count), 0));

/** `namespace` is the name before the function's; undefined where that is a value. */
export function runtimeRule(namespace: string | undefined, name: string): RuntimeRule | undefined {
  if (namespace !== undefined) return namespace === "lists" && name === "range" ? range : undefined;
  return Object.hasOwn(RULES, name) ? RULES[name] : undefined;
}
