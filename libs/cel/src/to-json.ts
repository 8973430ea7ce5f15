// Values as JSON: what an expression has made, for others to read. Guarantee: what JSON cannot say is an error that names it.
import { formatTime } from "@coxswain/apimachinery";
import { Optional } from "@marcbachmann/cel-js";
import { Duration } from "@marcbachmann/cel-js/evaluator";
import { CelMessage } from "./syntax/messages.ts";

/** @throws Error for types, functions' own values and keys that are no strings */
export function celToJson(value: unknown): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean" || typeof value === "number")
    return value;
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map((each) => celToJson(each));
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (value instanceof Date) return formatTime(value.getTime());
  if (value instanceof Duration) return String(value);
  if (value instanceof Optional) return value.hasValue() ? celToJson(value.value()) : null;
  if (value instanceof Map) return fromEntries([...value]);
  if (typeof value === "object" && value.constructor === Object) return fromEntries(Object.entries(value));
  throw new Error(
    `a value of the type ${typeof value === "object" ? value.constructor.name : typeof value} has no JSON form`,
  );
}

function fromEntries(entries: readonly (readonly [unknown, unknown])[]): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  for (const [key, value] of entries) {
    if (typeof key !== "string") throw new Error(`map key "${String(key)}" is not a string`);
    Object.defineProperty(made, key, { value: celToJson(value), enumerable: true, writable: true, configurable: true });
  }
  return made;
}

/** What is wrong with the names of the objects that a value is made of: each must say where it stands. */
export function misplacedObjects(value: unknown): string[] {
  return value instanceof CelMessage ? misplaced(value, value.typeName) : [];
}

function misplaced(value: unknown, path: string): string[] {
  if (Array.isArray(value)) return value.flatMap((each) => misplaced(each, path));
  if (!(value instanceof CelMessage)) {
    return value instanceof Map ? [...value.values()].flatMap((each) => misplaced(each, path)) : [];
  }
  const { typeName } = value;
  const wrong = `unexpected type name "${typeName}", expected "${path}", which matches field name path from root Object type`;
  const below = [...value].flatMap(([field, each]) => misplaced(each, `${path}.${field}`));
  return typeName === path ? below : [wrong, ...below];
}
