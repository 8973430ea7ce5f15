// The types that rules see, declared from schemas, and JSON values as values of these types.
import { deepEqual, isJsonObject, parseTime } from "@coxswain/apimachinery";
import { evaluate, EvaluationError, Optional, type Environment } from "@marcbachmann/cel-js";
import { sameItems, withIdentity, type ListIdentity } from "./list-identity.ts";

export type CelType =
  | { readonly is: "string" | "int" | "double" | "bool" | "bytes" | "timestamp" | "duration" | "dyn" }
  | { readonly is: "list"; readonly items: CelType; readonly identity?: ListIdentity | undefined }
  | { readonly is: "map"; readonly values: CelType }
  | {
      readonly is: "object";
      /** By the field's own name. */
      readonly fields: Readonly<Record<string, CelType>>;
      /** As errors call it, for a type that stands in no schema: its fields are reached by their own names then. */
      readonly name?: string;
    }
  /** A type that the libraries or another variable have declared, or one that a program has. */
  | { readonly is: "declared"; readonly name: string };

/** An object with declared fields. Each object type has a class of its own, by which the evaluator knows it. */
class CelObject {
  get [Symbol.toStringTag](): string {
    return "object";
  }
}

/** What objects were made of: what their types do not declare counts where they are compared. */
const sources = new WeakMap<
  object,
  { readonly json: Record<string, unknown>; readonly declared: ReadonlySet<string> }
>();

/** A type as the evaluator knows it, and how JSON becomes a value of it. */
export interface DeclaredType {
  readonly name: string;
  /** Undefined where the JSON is not of the type: what is wrong with it is told elsewhere. */
  value(json: unknown): unknown;
  /** For objects: one without members. */
  readonly make?: () => object;
}

const RESERVED = new Set(
  "true false null in as break const continue else for function if import let loop package namespace return var void while".split(
    " ",
  ),
);

/** Words that have a meaning of their own even behind a dot. */
const NO_NAMES = new Set(["true", "false", "null", "in"]);

/** The name under which rules reach a field; undefined where they cannot. */
export function celFieldName(name: string): string | undefined {
  if (RESERVED.has(name)) return `__${name}__`;
  const escaped = name
    .replaceAll("__", "__underscores__")
    .replaceAll(".", "__dot__")
    .replaceAll("-", "__dash__")
    .replaceAll("/", "__slash__");
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(escaped) ? escaped : undefined;
}

const TIMESTAMP = "google.protobuf.Timestamp";
const DURATION = "google.protobuf.Duration";

/** What is declared in an environment: a type that stands in several places is declared once. */
export type Declared = Map<CelType, DeclaredType>;

/** Declares `type` and all that it holds in `environment`; `name` must be new there. */
export function declareType(environment: Environment, type: CelType, name: string, declared: Declared): DeclaredType {
  const known = declared.get(type);
  if (known !== undefined) return known;
  const made = makeType(environment, type, name, declared);
  declared.set(type, made);
  return made;
}

function makeType(environment: Environment, type: CelType, name: string, declared: Declared): DeclaredType {
  switch (type.is) {
    case "list":
      return declareList(declareType(environment, type.items, `${name}.items`, declared), type.identity);
    case "map":
      return declareMap(declareType(environment, type.values, `${name}.values`, declared));
    case "object":
      return declareObject(environment, type, type.name ?? name, declared);
    case "declared":
      return { name: type.name, value: (value) => value };
    case "int":
      return { name: "int", value: (json) => (typeof json === "number" ? BigInt(Math.trunc(json)) : undefined) };
    case "timestamp":
      return { name: TIMESTAMP, value: timestamp };
    case "duration":
      return { name: DURATION, value: duration };
    case "bytes":
      return { name: "bytes", value: (json) => (typeof json === "string" ? Buffer.from(json, "base64") : undefined) };
    case "dyn":
      return { name: "dyn", value: dynamicValue };
    case "double":
      return { name: "double", value: (json) => (typeof json === "number" ? json : undefined) };
    case "string":
    case "bool":
    default:
      return { name: type.is, value: (json) => (json === null ? undefined : json) };
  }
}

function timestamp(json: unknown): unknown {
  const ms = typeof json === "string" ? parseTime(json.includes("T") ? json : `${json}T00:00:00Z`) : undefined;
  return ms === undefined ? undefined : new Date(ms);
}

function duration(json: unknown): unknown {
  if (typeof json !== "string") return undefined;
  try {
    return evaluate("duration(text)", { text: json });
  } catch (error) {
    // A text that is no duration is told by the schema's format.
    if (error instanceof EvaluationError) return undefined;
    throw error;
  }
}

function declareList(items: DeclaredType, identity: ListIdentity | undefined): DeclaredType {
  return {
    name: `list<${items.name}>`,
    value: (json) =>
      Array.isArray(json)
        ? withIdentity(
            json.map((each) => items.value(each) ?? null),
            identity,
          )
        : undefined,
  };
}

function declareMap(values: DeclaredType): DeclaredType {
  return {
    name: `map<string, ${values.name}>`,
    value: (json) =>
      isJsonObject(json)
        ? new Map(Object.entries(json).map(([key, each]) => [key, values.value(each) ?? null]))
        : undefined,
  };
}

