// Sets of fields by their text. Sets repeat in thousands of objects that differ otherwise: equal texts are parsed once and
// are one set. Guarantees: memory stays bounded; shared sets are frozen, so nobody can change what is another's, and in the
// order of FieldsV1, whatever the order of the text.
import { RecentTexts } from "../recent-texts.ts";
import { type FieldSet, inOrder } from "./field-set.ts";

const sets = new RecentTexts<FieldSet>(1024 * 1024);
const texts = new WeakMap<FieldSet, string>();

function remember(text: string, set: FieldSet): FieldSet {
  sets.set(text, set);
  texts.set(set, text);
  return set;
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
  const known = sets.get(text);
  if (known !== undefined) return known;
  const parsed = JSON.parse(text) as FieldSet;
  const set = inOrder(parsed);
  // A part of a string keeps all of it in memory: this is a string of its own.
  if (set === parsed) return remember(Buffer.from(text).toString(), freeze(set));
  const canonical = sharedSet(JSON.stringify(set));
  sets.set(text, canonical);
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
