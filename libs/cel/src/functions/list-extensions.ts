// The extension for lists: parts of lists, flat ones, ones without what is twice there, sorted ones.
// https://pkg.go.dev/github.com/google/cel-go/ext#Lists, version 3
import type { ASTNode, Environment } from "@marcbachmann/cel-js";
import {
  identifierOf,
  type CheckContext,
  type CheckedType,
  type Checker,
  type Evaluator,
  type MacroCall,
} from "../syntax/node.ts";
import { sameCelValue } from "../values.ts";
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

interface Sorting {
  readonly range: ASTNode;
  readonly name: string;
  readonly key: ASTNode;
  inner: CheckContext | undefined;
}

function sorting({ args, receiver }: MacroCall): object {
  return {
    range: receiver,
    name: identifierOf(args[0]),
    key: args[1],
    inner: undefined,
    typeCheck(checker: Checker, self: Sorting, context: CheckContext): CheckedType {
      const type = checker.check(self.range, context);
      const dynamic = checker.getType("dyn");
      if (type.kind !== "list" && type.kind !== "dyn") {
        throw checker.createError(
          "invalid_comprehension_range",
          `expression of type '${type.name}' cannot be range of a comprehension (must be list, map, or dynamic)`,
          self.range,
        );
      }
      self.inner = context.forkWithVariable(self.name, type.valueType ?? dynamic);
      const key = checker.check(self.key, self.inner);
      if (key.kind !== "dyn" && key.kind !== "param" && !COMPARABLE.some((name) => name === key.name)) {
        const text = `found no matching overload for '@sortByAssociatedKeys' applied to '${type.name}.(list(${key.name}))'`;
        throw checker.createError("type_mismatch", text, self.key);
      }
      return type.kind === "list" ? type : checker.registry.getListType(dynamic);
    },
    evaluate(evaluator: Evaluator, self: Sorting, context: CheckContext): unknown {
      const list = evaluator.run(self.range, context);
      if (!Array.isArray(list)) throw celError("no such overload");
      const inner = self.inner!.reuse(context);
      const keys = list.map((each) => evaluator.run(self.key, inner.setIterValue(each, evaluator)));
      return sortBy(list, keys);
    },
  };
}

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
  environment.registerFunction("list.sortBy(ast, ast): list<dyn>", sorting as never);
}
