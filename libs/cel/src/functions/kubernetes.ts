// Quantities, named formats and semantic versions. https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-quantity-library
import {
  isQuantity,
  parseQuantity,
  Quantity,
  quantityOf,
  validateDns1035Label,
  validateDns1123Label,
  validateDns1123Subdomain,
  validateLabelValue,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { Optional, type Environment } from "@marcbachmann/cel-js";
import { declareEquality } from "../values.ts";
import { celError, registerAll } from "./definition.ts";

const NANO = 1_000_000_000n;

class CelFormat {
  readonly check: (text: string) => string[];
  constructor(check: (text: string) => string[]) {
    this.check = check;
  }
}

const asPrefix = (text: string): string => (text.endsWith("-") ? `${text.slice(0, -1)}a` : text);
const BYTE = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

const simple =
  (test: (text: string) => boolean, message: string) =>
  (text: string): string[] =>
    test(text) ? [] : [message];

const FORMATS: Readonly<Record<string, (text: string) => string[]>> = {
  dns1123Label: validateDns1123Label,
  dns1123Subdomain: validateDns1123Subdomain,
  dns1035Label: validateDns1035Label,
  qualifiedName: validateQualifiedName,
  labelValue: validateLabelValue,
  dns1123LabelPrefix: (text) => validateDns1123Label(asPrefix(text)),
  dns1123SubdomainPrefix: (text) => validateDns1123Subdomain(asPrefix(text)),
  dns1035LabelPrefix: (text) => validateDns1035Label(asPrefix(text)),
  uri: simple((text) => URL.canParse(text) || text.startsWith("/"), "invalid URI"),
  uuid: simple((text) => UUID.test(text), "does not match the UUID format"),
  byte: simple((text) => BYTE.test(text), "invalid base64"),
  date: simple((text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)), "invalid date"),
  datetime: simple((text) => /^\d{4}-\d{2}-\d{2}T/i.test(text) && !Number.isNaN(Date.parse(text)), "invalid datetime"),
};

class CelSemver {
  readonly numbers: readonly bigint[];
  readonly pre: readonly string[];
  constructor(numbers: readonly bigint[], pre: readonly string[]) {
    this.numbers = numbers;
    this.pre = pre;
  }
}

// Numbers before and in a pre-release have no leading zeros.
const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;
const SEMVER_LIMIT = 2n ** 64n;

/** `normalize` accepts a leading v, missing parts and leading zeros. */
function parseSemver(text: string, normalize: boolean): CelSemver | undefined {
  let plain = text;
  if (normalize) {
    const [core = "", ...rest] = text.replace(/^v/, "").split(/(?=[-+])/);
    const parts = core.split(".").map((part) => part.replace(/^0+(?=\d)/, ""));
    // What is short has neither a pre-release nor metadata.
    if (parts.length < 3 && rest.length > 0) return undefined;
    while (parts.length < 3) parts.push("0");
    plain = [parts.join("."), ...rest].join("");
  }
  const found = SEMVER.exec(plain);
  if (found === null) return undefined;
  const numbers = found.slice(1, 4).map((part) => BigInt(part));
  if (numbers.some((number) => number >= SEMVER_LIMIT)) return undefined;
  return new CelSemver(numbers, found[4] === undefined ? [] : found[4].split("."));
}

export function semver(text: string, normalize = false): CelSemver {
  const found = parseSemver(text, normalize);
  if (found === undefined) throw celError(`invalid semantic version: ${text}`);
  return found;
}

function comparePre(a: string | undefined, b: string | undefined): number {
  if (a === b) return 0;
  if (a === undefined) return -1;
  if (b === undefined) return 1;
  const [left, right] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (left && right) return BigInt(a) < BigInt(b) ? -1 : 1;
  if (left !== right) return left ? -1 : 1;
  return a < b ? -1 : 1;
}

function compareSemver(a: CelSemver, b: CelSemver): number {
  for (let at = 0; at < 3; at++) {
    const [left, right] = [a.numbers[at] as bigint, b.numbers[at] as bigint];
    if (left !== right) return left < right ? -1 : 1;
  }
  if (a.pre.length === 0 || b.pre.length === 0) return Math.sign(b.pre.length - a.pre.length);
  for (let at = 0; at < Math.max(a.pre.length, b.pre.length); at++) {
    const order = comparePre(a.pre[at], b.pre[at]);
    if (order !== 0) return order;
  }
  return 0;
}

export function quantity(text: string): Quantity {
  if (!isQuantity(text)) throw celError(`quantity parse error during conversion from string: ${text}`);
  return parseQuantity(text);
}

