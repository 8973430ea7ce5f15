// Conversions between types, as Go makes them: what does not fit is an error and never another number. They stand in the place
// of the library's, which know less.
// https://github.com/google/cel-spec/blob/master/doc/langdef.md#list-of-standard-definitions
import { evaluate, type Environment } from "@marcbachmann/cel-js";
import { celError, registerAll } from "./definition.ts";

const INT_LIMIT = 2n ** 63n;
const UINT_LIMIT = 2n ** 64n;
const TIMESTAMP = "google.protobuf.Timestamp";
const DURATION = "google.protobuf.Duration";

interface Duration {
  readonly seconds: bigint;
  readonly nanos: number;
}

const unfit = (from: string, to: string): Error => celError(`type conversion error from '${from}' to '${to}'`);

function toInt(value: bigint): bigint {
  if (value >= INT_LIMIT || value < -INT_LIMIT) throw celError("integer overflow");
  return value;
}

function truncated(value: number, overflow: string): bigint {
  if (!Number.isFinite(value)) throw celError(overflow);
  return BigInt(Math.trunc(value));
}

/** Digits of a whole number in the decimal system. */
function digits(text: string, signed: boolean, to: string): bigint {
  if (!(signed ? /^[+-]?\d+$/ : /^\d+$/).test(text)) throw unfit("string", to);
  const value = BigInt(text.replace(/^\+/, ""));
  const fits = signed ? value < INT_LIMIT && value >= -INT_LIMIT : value < UINT_LIMIT;
  if (!fits) throw unfit("string", to);
  return value;
}

/** The library has a class of its own for them, which it does not give away. */
export const unsigned = (value: bigint): unknown => {
  if (value < 0n || value >= UINT_LIMIT) throw celError("unsigned integer overflow");
  return evaluate(`${value}u`);
};

const TRUE: ReadonlySet<string> = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const FALSE: ReadonlySet<string> = new Set(["0", "f", "F", "FALSE", "false", "False"]);

function toBool(text: string): boolean {
  if (TRUE.has(text)) return true;
  if (FALSE.has(text)) return false;
  throw unfit("string", "bool");
}

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

function toDouble(text: string): number {
  const plain = text.toLowerCase();
  if (/^[+-]?(?:inf|infinity)$/.test(plain)) return plain.startsWith("-") ? -Infinity : Infinity;
  if (plain === "nan") return Number.NaN;
  const value = DECIMAL.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value)) throw unfit("string", "double");
  return value;
}

const same = (value: unknown): unknown => value;

/** Names of the functions that this has in the place of the library's. */
export const CONVERSIONS: ReadonlySet<string> = new Set(["int", "uint", "double", "bool"]);

export function registerConversions(environment: Environment): void {
  registerAll(environment, {
    "go_int(int): int": same,
    "go_int(uint): int": (value: { valueOf(): bigint }) => toInt(value.valueOf()),
    "go_int(double): int": (value: number) => toInt(truncated(value, "integer overflow")),
    "go_int(string): int": (text: string) => digits(text, true, "int"),
    [`go_int(${TIMESTAMP}): int`]: (time: Date) => BigInt(Math.floor(time.getTime() / 1000)),
    [`go_int(${DURATION}): int`]: ({ seconds, nanos }: Duration) => seconds * 1_000_000_000n + BigInt(nanos),
    "go_uint(uint): uint": same,
    "go_uint(int): uint": unsigned,
    "go_uint(double): uint": (value: number) => unsigned(truncated(value, "unsigned integer overflow")),
    "go_uint(string): uint": (text: string) => unsigned(digits(text, false, "uint")),
    "go_double(double): double": same,
    "go_double(int): double": Number,
    "go_double(uint): double": Number,
    "go_double(string): double": toDouble,
    "go_bool(bool): bool": same,
    "go_bool(string): bool": toBool,
  });
}
