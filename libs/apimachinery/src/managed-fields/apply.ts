// Server-side apply: merges a configuration into a live object and settles who owns what. Guarantees:
// - A field that others own is changed only by force, and then is theirs no more; equal values are shared.
// - What the applier applied last time and does not now is removed, unless somebody else owns it.
// - Applying the same configuration again changes nothing.
import type { ManagedFieldsEntry } from "../object.ts";
import { deepEqual } from "../deep.ts";
import { compareObjects, type Comparison } from "./compare.ts";
import type { Conflict } from "./conflicts.ts";
import {
  difference,
  EMPTY_SET,
  type FieldSet,
  intersection,
  isEmptySet,
  recursiveDifference,
  union,
} from "./field-set.ts";
import { mergeObjects } from "./merge-objects.ts";
import {
  encodeManagers,
  managerId,
  type ManagedSet,
  type Managers,
  stripIdentity,
  trustedManagers,
} from "./managers.ts";
import { ownedFields } from "./owned-fields.ts";
import { atomicAsOne, removeFields, withNamedParents } from "./remove-fields.ts";
import type { TypeSchema } from "./type-schema.ts";
import { typeFor, VersionedChange, type Versioned, withoutUnknownVersions } from "./versioned.ts";
import { type Managed, recordUpdate, withoutManaged, withoutReset, type Writer } from "./updates.ts";

/** Manages what was there before anybody managed anything. */
const BEFORE_FIRST_APPLY = "before-first-apply";

export type ApplyOutcome =
  | { readonly conflicts: readonly Conflict[] }
  | {
      readonly conflicts: undefined;
      /** Without managedFields; may share parts with the live object and the configuration. */
      readonly object: Record<string, unknown>;
      readonly managedFields: ManagedFieldsEntry[] | undefined;
    };

/** `live` is undefined where the apply creates. `config` fits `type` (see checkTyped). Neither is changed. */
export function applyConfiguration(
  live: Managed | undefined,
  config: Record<string, unknown>,
  type: TypeSchema,
  writer: Writer,
  force: boolean,
): ApplyOutcome {
  const managers = liveManagers(live, type, writer);
  const before = live === undefined ? {} : withoutManaged(live);
  const { manager, apiVersion, subresource } = writer;
  const identity = { manager, operation: "Apply", apiVersion, subresource } as const;
  const self = managerId(identity);
  const last = managers.get(self);
  const set = recursiveDifference(ownedFields(config, type), writer.reset);
  managers.set(self, { ...identity, time: last?.time, set });
  const merged = mergeObjects(before, config, type) as Record<string, unknown>;
  const object = last === undefined ? merged : prune(merged, last, managers, type, writer);
  const comparison = withoutReset(compareObjects(before, object, type), writer.reset);
  const refine = (each: Comparison): Comparison => withoutReset(each, writer.reset);
  const change = new VersionedChange(writer, { before, after: object }, comparison, refine);
  const conflicts = findConflicts(managers, self, change);
  if (conflicts.length > 0 && !force) return { conflicts };
  change.disown(managers, (id) => id === self);
  settleSelf(managers, self, last, writer.time, !deepEqual(before, object));
  return { conflicts: undefined, object, managedFields: encodeManagers(managers) };
}

function liveManagers(live: Managed | undefined, type: TypeSchema, writer: Writer): Managers {
  const managers = withoutUnknownVersions(trustedManagers(live?.metadata?.managedFields), writer);
  for (const [id, entry] of managers) {
    managers.set(id, { ...entry, set: atomicAsOne(entry.set, typeFor(entry, type, writer)) });
  }
  if (live === undefined || managers.size > 0) return managers;
  return recordUpdate(managers, {}, live, type, { ...writer, manager: BEFORE_FIRST_APPLY });
}

function settleSelf(
  managers: Managers,
  self: string,
  last: { readonly set: FieldSet; readonly apiVersion: string } | undefined,
  time: string,
  changed: boolean,
): void {
  const entry = managers.get(self)!;
  const set = stripIdentity(entry.set);
  const same = last !== undefined && last.apiVersion === entry.apiVersion && deepEqual(last.set, set);
  if (isEmptySet(set)) managers.delete(self);
  else managers.set(self, { ...entry, set, time: changed || !same ? time : entry.time });
}

function findConflicts(managers: Managers, self: string, change: VersionedChange): Conflict[] {
  const conflicts: Conflict[] = [];
  for (const [id, owner] of managers) {
    if (id === self) continue;
    const set = intersection(owner.set, change.changed(owner));
    if (!isEmptySet(set)) conflicts.push({ owner, set });
  }
  return conflicts;
}

/** Removes what was in the applier's last set and is in nobody's now. */
function prune(
  merged: Record<string, unknown>,
  last: ManagedSet,
  managers: Managers,
  own: TypeSchema,
  write: Versioned,
): Record<string, unknown> {
  if (isEmptySet(last.set)) return merged;
  // In the version that the applier wrote in last time.
  const { apiVersion } = last;
  const type = typeFor(last, own, write);
  const convert = (object: Record<string, unknown>, to: string): Record<string, unknown> =>
    write.forms?.convert(object, to) ?? object;
  const whole = convert(merged, apiVersion);
  const lastNamed = withNamedParents(last.set, type);
  let pruned = asObject(removeFields(whole, lastNamed, type));
  for (const [version, owner] of ownersByVersion(managers, apiVersion, write)) {
    const form = typeFor({ ...last, apiVersion: version }, own, write);
    const left = withoutUnowned(convert(whole, version), convert(pruned, version), owner, form);
    pruned = convert(left, apiVersion);
  }
  // What went with its parent and was never the applier's own comes back.
  const gone = difference(namedFields(whole, type), namedFields(pruned, type));
  return convert(asObject(removeFields(whole, intersection(gone, lastNamed), type)), write.apiVersion);
}

const asObject = (value: unknown): Record<string, unknown> => (value ?? {}) as Record<string, unknown>;

function namedFields(object: Record<string, unknown>, type: TypeSchema): FieldSet {
  return withNamedParents(ownedFields(object, type), type);
}

/** What all managers of a version have together; `first` is the first version. */
function ownersByVersion(managers: Managers, first: string, { forms }: Versioned): Map<string, FieldSet> {
  const owned = new Map<string, FieldSet>([[first, EMPTY_SET]]);
  for (const { apiVersion, set } of managers.values()) {
    const version = forms === undefined ? first : apiVersion;
    owned.set(version, union(owned.get(version) ?? EMPTY_SET, set));
  }
  return owned;
}

/** `whole` without what is neither in `pruned` nor owned. */
function withoutUnowned(
  whole: Record<string, unknown>,
  pruned: Record<string, unknown>,
  owned: FieldSet,
  type: TypeSchema,
): Record<string, unknown> {
  const kept = union(namedFields(pruned, type), withNamedParents(owned, type));
  return asObject(removeFields(whole, difference(namedFields(whole, type), kept), type));
}
