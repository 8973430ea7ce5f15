// Records writes that are no applies: whoever changes a field manages it from then on, alone.
import type { ManagedFieldsEntry } from "../object.ts";
import { deepEqual } from "../deep.ts";
import { changedFields, compareObjects, type Comparison } from "./compare.ts";
import { createdFieldsText } from "./created-fields.ts";
import { EMPTY_SET, type FieldSet, isEmptySet, recursiveDifference, union } from "./field-set.ts";
import {
  capUpdateManagers,
  decodeManagers,
  encodeManagers,
  FIELDS_TYPE,
  IDENTITY_FIELDS,
  IDENTITY_META,
  isReset,
  managerId,
  type Managers,
  NEVER_OWNED,
  stripIdentity,
  trustedManagers,
} from "./managers.ts";
import { sharedSet } from "./shared-sets.ts";
import type { TypeSchema } from "./type-schema.ts";
import { VersionedChange, type Versioned, withoutUnknownVersions } from "./versioned.ts";

/** Who writes, and in which form. */
export interface Writer extends Versioned {
  readonly manager: string;
  /** "" for the object itself. */
  readonly subresource: string;
  /** RFC 3339, whole seconds. */
  readonly time: string;
  /** What a write through this endpoint cannot change: it is put back, so nobody comes to own it by that. */
  readonly reset: FieldSet;
}

export interface Managed {
  readonly metadata?: { managedFields?: ManagedFieldsEntry[] };
}

/** The comparison without what the endpoint puts back. */
export function withoutReset(comparison: Comparison, reset: FieldSet): Comparison {
  if (isEmptySet(reset)) return comparison;
  return {
    added: recursiveDifference(comparison.added, reset),
    modified: recursiveDifference(comparison.modified, reset),
    removed: recursiveDifference(comparison.removed, reset),
  };
}

/** Sets of fields of creations that share members, by what the rest of the object gives. Bounded. */
export interface CreatedSets {
  /** Names of the members that are the same in all objects, and no part of metadata. */
  readonly members: ReadonlySet<string>;
  readonly byRest: Map<string, FieldSet>;
  /** With what the endpoint puts back. */
  skipped?: ReadonlySet<string>;
}

const MAX_BY_REST = 32;

/** The object without managedFields; shares the rest. */
export function withoutManaged(object: Managed): Record<string, unknown> {
  const { managedFields: _managed, ...metadata } = object.metadata ?? {};
  return { ...object, metadata };
}

const unownedBy = new WeakMap<FieldSet, FieldSet>();

/** What is put back, and what nobody owns: neither needs a comparison. */
function unowned(reset: FieldSet): FieldSet {
  let set = unownedBy.get(reset);
  if (set === undefined) {
    set = union(reset, NEVER_OWNED);
    unownedBy.set(reset, set);
  }
  return set;
}

/** A write may set managedFields, be it to nothing; what it cannot say properly leaves the live entries as they are. */
function startingManagers(live: Managed | undefined, next: Managed, subresource: string): Managers {
  const before = live?.metadata?.managedFields;
  const given = next.metadata?.managedFields;
  if (subresource !== "" || given === undefined || deepEqual(given, before)) return trustedManagers(before);
  if (isReset(given)) return new Map();
  const managers = decodeManagers(given);
  return managers === undefined || managers.size === 0 ? trustedManagers(before) : managers;
}

/**
 * managedFields of `next`, to which a write changes `live` (undefined: creates it). An object that nobody manages is not
 * tracked by updates; undefined then, and where nobody manages anything any more. Neither object is changed. `known` is of
 * creations of the same type through the same endpoint.
 */
export function managedFieldsAfterUpdate(
  live: Managed | undefined,
  next: Managed,
  type: TypeSchema,
  writer: Writer,
  known?: CreatedSets,
): ManagedFieldsEntry[] | undefined {
  const managers = withoutUnknownVersions(startingManagers(live, next, writer.subresource), writer);
  if (live !== undefined && managers.size === 0) return undefined;
  if (live === undefined && managers.size === 0) {
    const set = createdSet(next, type, writer.reset, known);
    if (set !== undefined) return isEmptySet(set) ? undefined : [createdEntry(writer, set)];
  }
  return encodeManagers(recordUpdate(managers, live ?? {}, next, type, writer));
}

const SKIPPED_META: ReadonlySet<string> = new Set(IDENTITY_META);
const skippedByReset = new WeakMap<FieldSet, ReadonlySet<string>>();

/** undefined where what is put back is not whole top-level fields, or where it takes a comparison. */
function createdSet(
  next: Managed,
  type: TypeSchema,
  reset: FieldSet,
  known: CreatedSets | undefined,
): FieldSet | undefined {
  const rest = known === undefined ? undefined : createdText(next, type, reset, known);
  const before = rest === undefined ? undefined : known!.byRest.get(rest);
  if (before !== undefined) return before;
  const text = createdText(next, type, reset);
  if (text === undefined) return undefined;
  const set = sharedSet(text);
  if (rest !== undefined && known!.byRest.size < MAX_BY_REST) known!.byRest.set(rest, set);
  return set;
}

/** Without the members that are `known`. */
function createdText(next: Managed, type: TypeSchema, reset: FieldSet, known?: CreatedSets): string | undefined {
  let skipped = skippedByReset.get(reset);
  if (skipped === undefined) {
    if (Object.values(reset).some((node) => !isEmptySet(node))) return undefined;
    skipped = new Set([...IDENTITY_FIELDS, ...Object.keys(reset).map((element) => element.slice(2))]);
    skippedByReset.set(reset, skipped);
  }
  const all = known === undefined ? skipped : (known.skipped ??= new Set([...skipped, ...known.members]));
  return createdFieldsText(next as Record<string, unknown>, type, all, SKIPPED_META);
}

function createdEntry({ manager, apiVersion, time, subresource }: Writer, fieldsV1: FieldSet): ManagedFieldsEntry {
  const entry = { manager, operation: "Update", apiVersion, time, fieldsType: FIELDS_TYPE, fieldsV1 };
  return subresource === "" ? entry : { ...entry, subresource };
}

/** Changes and returns `managers`. */
export function recordUpdate(
  managers: Managers,
  live: Managed,
  next: Managed,
  type: TypeSchema,
  writer: Writer,
): Managers {
  const comparison = withoutReset(compareObjects(live, next, type, unowned(writer.reset)), writer.reset);
  const changed = changedFields(comparison);
  const own = stripIdentity(changed);
  const { manager, apiVersion, subresource, time } = writer;
  const identity = { manager, operation: "Update", apiVersion, subresource } as const;
  const id = managerId(identity);
  const mine = managers.get(id);
  // Who changes again what it manages keeps its set as it is: a lease that is renewed, a status that changes. Taken from it and
  // given back, the set would be another with the same members, to be ordered and put into text anew.
  const keeps =
    mine !== undefined && own === changed && isEmptySet(comparison.removed) && union(mine.set, own) === mine.set;
  if (managers.size > 0 && !(isEmptySet(changed) && isEmptySet(comparison.removed) && writer.forms === undefined)) {
    const states = { before: live as Record<string, unknown>, after: next as Record<string, unknown> };
    const change = new VersionedChange(writer, states, comparison, (each) => withoutReset(each, writer.reset));
    change.disown(managers, (each) => keeps && each === id);
  }
  if (!isEmptySet(own)) {
    const set = keeps ? mine.set : union(own, managers.get(id)?.set ?? EMPTY_SET);
    managers.set(id, { ...identity, time, set });
    capUpdateManagers(managers);
  }
  return managers;
}
