// What functions cost, by the sizes of what they are given. These numbers decide which rules a definition may have, so they
// are those of upstream: https://github.com/kubernetes/apiserver/blob/v0.35.0/pkg/cel/library/cost.go for the libraries of
// Kubernetes, https://github.com/google/cel-go/blob/v0.26.0/checker/cost.go for the language.
import type { ASTNode } from "@marcbachmann/cel-js";
import { sizeOf, type CostSizes, type Operand } from "./operand.ts";
import { add, fixed, multiply, times, UNKNOWN, union, type Range } from "./ranges.ts";

/** Of walking over a string, a character. */
export const STRING_FACTOR = 0.1;
/** Of a regular expression, a character. */
const REGEXP_FACTOR = 0.25;
export const LIST_COST = 10;
export const MAP_COST = 30;
export const STRUCT_COST = 40;
/** Two of them fit into an evaluation. */
const AUTHORIZATION_COST = 350_000;
const NAMED_FORMAT_REGEXP_SIZE = 128;
/** Bytes of an address of either family. */
const ADDRESS_SIZE: Range = { min: 4, max: 16 };
/** Of each element with each. */
export const SELF_COMPARISON = 2;
const ONE = fixed(1);

export interface Call {
  /** With its namespace, as in "ip.isCanonical". */
  readonly name: string;
  readonly target: Operand | undefined;
  readonly args: readonly Operand[];
  readonly sizes: CostSizes;
}

/** Without what target and arguments cost themselves. */
export interface CallCost {
  readonly cost: Range;
  readonly size?: Range;
}

type Rule = (call: Call, target: Operand, args: readonly Operand[]) => CallCost;

const walk = (size: Range, factor = 1): Range => times(size, factor * STRING_FACTOR);

function integerOf(node: ASTNode | undefined): number | undefined {
  return node?.op === "value" && typeof node.args === "bigint" ? Number(node.args) : undefined;
}

/** The size of one element of a list; undefined for what is no list. */
function elementOf({ sizes }: Call, { type, path }: Operand): { name: string; size: Range } | undefined {
  if (type?.kind !== "list" || type.valueType === undefined) return undefined;
  const { name } = type.valueType;
  return { name, size: sizes.size(path.length === 0 ? [] : [...path, "@items"], name) ?? UNKNOWN };
}

const overList: Rule = (call, target) => {
  const element = elementOf(call, target);
  if (element === undefined) return { cost: walk(sizeOf(target)) };
  const texts = element.name === "string" || element.name === "bytes";
  return { cost: multiply(sizeOf(target), texts ? add(ONE, walk(element.size)) : ONE) };
};

const sameSize: Rule = (_call, target) => ({ cost: walk(sizeOf(target)), size: sizeOf(target) });

function replacedMost(size: number, from: number, to: number): readonly [number, number] {
  if (from === 0) return [size + 1, size];
  if (to <= from) return [0, size];
  return [Math.ceil(size / from), 0];
}

function replacedLeast(size: number, from: number, to: number): readonly [number, number] {
  if (from === 0) return [size + 1, size];
  if (from <= to) return [0, size];
  return [Math.ceil(size / from), 0];
}

const replace: Rule = (_call, target, args) => {
  const [size, from, to] = [sizeOf(target), sizeOf(args[0]!), sizeOf(args[1]!)];
  const [mostTimes, mostKept] = replacedMost(size.max, from.min, to.max);
  const [leastTimes, leastKept] = replacedLeast(size.min, from.max, to.min);
  const made = add(multiply({ min: leastTimes, max: mostTimes }, to), { min: leastKept, max: mostKept });
  return { cost: walk(size, 2), size: made };
};

const split: Rule = (_call, target, args) => {
  const size = sizeOf(target);
  return { cost: walk(size, 2), size: { min: 0, max: integerOf(args[1]?.node) ?? size.max } };
};

const join: Rule = (call, target, args) => {
  const list = sizeOf(target);
  const element = elementOf(call, target);
  const separators = { min: Math.max(list.min - 1, 0), max: Math.max(list.max - 1, 0) };
  const size = add(
    element === undefined ? fixed(0) : multiply(list, element.size),
    args[0] === undefined ? fixed(0) : multiply(sizeOf(args[0]), separators),
  );
  return { cost: walk(size), size };
};

function matching(text: Operand, expression: Operand): Range {
  return multiply(walk(add(sizeOf(text), ONE)), times(sizeOf(expression), REGEXP_FACTOR));
}

const find: Rule = (_call, target, args) => ({
  cost: matching(target, args[0]!),
  size: { min: 0, max: sizeOf(target).max },
});

const parse =
  (factor = 1): Rule =>
  (_call, _target, [text]) => ({ cost: text === undefined ? ONE : walk(sizeOf(text), factor) });

const ip: Rule = (_call, _target, [text]) => ({ cost: text === undefined ? ONE : walk(sizeOf(text)) });

const parsedText = (operand: Operand): Range => (operand.kind === "string" ? walk(sizeOf(operand)) : fixed(0));

const containsIp: Rule = (_call, _target, [other]) => ({
  cost: add(walk(add(ADDRESS_SIZE, ADDRESS_SIZE)), parsedText(other!)),
});

