// Quantities of resources ("500m", "1.5Gi", "12e6"), exact to a billionth. Text comes out in upstream's canonical form:
// no fraction, the largest suffix of the family that the text came with.

export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent";

/** What parseQuantity throws; the message is upstream's. */
export class QuantityError extends Error {
  override readonly name = "QuantityError";
}

const NANO = 1_000_000_000n;
const MAX_INT64 = 2n ** 63n - 1n;
const PATTERN = /^([+-]?)(\d*)(?:\.(\d*))?([eEinumkKMGTP]*)([-+]?\d*)$/;
const FORMAT_MESSAGE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const SUFFIX_MESSAGE = "unable to parse quantity's suffix";
const NUMERIC_MESSAGE = "unable to parse numeric part of quantity";
/** Beyond this the numbers only serve to waste memory. */
const MAX_EXPONENT = 1000;
const MAX_LENGTH = 1024;

const DECIMAL_SUFFIXES = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY_SUFFIXES = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

export class Quantity {
  /** The amount in billionths. */
  readonly nanos: bigint;
  readonly format: QuantityFormat;
  private text: string | undefined;

  constructor(nanos: bigint, format: QuantityFormat, text?: string) {
    this.nanos = nanos;
    this.format = format;
    this.text = text;
  }

  /** In whole units, rounded away from zero. */
  value(): number {
    return Number(divideUp(this.nanos, NANO));
  }

  /** In thousandths, rounded away from zero. */
  milliValue(): number {
    return Number(divideUp(this.nanos, 1_000_000n));
  }

  isZero(): boolean {
    return this.nanos === 0n;
  }

  /** -1, 0 or 1. */
  sign(): number {
    return this.nanos < 0n ? -1 : this.nanos > 0n ? 1 : 0;
  }

  /** Keeps this one's format, or takes the other's where this is zero. */
  add(other: Quantity): Quantity {
    return new Quantity(this.nanos + other.nanos, this.nanos === 0n ? other.format : this.format);
  }

  sub(other: Quantity): Quantity {
    return new Quantity(this.nanos - other.nanos, this.nanos === 0n ? other.format : this.format);
  }

  /** Negative, zero or positive. */
  compare(other: Quantity): number {
    return this.nanos < other.nanos ? -1 : this.nanos > other.nanos ? 1 : 0;
  }

  toString(): string {
    return (this.text ??= canonicalText(this.nanos, this.format));
  }

  toJSON(): string {
    return this.toString();
  }
}

/** The same few texts come again and again: "100m", "128Mi". Quantities never change. */
const parsed = new Map<string, Quantity>();
const MAX_PARSED = 1_000;
const MAX_PARSED_LENGTH = 24;

/** Parses; a JSON number counts as its text. Throws QuantityError. */
export function parseQuantity(input: string | number): Quantity {
  const text = String(input);
  const known = parsed.get(text);
  if (known !== undefined) return known;
  const quantity = parseText(text);
  if (text.length > MAX_PARSED_LENGTH) return quantity;
  if (parsed.size >= MAX_PARSED) parsed.clear();
  parsed.set(text, quantity);
  return quantity;
}

function parseText(text: string): Quantity {
  if (text === "0") return new Quantity(0n, "DecimalSI", "0");
  const match = text.length <= MAX_LENGTH ? PATTERN.exec(text) : null;
  if (match === null || text === "") throw new QuantityError(FORMAT_MESSAGE);
  const [, sign = "", whole = "", fraction = "", letters = "", digits = ""] = match;
  const suffix = interpretSuffix(letters + digits);
  if (whole === "" && fraction === "" && letters + digits !== "") throw new QuantityError(NUMERIC_MESSAGE);
  const num = whole.replace(/^0+/, "") || "0";
  const unscaled = BigInt(num + fraction);
  let nanos =
    suffix.format === "BinarySI"
      ? scaleToNanos(unscaled << BigInt(suffix.exponent), -fraction.length)
      : scaleToNanos(unscaled, suffix.exponent - fraction.length);
  if (suffix.format === "BinarySI" && nanos > MAX_INT64 * NANO) nanos = MAX_INT64 * NANO;
  // Below one unit a binary suffix would round: upstream turns to the decimal family.
  const format = suffix.format === "BinarySI" && nanos > 0n && nanos < NANO ? "DecimalSI" : suffix.format;
  const kept = keepsText(num, fraction, suffix) ? text : undefined;
  return new Quantity(sign === "-" ? -nanos : nanos, format, nanos === 0n ? undefined : kept);
}

/** Why `parseQuantity` does not take it; undefined where it does. */
export function quantityProblem(input: string | number): string | undefined {
  try {
    parseQuantity(input);
    return undefined;
  } catch (error) {
    if (error instanceof QuantityError) return error.message;
    throw error;
  }
}

/** True where `parseQuantity` would take it. */
export function isQuantity(input: string | number): boolean {
  return quantityProblem(input) === undefined;
}

