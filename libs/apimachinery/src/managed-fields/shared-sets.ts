// Sets of fields by their text. Sets repeat in thousands of objects that differ otherwise: equal texts are parsed once and
// are one set. Guarantees: memory stays bounded; shared sets are frozen, so nobody can change what is another's.
import type { FieldSet } from "./field-set.ts";

/** Characters of text that each of the two generations may hold. */
const GENERATION = 1024 * 1024;

let young = new Map<string, FieldSet>();
let old = new Map<string, FieldSet>();
let youngSize = 0;
const texts = new WeakMap<FieldSet, string>();

function remember(text: string, set: FieldSet): FieldSet {
  if (youngSize + text.length > GENERATION) {
    old = young;
    young = new Map();
    youngSize = 0;
  }
  young.set(text, set);
  youngSize += text.length;
  texts.set(set, text);
  return set;
}

function freeze(set: FieldSet): FieldSet {
  for (const element of Object.keys(set)) freeze(set[element]!);
  return Object.freeze(set);
}

/** The set of that text, which is canonical FieldsV1. */
export function sharedSet(text: string): FieldSet {
  const known = young.get(text);
  if (known !== undefined) return known;
  const before = old.get(text);
  if (before !== undefined) return remember(texts.get(before)!, before);
  // A part of a string keeps all of it in memory: the remembered text is a string of its own.
  return remember(Buffer.from(text).toString(), freeze(JSON.parse(text) as FieldSet));
}

/** The JSON of a set, which is a value from now on: it is frozen. */
export function textOfSet(set: FieldSet): string {
  const known = texts.get(set);
  if (known !== undefined) return known;
  const text = JSON.stringify(set);
  remember(text, freeze(set));
  return text;
}