function asInteger(value: Quantity): bigint {
  if (!isInteger(value)) throw celError("cannot convert value to integer");
  return value.nanos / NANO;
}

const isInteger = (value: Quantity): boolean => {
  const whole = value.nanos / NANO;
  return value.nanos % NANO === 0n && whole < 2n ** 63n && whole >= -(2n ** 63n);
};

function registerQuantities(environment: Environment): void {
  const type = "kubernetes.Quantity";
  environment.registerType(type, { ctor: Quantity } as never);
  declareEquality(Quantity, (a: Quantity, b: Quantity) => a.compare(b) === 0);
  registerAll(environment, {
    [`quantity(string): ${type}`]: quantity,
    "isQuantity(string): bool": isQuantity,
    [`sign(${type}): int`]: (value: Quantity) => BigInt(value.sign()),
    [`${type}.isInteger(): bool`]: isInteger,
    [`${type}.asInteger(): int`]: asInteger,
    [`${type}.asApproximateFloat(): double`]: (value: Quantity) => Number(value.nanos) / 1e9,
    [`${type}.isLessThan(${type}): bool`]: (a: Quantity, b: Quantity) => a.compare(b) < 0,
    [`${type}.isGreaterThan(${type}): bool`]: (a: Quantity, b: Quantity) => a.compare(b) > 0,
    [`${type}.compareTo(${type}): int`]: (a: Quantity, b: Quantity) => BigInt(Math.sign(a.compare(b))),
    [`${type}.add(${type}): ${type}`]: (a: Quantity, b: Quantity) => a.add(b),
    [`${type}.add(int): ${type}`]: (a: Quantity, b: bigint) => a.add(quantityOf(b)),
    [`${type}.sub(${type}): ${type}`]: (a: Quantity, b: Quantity) => a.sub(b),
    [`${type}.sub(int): ${type}`]: (a: Quantity, b: bigint) => a.sub(quantityOf(b)),
  });
}

function registerFormats(environment: Environment): void {
  class FormatNamespace {
    get [Symbol.toStringTag](): string {
      return "format";
    }
  }
  const type = "kubernetes.NamedFormat";
  environment.registerType(type, { ctor: CelFormat } as never);
  declareEquality(CelFormat, (a: CelFormat, b: CelFormat) => a.check === b.check);
  environment.registerType("FormatNamespace", { ctor: FormatNamespace } as never);
  environment.registerConstant("format", "FormatNamespace", new FormatNamespace());
  const table: Record<string, (...values: never[]) => unknown> = {
    "FormatNamespace.named(string): optional<kubernetes.NamedFormat>": (_namespace: unknown, name: string) => {
      const check = Object.hasOwn(FORMATS, name) ? FORMATS[name] : undefined;
      return check === undefined ? Optional.none() : Optional.of(new CelFormat(check));
    },
    "kubernetes.NamedFormat.validate(string): optional<list<string>>": (format: CelFormat, text: string) => {
      const messages = format.check(text);
      return messages.length === 0 ? Optional.none() : Optional.of(messages);
    },
  };
  for (const [name, check] of Object.entries(FORMATS)) {
    table[`FormatNamespace.${name}(): kubernetes.NamedFormat`] = () => new CelFormat(check);
  }
  registerAll(environment, table);
}

function registerSemver(environment: Environment): void {
  const type = "kubernetes.Semver";
  environment.registerType(type, { ctor: CelSemver } as never);
  declareEquality(CelSemver, (a: CelSemver, b: CelSemver) => compareSemver(a, b) === 0);
  registerAll(environment, {
    [`semver(string): ${type}`]: (text: string) => semver(text),
    [`semver(string, bool): ${type}`]: semver,
    "isSemver(string): bool": (text: string) => parseSemver(text, false) !== undefined,
    "isSemver(string, bool): bool": (text: string, normalize: boolean) => parseSemver(text, normalize) !== undefined,
    [`${type}.major(): int`]: ({ numbers }: CelSemver) => numbers[0],
    [`${type}.minor(): int`]: ({ numbers }: CelSemver) => numbers[1],
    [`${type}.patch(): int`]: ({ numbers }: CelSemver) => numbers[2],
    [`${type}.compareTo(${type}): int`]: (a: CelSemver, b: CelSemver) => BigInt(compareSemver(a, b)),
    [`${type}.isLessThan(${type}): bool`]: (a: CelSemver, b: CelSemver) => compareSemver(a, b) < 0,
    [`${type}.isGreaterThan(${type}): bool`]: (a: CelSemver, b: CelSemver) => compareSemver(a, b) > 0,
  });
}

export function registerKubernetes(environment: Environment): void {
  registerQuantities(environment);
  registerFormats(environment);
  registerSemver(environment);
}
