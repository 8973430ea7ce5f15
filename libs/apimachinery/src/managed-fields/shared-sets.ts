// Sets of fields by their text. Sets repeat in thousands of objects that differ otherwise: equal texts are parsed once and
// are one set. Guarantees: memory stays bounded; shared sets are frozen, so nobody can change what is another's, and in the
// order of FieldsV1, whatever the order of the text.
import { type FieldSet, inOrder } from "./field-set.ts";

/** Characters of text that each of the two generations may hold. */
const GENERATION = 1024 * 1024;

let young = new Map<string, FieldSet>();
let old = new Map<string, FieldSet>();
let youngSize = 0;
const texts = new WeakMap<FieldSet, string>();

function remember(text: string, set: FieldSet): FieldSet {
  alias(text, set);
  texts.set(set, text);
  return set;
}

function alias(text: string, set: FieldSet): void {
  if (youngSize + text.length > GENERATION) {
    old = young;
    young = new Map();
    youngSize = 0;
  }
  young.set(text, set);
  youngSize += text.length;
}

function freeze(set: FieldSet): FieldSet {
  for (const element of Object.keys(set)) freeze(set[element]!);
  return Object.freeze(set);
}

/** True for what sharedSet or textOfSet had. */
export function isShared(set: FieldSet): boolean {
  return texts.has(set);
}

/** The set of that text, whose elements are canonical, in any order. */
export function sharedSet(text: string): FieldSet {
  const known = young.get(text);
  if (known !== undefined) return known;
  const before = old.get(text);
  // A part of a string keeps all of it in memory: the remembered text is a string of its own.
  const own = Buffer.from(text).toString();
  if (before !== undefined) {
    alias(own, before);
    return before;
  }
  const parsed = JSON.parse(own) as FieldSet;
  const set = inOrder(parsed);
  if (set === parsed) return remember(own, freeze(set));
  const canonical = sharedSet(JSON.stringify(set));
  alias(own, canonical);
  return canonical;
}

/** The JSON of a set that is in order, and a value from now on: it is frozen. */
export function textOfSet(set: FieldSet): string {
  const known = texts.get(set);
  if (known !== undefined) return known;
  const text = JSON.stringify(set);
  remember(text, freeze(set));
  return text;
}
