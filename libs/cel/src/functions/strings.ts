// The strings extension, and regular expressions of Go's syntax.
import { compileGoRegExp, quote } from "@coxswain/apimachinery";
import { celError, type FunctionTable } from "./definition.ts";
import { timeText } from "./times.ts";

const compiled = new Map<string, RegExp>();
const MAX_COMPILED = 1_000;

function pattern(text: string, flags = ""): RegExp {
  const id = `${flags}/${text}`;
  let found = compiled.get(id);
  if (found === undefined) {
    const made = compileGoRegExp(text);
    found = flags === "" ? made : new RegExp(made.source, made.flags + flags);
    if (compiled.size >= MAX_COMPILED) compiled.clear();
    compiled.set(id, found);
  }
  return found;
}

function findAll(text: string, expression: string, limit: bigint): string[] {
  if (limit === 0n) return [];
  const found = [...text.matchAll(pattern(expression, "g"))].map(([match]) => match);
  return limit < 0n ? found : found.slice(0, Number(limit));
}

function replace(text: string, from: string, to: string, limit: bigint): string {
  if (limit < 0n) return text.replaceAll(from, () => to);
  // Nothing stands before each character, and at the end.
  const parts = from === "" ? ["", ...Array.from(text), ""] : text.split(from);
  const count = Math.min(Number(limit), parts.length - 1);
  const head = parts.slice(0, count + 1);
  return [head.join(to), ...parts.slice(count + 1)].join(from);
}

/** Places are counted in characters, as they are in Go. */
function indexOf(text: string, part: string, from = 0n): bigint {
  const characters = Array.from(text);
  if (from < 0n) throw celError(`index out of range: ${from}`);
  if (part === "") return from;
  if (from >= BigInt(characters.length)) return -1n;
  const before = characters.slice(0, Number(from)).join("").length;
  const found = text.indexOf(part, before);
  return found < 0 ? -1n : BigInt(Array.from(text.slice(0, found)).length);
}

function lastIndexOf(text: string, part: string, from?: bigint): bigint {
  const characters = Array.from(text);
  if (from !== undefined && from < 0n) throw celError(`index out of range: ${from}`);
  if (part === "") return from ?? BigInt(characters.length);
  if (characters.length < Array.from(part).length) return -1n;
  if (from !== undefined && from >= BigInt(characters.length)) return -1n;
  const before = from === undefined ? text.length : characters.slice(0, Number(from)).join("").length;
  const found = text.lastIndexOf(part, before);
  return found < 0 ? -1n : BigInt(Array.from(text.slice(0, found)).length);
}

function substring(text: string, start: bigint, end?: bigint): string {
  const characters = Array.from(text);
  const length = BigInt(characters.length);
  if (end !== undefined && start > end) {
    throw celError(`invalid substring range. start: ${start}, end: ${end}`);
  }
  for (const place of end === undefined ? [start] : [start, end]) {
    if (place < 0n || place > length) throw celError(`index out of range: ${place}`);
  }
  return characters.slice(Number(start), end === undefined ? undefined : Number(end)).join("");
}

const lowerAscii = (text: string): string => text.replace(/[A-Z]/g, (each) => each.toLowerCase());
const upperAscii = (text: string): string => text.replace(/[a-z]/g, (each) => each.toUpperCase());

/** Names of the methods that this has in the place of the library's. */
export const OWN_TEXTS: ReadonlySet<string> = new Set([
  "indexOf",
  "lastIndexOf",
  "substring",
  "lowerAscii",
  "upperAscii",
]);

/** As Go prints a number in the shortest way: 1e+20, 0.5, +Inf. */
function doubleText(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-4 && size < 1e21 && !(size >= 1e15 && Number.isInteger(size)))) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

