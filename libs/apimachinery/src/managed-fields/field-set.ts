// Sets of field paths, in the very form in which managedFields stores them (FieldsV1), so that nothing is converted on the
// way: a tree of path elements in which a node is a member where it is empty or holds ".". Sets are values: operations
// share what stays the same and change nothing.
import { isJsonObject } from "../deep.ts";
import { canonicalElement, compareElements, showElement } from "./path-element.ts";

export interface FieldSet {
  readonly [element: string]: FieldSet;
}

/** A set that is still being made. */
export type FieldSetBuilder = Record<string, FieldSet>;

/** A node that is a member and has no members below it. As a whole set: the empty set. */
export const LEAF: FieldSet = Object.freeze({});
export const EMPTY_SET: FieldSet = LEAF;
export const SELF = ".";

/** A set's nodes deeper than this cannot come from an object. */
const MAX_DEPTH = 1000;

export function isEmptySet(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

/** True for a node that stands for its own path, not just for what is below it. */
export function isMember(node: FieldSet): boolean {
  return isEmptySet(node) || Object.hasOwn(node, SELF);
}

/** A node from what is below it; undefined where there is nothing. */
export function makeNode(member: boolean, below: FieldSetBuilder): FieldSet | undefined {
  if (isEmptySet(below)) return member ? LEAF : undefined;
  return member ? { [SELF]: LEAF, ...below } : below;
}

/** The set of one path. */
export function pathSet(path: readonly string[]): FieldSet {
  return path.reduceRight<FieldSet>((below, element) => ({ [element]: below }), LEAF);
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b || isEmptySet(b)) return a;
  return isEmptySet(a) ? b : unionBelow(a, b);
}

/** `a` itself where `b` adds nothing. */
function unionBelow(a: FieldSet, b: FieldSet): FieldSet {
  let out: FieldSetBuilder | undefined;
  for (const element of Object.keys(b)) {
    const left = Object.hasOwn(a, element) ? a[element] : undefined;
    const both = left === undefined ? b[element]! : unionNode(left, b[element]!);
    if (both !== left) (out ??= { ...a })[element] = both;
  }
  return out ?? a;
}

function unionNode(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b) return a;
  if (isEmptySet(a)) return isEmptySet(b) ? a : isMember(b) ? b : { [SELF]: LEAF, ...b };
  if (isEmptySet(b)) return isMember(a) ? a : { [SELF]: LEAF, ...a };
  return unionBelow(a, b);
}

/** The paths of `a` that are not in `b`; what is below a path of `b` stays. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a) || isEmptySet(b)) return a;
  return differenceBelow(a, b) ?? EMPTY_SET;
}

function differenceBelow(a: FieldSet, b: FieldSet): FieldSet | undefined {
  let out: FieldSetBuilder | undefined;
  for (const element of Object.keys(a)) {
    if (element === SELF || !Object.hasOwn(b, element)) continue;
    const left = differenceNode(a[element]!, b[element]!);
    if (left === a[element]) continue;
    out ??= { ...a };
    if (left === undefined) delete out[element];
    else out[element] = left;
  }
  if (out === undefined) return a;
  return isEmptySet(out) ? undefined : out;
}

function differenceNode(a: FieldSet, b: FieldSet): FieldSet | undefined {
  const stays = isMember(a) && !isMember(b);
  if (isEmptySet(a)) return stays ? a : undefined;
  const below = differenceBelow(a, b);
  if (stays) return below === undefined || isAlone(below) ? LEAF : below;
  if (!Object.hasOwn(a, SELF)) return below;
  const { [SELF]: _self, ...rest } = below ?? {};
  return makeNode(false, rest);
}

/** True for a node with nothing below it that stands for its own path in the long form. */
function isAlone(node: FieldSet): boolean {
  for (const element in node) if (element !== SELF) return false;
  return true;
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  return intersectionNode(a, b, false) ?? EMPTY_SET;
}

function intersectionNode(a: FieldSet, b: FieldSet, member: boolean): FieldSet | undefined {
  const out: FieldSetBuilder = {};
  for (const element of Object.keys(a)) {
    if (element === SELF || !Object.hasOwn(b, element)) continue;
    const [left, right] = [a[element]!, b[element]!];
    const both = intersectionNode(left, right, isMember(left) && isMember(right));
    if (both !== undefined) out[element] = both;
  }
  return makeNode(member, out);
}

/** The paths of `a` that are neither in `b` nor below a path of `b`. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a) || isEmptySet(b)) return a;
  const out: FieldSetBuilder = {};
  for (const element of Object.keys(a)) {
    const node = a[element]!;
    const without = element === SELF || !Object.hasOwn(b, element) ? node : withoutAll(node, b[element]!);
    if (without !== undefined) out[element] = without;
  }
  return out;
}

function withoutAll(a: FieldSet, b: FieldSet): FieldSet | undefined {
  if (isMember(b)) return undefined;
  if (isEmptySet(a)) return a;
  const rest = recursiveDifference(a, b);
  return isEmptySet(rest) ? undefined : rest;
}

/** The paths as messages show them: those of one level first, then those below, each in order. */
export function showPaths(set: FieldSet, prefix = ""): string[] {
  const elements = Object.keys(set)
    .filter((element) => element !== SELF)
    .toSorted(compareElements);
  const here = elements.filter((element) => isMember(set[element]!)).map((element) => prefix + showElement(element));
  return [...here, ...elements.flatMap((element) => showPaths(set[element]!, prefix + showElement(element)))];
}

/** The set with its elements in the order in which FieldsV1 is written; itself where they are. */
export function inOrder(set: FieldSet): FieldSet {
  const elements = Object.keys(set);
  let ordered = true;
  for (let at = 1; ordered && at < elements.length; at++) {
    ordered = compareElements(elements[at - 1]!, elements[at]!) < 0;
  }
  const sorted = ordered ? elements : elements.toSorted(compareElements);
  const out: FieldSetBuilder = {};
  for (const element of sorted) {
    const node = inOrder(set[element]!);
    if (node !== set[element]) ordered = false;
    out[element] = node;
  }
  return ordered ? set : out;
}

/** FieldsV1 from outside as a set in canonical form; undefined where it is malformed. */
export function decodeFields(value: unknown): FieldSet | undefined {
  return decodeNode(value, 0);
}

function decodeNode(value: unknown, depth: number): FieldSet | undefined {
  if (!isJsonObject(value) || depth > MAX_DEPTH) return undefined;
  const out: FieldSetBuilder = {};
  for (const text of Object.keys(value)) {
    const element = text === SELF && depth > 0 ? SELF : canonicalElement(text);
    if (element === undefined) return undefined;
    const node = element === SELF ? LEAF : decodeNode(value[text], depth + 1);
    if (node === undefined) return undefined;
    out[element] = node;
  }
  const only = Object.hasOwn(out, SELF) && Object.keys(out).length === 1;
  return only ? LEAF : out;
}
