// What became of each field between two states of an object. No path is in more than one of the three sets.
import { deepEqual, isJsonObject } from "../deep.ts";
import { type FieldSet, type FieldSetBuilder, EMPTY_SET, isEmptySet, LEAF, union } from "./field-set.ts";
import { wholeValue } from "./owned-fields.ts";
import { fieldElement, itemElement } from "./path-element.ts";
import { kindOf, type ListSchema, type MapSchema, memberType, type TypeSchema } from "./type-schema.ts";

export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

/** The three nodes of one place; undefined: nothing happened there or below. */
interface Change {
  added?: FieldSet;
  modified?: FieldSet;
  removed?: FieldSet;
}

interface Builders {
  added?: FieldSetBuilder;
  modified?: FieldSetBuilder;
  removed?: FieldSetBuilder;
}

/** Members at leaves of `ignored` are not looked at; paths below nodes on the way to them may still be among the results. */
export function compareObjects(
  before: unknown,
  after: unknown,
  type: TypeSchema,
  ignored: FieldSet = EMPTY_SET,
): Comparison {
  const change = compareValues(before, after, type, ignored) ?? {};
  return {
    added: change.added ?? EMPTY_SET,
    modified: change.modified ?? EMPTY_SET,
    removed: change.removed ?? EMPTY_SET,
  };
}

const MODIFIED: Change = { modified: LEAF };

/** Both are there. */
function compareValues(before: unknown, after: unknown, type: TypeSchema, ignored = EMPTY_SET): Change | undefined {
  if (before === after) return undefined;
  const kind = kindOf(type, after === null ? before : after);
  if (before !== null && after !== null && kind !== kindOf(type, before)) return changedKind(before, after, type);
  if (kind === "scalar") return deepEqual(before, after) ? undefined : MODIFIED;
  const atomic = kind === "map" ? type.map!.atomic : type.list!.relationship === "atomic";
  if (atomic || (isHollow(before) && isHollow(after))) return deepEqual(before, after) ? undefined : MODIFIED;
  return kind === "map" ? compareMaps(before, after, type.map!, ignored) : compareLists(before, after, type.list!);
}

/** A value of no fixed type became something else: the place is modified, what was in it went, what is in it came. */
function changedKind(before: unknown, after: unknown, type: TypeSchema): Change {
  const { ["."]: _gone, ...removed } = wholeValue(before, type);
  const { ["."]: _come, ...added } = wholeValue(after, type);
  return {
    modified: LEAF,
    ...(isEmptySet(removed) ? {} : { removed }),
    ...(isEmptySet(added) ? {} : { added }),
  };
}

function isHollow(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  return Array.isArray(value) ? value.length === 0 : isJsonObject(value) && Object.keys(value).length === 0;
}

function compareMaps(before: unknown, after: unknown, map: MapSchema, ignored: FieldSet): Change | undefined {
  const left = isJsonObject(before) ? before : {};
  const right = isJsonObject(after) ? after : {};
  const out: Builders = {};
  for (const name of Object.keys(right)) {
    const value = right[name];
    const old = Object.hasOwn(left, name) ? left[name] : undefined;
    if (value !== undefined && value !== old) compareMember(out, name, old, value, map, ignored);
  }
  for (const name of Object.keys(left)) {
    if (left[name] === undefined || (Object.hasOwn(right, name) && right[name] !== undefined)) continue;
    compareMember(out, name, left[name], undefined, map, ignored);
  }
  return changeOf(out);
}

function compareMember(
  out: Builders,
  name: string,
  before: unknown,
  after: unknown,
  map: MapSchema,
  ignored: FieldSet,
): void {
  const field = map.field(name);
  const element = field?.key ?? fieldElement(name);
  const below = Object.hasOwn(ignored, element) ? ignored[element]! : undefined;
  if (below !== undefined && isEmptySet(below)) return;
  const type = field?.type ?? memberType(map, name);
  const implied = field?.implied === true;
  const left = implied && before === undefined ? hollowFor(after) : before;
  const right = implied && after === undefined ? hollowFor(before) : after;
  if (left === undefined) note(out, element, { added: wholeValue(right, type) });
  else if (right === undefined) note(out, element, { removed: wholeValue(left, type) });
  else note(out, element, compareValues(left, right, type, below));
}

function hollowFor(value: unknown): unknown {
  return Array.isArray(value) ? [] : {};
}

function compareLists(before: unknown, after: unknown, list: ListSchema): Change | undefined {
  // Most lists stay as they are, and telling that is much cheaper than telling their items apart.
  if (deepEqual(before, after)) return undefined;
  const left = indexItems(before, list);
  const right = indexItems(after, list);
  const type = list.element();
  const out: Builders = {};
  for (const [element, items] of right) note(out, element, compareItems(left.get(element) ?? [], items, type));
  for (const [element, items] of left) {
    if (!right.has(element)) note(out, element, compareItems(items, [], type));
  }
  return changeOf(out);
}

/** Several items of one element are one value; a single one is compared field by field. */
function compareItems(before: readonly unknown[], after: readonly unknown[], type: TypeSchema): Change | undefined {
  if (before.length >= 2 && after.length >= 2) return deepEqual(before, after) ? undefined : MODIFIED;
  if (before.length >= 2) return after.length === 0 ? { removed: LEAF } : { added: wholeValue(after[0], type) };
  if (after.length >= 2) return { added: LEAF, ...(before.length === 0 ? {} : { removed: belowOf(before[0], type) }) };
  if (before.length === 0) return { added: wholeValue(after[0], type) };
  if (after.length === 0) return { removed: wholeValue(before[0], type) };
  return compareValues(before[0], after[0], type);
}

function belowOf(value: unknown, type: TypeSchema): FieldSet | undefined {
  const { ["."]: _self, ...below } = wholeValue(value, type);
  return isEmptySet(below) ? undefined : below;
}

function indexItems(value: unknown, list: ListSchema): Map<string, unknown[]> {
  const index = new Map<string, unknown[]>();
  if (!Array.isArray(value)) return index;
  for (const item of value) {
    const element = itemElement(list, item);
    if (element === undefined) continue;
    const known = index.get(element);
    if (known === undefined) index.set(element, [item]);
    else known.push(item);
  }
  return index;
}

function note(out: Builders, element: string, change: Change | undefined): void {
  if (change === undefined) return;
  if (change.added !== undefined) (out.added ??= {})[element] = change.added;
  if (change.modified !== undefined) (out.modified ??= {})[element] = change.modified;
  if (change.removed !== undefined) (out.removed ??= {})[element] = change.removed;
}

function changeOf(out: Builders): Change | undefined {
  return out.added === undefined && out.modified === undefined && out.removed === undefined ? undefined : out;
}

/** Everything that is different now and still there. */
export function changedFields(comparison: Comparison): FieldSet {
  return union(comparison.modified, comparison.added);
}