const containsCidr: Rule = (_call, _target, [other]) => ({
  cost: add(walk(add(ADDRESS_SIZE, ADDRESS_SIZE)), walk(ADDRESS_SIZE), ONE, parsedText(other!)),
});

/** A requirement takes two characters at least, and a list and a struct. */
const selector: Rule = (_call, _target, [text]) => {
  const size = sizeOf(text!);
  return { cost: add(fixed(LIST_COST), walk(size), times(times(size, 0.5), LIST_COST + STRUCT_COST)) };
};

const setsOf =
  (factor: number): Rule =>
  (_call, _target, [a, b]) => ({ cost: add(times(multiply(sizeOf(a!), sizeOf(b!)), factor), ONE) });

/** Of a function that makes a list. */
function made(size: Range, factor = 1): CallCost {
  return { cost: add(times(size, factor), ONE, fixed(LIST_COST)), size };
}

const slice: Rule = (_call, target, [from, to]) => {
  const [start, end] = [integerOf(from?.node) ?? 0, integerOf(to?.node) ?? sizeOf(target).max];
  return made(fixed(Math.max(end - start, 0)));
};

const flatten: Rule = (_call, target, [depth]) =>
  made(sizeOf(target), depth === undefined ? 1 : (integerOf(depth.node) ?? UNKNOWN.max));

/** Of sorting `count` elements by keys of the type: each is compared with each. */
export function sortCost(count: Range, key: string | undefined): CallCost {
  const square = multiply(count, count);
  const [cheap, dear] = [made(square, SELF_COMPARISON), made(square, SELF_COMPARISON + STRING_FACTOR)];
  if (key === "string" || key === "bytes") return dear;
  return key === undefined || key === "dyn" ? { ...cheap, cost: union(cheap.cost, dear.cost) } : cheap;
}

const RULES: Readonly<Record<string, Rule>> = {
  check: () => ({ cost: fixed(AUTHORIZATION_COST) }),
  fieldSelector: selector,
  labelSelector: selector,
  isSorted: overList,
  sum: overList,
  max: overList,
  min: overList,
  indexOf: overList,
  lastIndexOf: overList,
  lowerAscii: sameSize,
  upperAscii: sameSize,
  substring: sameSize,
  trim: sameSize,
  replace,
  split,
  join,
  find,
  findAll: find,
  ip,
  containsIP: containsIp,
  containsCIDR: containsCidr,
  validate: (_call, _target, [text]) => ({
    cost: times(walk(sizeOf(text!)), NAMED_FORMAT_REGEXP_SIZE * REGEXP_FACTOR),
  }),
  startsWith: (_call, _target, [part]) => ({ cost: walk(sizeOf(part!)) }),
  endsWith: (_call, _target, [part]) => ({ cost: walk(sizeOf(part!)) }),
  contains: (_call, target, [part]) => ({ cost: multiply(walk(sizeOf(target)), walk(sizeOf(part!))) }),
  matches: (_call, target, [expression]) => ({ cost: matching(target, expression!) }),
  format: (_call, target) => ({ cost: walk(sizeOf(target)) }),
  slice,
  flatten,
  reverse: (_call, target) => (target.kind === "list" ? made(sizeOf(target)) : { cost: ONE }),
  distinct: (_call, target) => made(multiply(sizeOf(target), sizeOf(target)), SELF_COMPARISON),
  sort: (_call, target) => sortCost(sizeOf(target), target.type?.valueType?.name),
};

const withSize: Rule = (_call, _target, [text]) => ({ cost: walk(sizeOf(text!)), size: sizeOf(text!) });

/** Functions that have no target. */
const GLOBAL_RULES: Readonly<Record<string, Rule>> = {
  url: withSize,
  "jsonpatch.escapeKey": withSize,
  ip: parse(),
  cidr: parse(),
  isIP: parse(),
  isCIDR: parse(),
  quantity: parse(),
  isQuantity: parse(),
  semver: parse(),
  isSemver: parse(),
  "ip.isCanonical": parse(2),
  "sets.contains": setsOf(1),
  "sets.intersects": setsOf(1),
  "sets.equivalent": setsOf(2),
  "lists.range": (_call, _target, [count]) => made(fixed(integerOf(count?.node) ?? UNKNOWN.max)),
  "strings.quote": (_call, _target, [text]) => {
    const { min, max } = sizeOf(text!);
    return { cost: walk(sizeOf(text!)), size: add(multiply(fixed(2), { min: min / 2, max }), fixed(2)) };
  },
  bytes: (_call, _target, [text]) => {
    if (text!.kind !== "string") return { cost: ONE };
    const { min, max } = sizeOf(text!);
    return { cost: walk(sizeOf(text!)), size: { min, max: multiply(fixed(4), fixed(max)).max } };
  },
  string: (_call, _target, [bytes]) => {
    if (bytes!.kind !== "bytes") return { cost: ONE };
    const { min, max } = sizeOf(bytes!);
    return { cost: walk(sizeOf(bytes!)), size: { min: Math.floor(min / 4), max } };
  },
};

/** Functions that the tables do not know cost one, whatever they are given. */
export function callCost(call: Call): CallCost {
  const { name, target, args } = call;
  const rules = target === undefined ? GLOBAL_RULES : RULES;
  const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
  // A rule of the second table does not look at the target.
  return rule === undefined ? { cost: ONE } : rule(call, target as Operand, args);
}