/** A quantity of `amount` whole units. */
export function quantityOf(amount: number | bigint, format: QuantityFormat = "DecimalSI"): Quantity {
  return new Quantity(BigInt(amount) * NANO, format);
}

/** A quantity of `millis` thousandths; CPU is of the decimal family, memory of the binary one. */
export function quantityOfMillis(millis: number | bigint, format: QuantityFormat = "DecimalSI"): Quantity {
  return new Quantity(BigInt(millis) * 1_000_000n, format);
}

/** CPU in thousandths of a core, rounded up, quickly for the usual "250m" and "2". Throws QuantityError. */
export function parseCpuMillis(input: string | number): number {
  if (typeof input === "number" && Number.isSafeInteger(input)) return input * 1000;
  const text = String(input);
  const millis = text.charCodeAt(text.length - 1) === 109;
  const plain = plainDigits(text, millis ? text.length - 1 : text.length);
  if (plain < 0) return parseQuantity(text).milliValue();
  return millis ? plain : plain * 1000;
}

const BYTE_UNITS: Readonly<Record<string, number>> = {
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** Whole units (bytes, counts), rounded up, quickly for the usual "128Mi" and "110". Throws QuantityError. */
export function parseBytes(input: string | number): number {
  if (typeof input === "number" && Number.isSafeInteger(input)) return input;
  const text = String(input);
  const unit = text.charCodeAt(text.length - 1) === 105 ? BYTE_UNITS[text.slice(-2)] : 1;
  const plain = unit === undefined ? -1 : plainDigits(text, unit === 1 ? text.length : text.length - 2);
  return plain < 0 || unit === undefined ? parseQuantity(text).value() : plain * unit;
}

/** The value of the first `length` characters where they are 1 to 12 digits, else -1. */
function plainDigits(text: string, length: number): number {
  if (length < 1 || length > 12) return -1;
  let value = 0;
  for (let at = 0; at < length; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

interface Suffix {
  readonly exponent: number;
  readonly format: QuantityFormat;
}

function interpretSuffix(suffix: string): Suffix {
  const decimal = DECIMAL_SUFFIXES.indexOf(suffix);
  if (decimal >= 0) return { exponent: (decimal - 3) * 3, format: "DecimalSI" };
  const binary = BINARY_SUFFIXES.indexOf(suffix);
  if (binary > 0) return { exponent: binary * 10, format: "BinarySI" };
  if (!/^[eE][-+]?\d+$/.test(suffix)) throw new QuantityError(SUFFIX_MESSAGE);
  const exponent = Number(suffix.slice(1));
  if (exponent > MAX_EXPONENT) throw new QuantityError(NUMERIC_MESSAGE);
  return { exponent: Math.max(exponent, -MAX_EXPONENT - MAX_LENGTH), format: "DecimalExponent" };
}

/** unscaled × 10^exponent in billionths; what is smaller rounds up. */
function scaleToNanos(unscaled: bigint, exponent: number): bigint {
  const places = exponent + 9;
  return places >= 0 ? unscaled * 10n ** BigInt(places) : divideUp(unscaled, 10n ** BigInt(-places));
}

/** Divides, rounding away from zero. */
function divideUp(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  if (value % by === 0n) return quotient;
  return value < 0n ? quotient - 1n : quotient + 1n;
}

/** Upstream keeps the text as written where its quick look finds it canonical already, so "1.500" stays "1.500". */
function keepsText(num: string, fraction: string, suffix: Suffix): boolean {
  const length = num.length + fraction.length;
  if (suffix.format === "BinarySI") {
    const precision = 15 - num.length - Math.trunc((suffix.exponent * 3) / 10) - 1;
    return fraction === "" && precision >= 0 && (BigInt(num) & 7n) !== 0n;
  }
  const scale = suffix.exponent - fraction.length;
  const shifted = num + fraction;
  return 18 - length >= 0 && scale >= -9 && scale % 3 === 0 && !shifted.endsWith("000") && !shifted.startsWith("0");
}

function canonicalText(nanos: bigint, format: QuantityFormat): string {
  if (nanos === 0n) return "0";
  const magnitude = nanos < 0n ? -nanos : nanos;
  if (format === "BinarySI" && magnitude >= 1024n * NANO && nanos % NANO === 0n) {
    let amount = nanos / NANO;
    let place = 0;
    while (place < BINARY_SUFFIXES.length - 1 && amount % 1024n === 0n) {
      amount /= 1024n;
      place++;
    }
    return `${amount}${BINARY_SUFFIXES[place]}`;
  }
  let amount = nanos;
  let exponent = -9;
  const largest = format === "DecimalExponent" ? Number.MAX_SAFE_INTEGER : 18;
  while (exponent < largest && amount % 1000n === 0n) {
    amount /= 1000n;
    exponent += 3;
  }
  if (format === "DecimalExponent") return exponent === 0 ? `${amount}` : `${amount}e${exponent}`;
  return `${amount}${DECIMAL_SUFFIXES[exponent / 3 + 3]}`;
}