/** A value as a text on its own. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return doubleText(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (value instanceof Date) return timeText(value);
  if (
    value !== null &&
    typeof value === "object" &&
    Object.prototype.toString.call(value).startsWith("[object Type<")
  ) {
    return (value as { readonly name: string }).name;
  }
  return Array.isArray(value) || isMap(value) ? partText(value) : String(value);
}

const isMap = (value: unknown): value is object =>
  value instanceof Map || (typeof value === "object" && value !== null && value.constructor === Object);

/** The same inside of a list or a map, where texts are quoted. */
function partText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((each) => partText(each)).join(", ")}]`;
  if (isMap(value)) {
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    return `{${entries
      .map(([key, each]) => `${partText(key)}:${partText(each)}`)
      .toSorted()
      .join(", ")}}`;
  }
  if (typeof value === "string") return quote(value);
  if (typeof value === "number") return Number.isFinite(value) ? value.toFixed(6) : quote(doubleText(value));
  if (value instanceof Date) return `timestamp(${quote(timeText(value))})`;
  const own = textOf(value);
  return value !== null && typeof value === "object" && "addDuration" in value ? `duration(${quote(own)})` : own;
}

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** As in 1.052033×10⁰³. */
function scientific(value: number, precision: number): string {
  const [mantissa = "", exponent] = value.toExponential(precision).split("e");
  if (exponent === undefined) return mantissa;
  const digits = exponent
    .slice(1)
    .padStart(2, "0")
    .replace(/\d/g, (digit) => RAISED.charAt(Number(digit)));
  return `${mantissa}×10${exponent.startsWith("-") ? "⁻" : ""}${digits}`;
}

const NAMES: Readonly<Record<string, string>> = { bigint: "int", number: "double", boolean: "bool", string: "string" };

/** The type of a value as complaints call it. */
function nameOf(value: unknown): string {
  if (value === null) return "null_type";
  if (Array.isArray(value)) return "list";
  if (value instanceof Uint8Array) return "bytes";
  return isMap(value) ? "map" : (NAMES[typeof value] ?? "dyn");
}

const wholeOf = (value: unknown): bigint | undefined => {
  const plain: unknown = typeof value === "object" && value !== null ? value.valueOf() : value;
  return typeof plain === "bigint" ? plain : undefined;
};

function formatOne(verb: string, precision: string | undefined, value: unknown): string {
  const whole = wholeOf(value);
  const unfit = (clause: string, types: string): Error =>
    celError(`error during formatting: ${clause} clause can only be used on ${types}, was given ${nameOf(value)}`);
  switch (verb) {
    case "s":
      return textOf(value);
    case "d":
      if (whole !== undefined) return String(whole);
      throw unfit("decimal", "integers");
    case "f":
      if (typeof value !== "number") throw unfit("fixed-point", "doubles");
      if (!Number.isFinite(value)) return doubleText(value);
      return value.toFixed(precision === undefined ? 6 : Number(precision));
    case "e":
      if (typeof value !== "number") throw unfit("scientific", "doubles");
      if (!Number.isFinite(value)) return doubleText(value);
      return scientific(value, 6);
    case "b":
      if (typeof value === "boolean") return value ? "1" : "0";
      if (whole !== undefined) return whole.toString(2);
      throw unfit("binary", "integers and bools");
    case "o":
      if (whole !== undefined) return whole.toString(8);
      throw unfit("octal", "integers");
    case "x":
    case "X": {
      const hex = whole !== undefined ? whole.toString(16) : hexOf(value);
      if (hex === undefined) throw unfit("hex", "integers, byte buffers, and strings");
      return verb === "X" ? hex.toUpperCase() : hex;
    }
    default:
      throw celError(`could not parse formatting clause: unrecognized formatting clause "${verb}"`);
  }
}

function hexOf(value: unknown): string | undefined {
  if (typeof value === "string") return Buffer.from(value).toString("hex");
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : undefined;
}

function format(text: string, values: readonly unknown[]): string {
  let at = 0;
  const made = text.replace(/%(?:\.(\d+))?(.?)/gs, (_whole, precision: string | undefined, verb: string) => {
    if (verb === "%") return "%";
    if (verb === "") throw celError("unexpected end of string");
    if (at >= values.length) throw celError(`index ${at} out of range`);
    return formatOne(verb, precision, values[at++]);
  });
  if (at === values.length) return made;
  throw celError(`too many arguments supplied to string.format (expected ${at}, got ${values.length})`);
}

export const STRINGS: FunctionTable = {
  "string.charAt(int): string": (text: string, index: bigint) => {
    if (index < 0n || index > BigInt(text.length)) throw celError(`index out of range: ${index}`);
    return text.charAt(Number(index));
  },
  "string.replace(string, string): string": (text: string, from: string, to: string) => replace(text, from, to, -1n),
  "string.replace(string, string, int): string": replace,
  "string.go_indexOf(string): int": indexOf,
  "string.go_indexOf(string, int): int": indexOf,
  "string.go_lastIndexOf(string): int": lastIndexOf,
  "string.go_lastIndexOf(string, int): int": lastIndexOf,
  "string.go_substring(int): string": substring,
  "string.go_substring(int, int): string": substring,
  "string.go_lowerAscii(): string": lowerAscii,
  "string.go_upperAscii(): string": upperAscii,
  "string.format(list<dyn>): string": format,
  "string.find(string): string": (text: string, expression: string) => pattern(expression).exec(text)?.[0] ?? "",
  "string.findAll(string): list<string>": (text: string, expression: string) => findAll(text, expression, -1n),
  "string.findAll(string, int): list<string>": findAll,
  // What `matches` is compiled to: the library's own takes another syntax, and any time.
  "string.go_matches(string): bool": (text: string, expression: string) => pattern(expression).test(text),
  "matches(string, string): bool": (text: string, expression: string) => pattern(expression).test(text),
};