function declareObject(
  environment: Environment,
  { fields: given, name: own }: CelType & { readonly is: "object" },
  name: string,
  known: Declared,
): DeclaredType {
  const fields = new Map<string, { readonly as: string; readonly type: DeclaredType }>();
  const escapes = own === undefined;
  const declared: Record<string, string> = {};
  for (const [field, type] of Object.entries(given)) {
    const as = own === undefined ? celFieldName(field) : field;
    if (as === undefined) continue;
    const made = declareType(environment, type, `${name}.${as}`, known);
    fields.set(field, { as, type: made });
    declared[as] = made.name;
    // Most reserved words can be told from names behind a dot.
    if (escapes && RESERVED.has(field) && !NO_NAMES.has(field)) declared[field] = made.name;
  }
  const names = new Set(fields.keys());
  const ctor = class extends CelObject {};
  environment.registerType(name, { ctor, fields: declared } as never);
  return {
    name,
    make: () => new ctor(),
    value(json) {
      if (!isJsonObject(json)) return undefined;
      const members: Record<string, unknown> = {};
      for (const [field, { as, type }] of fields) {
        // Null is as good as absent.
        const given = Object.hasOwn(json, field) ? (json[field] ?? undefined) : undefined;
        const member = given === undefined ? undefined : type.value(given);
        if (member === undefined) continue;
        members[as] = member;
        if (Object.hasOwn(declared, field)) members[field] = member;
      }
      const made = Object.assign(new ctor(), members);
      sources.set(made, { json, declared: names });
      return made;
    },
  };
}

/** Gives `object` members that are made when somebody asks for one, and then kept. */
export function withLazyMembers(object: object, members: Readonly<Record<string, () => unknown>>): object {
  for (const [name, make] of Object.entries(members)) {
    let made: { readonly value: unknown } | undefined;
    Object.defineProperty(object, name, { get: () => (made ??= { value: make() }).value, enumerable: true });
  }
  return object;
}

type Same = (a: never, b: never) => boolean;
const equalities = new Map<unknown, Same>();

/** Values of a class of the libraries are equal where `same` says so. */
export function declareEquality<T>(ctor: abstract new (...values: never[]) => T, same: (a: T, b: T) => boolean): void {
  equalities.set(ctor, same);
}

/** JSON of which nothing is declared: whole numbers are ints. */
export function dynamicValue(json: unknown): unknown {
  if (typeof json === "number") return Number.isInteger(json) ? BigInt(json) : json;
  if (Array.isArray(json)) return json.map((each) => dynamicValue(each));
  if (isJsonObject(json)) return new Map(Object.entries(json).map(([key, each]) => [key, dynamicValue(each)]));
  return json;
}

/** Deep equality of values. */
export function sameCelValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  // Numbers of different types are equal by their value.
  const [left, right] = [numberOf(a), numberOf(b)];
  // oxlint-disable-next-line eqeqeq -- only this compares a whole number and one that may have a fraction exactly
  if (left !== undefined || right !== undefined) return left !== undefined && right !== undefined && left == right;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Optional || b instanceof Optional) {
    if (!(a instanceof Optional && b instanceof Optional) || a.hasValue() !== b.hasValue()) return false;
    return !a.hasValue() || sameCelValue(a.value(), b.value());
  }
  const same = a.constructor === b.constructor ? equalities.get(a.constructor) : undefined;
  if (same !== undefined) return same(a as never, b as never);
  const [plainA, plainB] = [a.valueOf(), b.valueOf()] as unknown[];
  // Timestamps, durations and unsigned numbers.
  if (plainA !== a || plainB !== b) return a.constructor === b.constructor && plainA === plainB;
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && sameItems(a, b, sameCelValue);
  }
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.from(a).equals(b);
  // Types and what else has no members is the same or is not.
  if (!hasMembers(a) || !hasMembers(b) || !sameUndeclared(a, b)) return false;
  const members = membersOf(a);
  const others = membersOf(b);
  if (members.size !== others.size) return false;
  for (const [key, value] of members) if (!others.has(key) || !sameCelValue(value, others.get(key))) return false;
  return true;
}

/** What a number is worth, be it an object for being unsigned; undefined for what is none. */
function numberOf(value: unknown): bigint | number | undefined {
  const plain: unknown = typeof value === "object" && value !== null ? value.valueOf() : value;
  if (typeof plain === "bigint") return plain;
  return typeof value === "number" ? value : undefined;
}

/** True where objects hold the same besides what their types declare. */
function sameUndeclared(a: object, b: object): boolean {
  const [left, right] = [sources.get(a), sources.get(b)];
  if (left === undefined || right === undefined) return true;
  const rest = ({ json, declared }: typeof left): Record<string, unknown> =>
    Object.fromEntries(Object.entries(json).filter(([name]) => !declared.has(name)));
  return deepEqual(rest(left), rest(right));
}

function hasMembers(value: object): boolean {
  if (value instanceof Map || value instanceof CelObject) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function membersOf(value: object): Map<unknown, unknown> {
  return value instanceof Map ? value : new Map(Object.entries(value));
}
