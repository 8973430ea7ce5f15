// The strings extension, and regular expressions of Go's syntax.
import { compileGoRegExp } from "@coxswain/apimachinery";
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
  const parts = text.split(from);
  const head = parts.slice(0, Number(limit) + 1);
  const tail = parts.slice(Number(limit) + 1);
  return [head.join(to), ...tail].join(from);
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return `[${value.map((each) => textOf(each)).join(", ")}]`;
  if (value instanceof Date) return timeText(value);
  if (value instanceof Map || (typeof value === "object" && value !== null && value.constructor === Object)) {
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    const sorted = entries.map(([key, each]) => `${String(key)}: ${textOf(each)}`).toSorted();
    return `{${sorted.join(", ")}}`;
  }
  return String(value);
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

function formatOne(verb: string, precision: string | undefined, value: unknown): string {
  const number = typeof value === "bigint" || typeof value === "number" ? Number(value) : undefined;
  switch (verb) {
    case "s":
      return textOf(value);
    case "d":
      return textOf(value);
    case "f":
      if (number !== undefined) return number.toFixed(precision === undefined ? 6 : Number(precision));
      break;
    case "e":
      if (number !== undefined) return scientific(number, precision === undefined ? 6 : Number(precision));
      break;
    case "b":
      if (typeof value === "boolean") return value ? "1" : "0";
      if (typeof value === "bigint") return value.toString(2);
      break;
    case "o":
      if (typeof value === "bigint") return value.toString(8);
      break;
    case "x":
    case "X": {
      const hex = typeof value === "bigint" ? value.toString(16) : Buffer.from(textOf(value)).toString("hex");
      return verb === "X" ? hex.toUpperCase() : hex;
    }
    default:
      throw celError(`could not parse formatting clause: unrecognized formatting clause "${verb}"`);
  }
  throw celError(`error during formatting: %${verb} clause cannot take a value of that type`);
}

function format(text: string, values: readonly unknown[]): string {
  let at = 0;
  return text.replace(/%(?:\.(\d+))?(.)/g, (_whole, precision: string | undefined, verb: string) => {
    if (verb === "%") return "%";
    if (at >= values.length) throw celError(`index ${at} out of range`);
    return formatOne(verb, precision, values[at++]);
  });
}

export const STRINGS: FunctionTable = {
  "string.charAt(int): string": (text: string, index: bigint) => {
    if (index < 0n || index > BigInt(text.length)) throw celError(`index out of range: ${index}`);
    return text.charAt(Number(index));
  },
  "string.replace(string, string): string": (text: string, from: string, to: string) => replace(text, from, to, -1n),
  "string.replace(string, string, int): string": replace,
  "string.reverse(): string": (text: string) => Array.from(text).toReversed().join(""),
  "string.format(list<dyn>): string": format,
  "string.find(string): string": (text: string, expression: string) => pattern(expression).exec(text)?.[0] ?? "",
  "string.findAll(string): list<string>": (text: string, expression: string) => findAll(text, expression, -1n),
  "string.findAll(string, int): list<string>": findAll,
  // What `matches` is compiled to: the library's own takes another syntax, and any time.
  "string.go_matches(string): bool": (text: string, expression: string) => pattern(expression).test(text),
  "matches(string, string): bool": (text: string, expression: string) => pattern(expression).test(text),
};
