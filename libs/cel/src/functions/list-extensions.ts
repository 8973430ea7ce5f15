// The extension for lists: parts of lists, flat ones, ones without what is twice there, sorted ones.
// https://pkg.go.dev/github.com/google/cel-go/ext#Lists, version 3
import type { Environment } from "@marcbachmann/cel-js";
import type { MacroCall } from "../syntax/node.ts";
import { sameCelValue } from "../values.ts";
import { bodyMacro, type BodyMacroRules } from "./body-macro.ts";
import { notARange } from "./comprehensions.ts";
import { celError, registerAll, type FunctionTable } from "./definition.ts";

type List = readonly unknown[];

/** Types of which there are orders, as the checker calls them. */
const COMPARABLE = [
  "int",
  "uint",
  "double",
  "bool",
  "google.protobuf.Duration",
  "google.protobuf.Timestamp",
  "string",
  "bytes",
] as const;

function slice(list: List, from: bigint, to: bigint): unknown[] {
  const what = `cannot slice(${from}, ${to})`;
  if (from < 0n || to < 0n) throw celError(`${what}, negative indexes not supported`);
  if (from > to) throw celError(`${what}, start index must be less than or equal to end index`);
  if (BigInt(list.length) < to) throw celError(`${what}, list is length ${list.length}`);
  return list.slice(Number(from), Number(to));
}

/** Lists within lists are taken apart `depth` times. */
function flatten(list: List, depth = 1n): unknown[] {
  if (depth < 0n) throw celError("level must be non-negative");
  return list.flatMap((each) => (Array.isArray(each) && depth > 0n ? flatten(each, depth - 1n) : [each]));
}

function distinct(list: List): unknown[] {
  const found: unknown[] = [];
  for (const each of list) if (!found.some((other) => sameCelValue(each, other))) found.push(each);
  return found;
}

/** The meter has stopped what would be too long. */
export function listsRange(count: bigint): bigint[] {
  return Array.from({ length: Math.max(Number(count), 0) }, (_, at) => BigInt(at));
}

/** What two values have in common that can be compared; undefined for a value that cannot. */
function orderOf(value: unknown): unknown {
  if (typeof value !== "object") return typeof value;
  if (value instanceof Uint8Array) return Uint8Array;
  // Timestamps, durations and unsigned numbers stand for a number.
  return value === null || typeof value.valueOf() === "object" ? undefined : value.constructor;
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === "string" && typeof b === "string") return Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  const [left, right] = [a as number, b as number];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The list in the order of the keys, of which there is one for each element. */
function sortBy(list: List, keys: List): unknown[] {
  const order = orderOf(keys[0]);
  if (keys.length > 0 && order === undefined) throw celError("list elements must be comparable");
  if (keys.some((key) => orderOf(key) !== order)) throw celError("list elements must have the same type");
  const places = Array.from(keys.keys()).toSorted((a, b) => compare(keys[a], keys[b]));
  return places.map((place) => list[place]);
}

const SORTING: BodyMacroRules = {
  receive(checker, type, receiver) {
    if (type.kind !== "list" && type.kind !== "dyn") throw notARange(checker, type, receiver);
  },
  result(checker, type, key, body) {
    if (key.kind !== "dyn" && key.kind !== "param" && !COMPARABLE.some((name) => name === key.name)) {
      const text = `found no matching overload for '@sortByAssociatedKeys' applied to '${type.name}.(list(${key.name}))'`;
      throw checker.createError("type_mismatch", text, body);
    }
    return type.kind === "list" ? type : checker.registry.getListType(checker.getType("dyn"));
  },
  evaluate(list, give) {
    if (!Array.isArray(list)) throw celError("no such overload");
    return sortBy(list, list.map(give));
  },
};

const EXTENSIONS: FunctionTable = {
  "list<T>.slice(int, int): list<T>": slice,
  "list<list<T>>.flatten(): list<T>": (list: List) => flatten(list),
  "list<dyn>.flatten(int): list<dyn>": flatten,
  "list<T>.reverse(): list<T>": (list: List) => list.toReversed(),
  "list<T>.distinct(): list<T>": distinct,
};

export function registerListExtensions(environment: Environment): void {
  registerAll(environment, EXTENSIONS);
  for (const type of COMPARABLE) {
    registerAll(environment, { [`list<${type}>.sort(): list<${type}>`]: (list: List) => sortBy(list, list) });
  }
  environment.registerFunction("list.sortBy(ast, ast): list<dyn>", ((call: MacroCall) =>
    bodyMacro(call, SORTING)) as never);
}
