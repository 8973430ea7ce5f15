// Server-side apply: merges a configuration into a live object and settles who owns what. Guarantees:
// - A field that others own is changed only by force, and then is theirs no more; equal values are shared.
// - What the applier applied last time and does not now is removed, unless somebody else owns it.
// - Applying the same configuration again changes nothing.
import type { ManagedFieldsEntry } from "../object.ts";
import { deepEqual } from "../deep.ts";
import { changedFields, compareObjects } from "./compare.ts";
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
import { disown, encodeManagers, managerId, type Managers, stripIdentity, trustedManagers } from "./managers.ts";
import { ownedFields } from "./owned-fields.ts";
import { atomicAsOne, removeFields, withNamedParents } from "./remove-fields.ts";
import type { TypeSchema } from "./type-schema.ts";
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
  const object = prune(merged, last?.set ?? EMPTY_SET, managers, type);
  const comparison = withoutReset(compareObjects(before, object, type), writer.reset);
  const changed = changedFields(comparison);
  const conflicts = findConflicts(managers, self, changed);
  if (conflicts.length > 0 && !force) return { conflicts };
  const lost = union(changed, comparison.removed);
  disown(managers, lost, (id) => id === self);
  settleSelf(managers, self, last, writer.time, !deepEqual(before, object));
  return { conflicts: undefined, object, managedFields: encodeManagers(managers) };
}

function liveManagers(live: Managed | undefined, type: TypeSchema, writer: Writer): Managers {
  const managers: Managers = trustedManagers(live?.metadata?.managedFields);
  for (const [id, entry] of managers) managers.set(id, { ...entry, set: atomicAsOne(entry.set, type) });
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

function findConflicts(managers: Managers, self: string, changed: FieldSet): Conflict[] {
  const conflicts: Conflict[] = [];
  for (const [id, owner] of managers) {
    if (id === self) continue;
    const set = intersection(owner.set, changed);
    if (!isEmptySet(set)) conflicts.push({ owner, set });
  }
  return conflicts;
}

/** Removes what was in the applier's last set and is in nobody's now. */
function prune(
  merged: Record<string, unknown>,
  last: FieldSet,
  managers: Managers,
  type: TypeSchema,
): Record<string, unknown> {
  if (isEmptySet(last)) return merged;
  const named = (set: FieldSet): FieldSet => withNamedParents(set, type);
  const lastNamed = named(last);
  const mergedSet = named(ownedFields(merged, type));
  let owned: FieldSet = EMPTY_SET;
  for (const entry of managers.values()) owned = union(owned, entry.set);
  const bare = removeFields(merged, lastNamed, type);
  const kept = union(named(ownedFields(bare ?? {}, type)), named(owned));
  const withOwned = removeFields(merged, difference(mergedSet, kept), type);
  // What went with its parent and was never the applier's own comes back.
  const gone = difference(mergedSet, named(ownedFields(withOwned ?? {}, type)));
  return (removeFields(merged, intersection(gone, lastNamed), type) ?? {}) as Record<string, unknown>;
}
