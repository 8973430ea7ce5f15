// The entries of metadata.managedFields: who manages which fields, by which operation, in which version. Guarantees: entries
// of one manager, operation, subresource (and version, for updates) are one; they are always in upstream's order.
import { isJsonObject } from "../deep.ts";
import type { ManagedFieldsEntry } from "../object.ts";
import { parseTime } from "../time.ts";
import { decodeFields, difference, type FieldSet, inOrder, pathSet, union } from "./field-set.ts";
import { isShared } from "./shared-sets.ts";

export type Operation = "Apply" | "Update";

/** An entry, decoded. */
export interface ManagedSet {
  readonly manager: string;
  readonly operation: Operation;
  readonly apiVersion: string;
  /** "" for the object itself. */
  readonly subresource: string;
  readonly time: string | undefined;
  readonly set: FieldSet;
}

/** Managers by identity. */
export type Managers = Map<string, ManagedSet>;

export const MAX_UPDATE_MANAGERS = 10;
const OLD_UPDATES = "ancient-changes";
export const FIELDS_TYPE = "FieldsV1";

/** What tells an entry from others. An applier stays itself when it changes to another version. */
export function managerId(entry: Pick<ManagedSet, "manager" | "operation" | "apiVersion" | "subresource">): string {
  const version = entry.operation === "Apply" ? "" : entry.apiVersion;
  return `${entry.operation}\n${version}\n${entry.subresource}\n${entry.manager}`;
}

/** undefined where an entry is malformed: then none of them is worth anything. */
export function decodeManagers(entries: readonly ManagedFieldsEntry[] | undefined): Managers | undefined {
  const managers: Managers = new Map();
  for (const entry of entries ?? []) {
    const { manager = "", operation, apiVersion = "", subresource = "", time, fieldsType } = entry;
    if (operation !== "Apply" && operation !== "Update") return undefined;
    const set = decodeFields(entry.fieldsV1 ?? {});
    if (apiVersion === "" || fieldsType !== FIELDS_TYPE || set === undefined) return undefined;
    const decoded = { manager, operation, apiVersion, subresource, time, set } as const;
    managers.set(managerId(decoded), decoded);
  }
  return managers;
}

/** Entries that this program wrote itself are in canonical form: their sets are taken as they are. */
export function trustedManagers(entries: readonly ManagedFieldsEntry[] | undefined): Managers {
  const managers: Managers = new Map();
  for (const entry of entries ?? []) {
    const { manager = "", apiVersion = "", subresource = "", time } = entry;
    const operation = entry.operation === "Apply" ? "Apply" : "Update";
    const set = (entry.fieldsV1 ?? {}) as FieldSet;
    const decoded = { manager, operation, apiVersion, subresource, time, set } as const;
    managers.set(managerId(decoded), decoded);
  }
  return managers;
}

/** undefined where nobody manages anything. */
export function encodeManagers(managers: Managers): ManagedFieldsEntry[] | undefined {
  if (managers.size === 0) return undefined;
  const sorted = managers.size === 1 ? [...managers.values()] : [...managers.values()].toSorted(compareManagers);
  return sorted.map(({ manager, operation, apiVersion, subresource, time, set }) => ({
    manager,
    operation,
    apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: FIELDS_TYPE,
    fieldsV1: isShared(set) ? set : inOrder(set),
    ...(subresource === "" ? {} : { subresource }),
  }));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const WHOLE_SECONDS = "2006-01-02T15:04:05Z".length;

/** To the second. */
function compareTimes(a: string | undefined, b: string | undefined): number {
  if (a === b) return 0;
  // Times of our own sort as text.
  if (a?.length === WHOLE_SECONDS && b?.length === WHOLE_SECONDS) return compareText(a, b);
  return Math.floor((parseTime(a) ?? 0) / 1000) - Math.floor((parseTime(b) ?? 0) / 1000);
}

function compareManagers(a: ManagedSet, b: ManagedSet): number {
  return (
    compareText(a.operation, b.operation) ||
    compareTimes(a.time, b.time) ||
    compareText(a.manager, b.manager) ||
    compareText(a.apiVersion, b.apiVersion) ||
    compareText(a.subresource, b.subresource)
  );
}

/** True where a writer asks to forget all managers: an empty list, or a list of one empty entry. */
export function isReset(entries: unknown): boolean {
  if (!Array.isArray(entries) || entries.length > 1) return false;
  const only: unknown = entries[0];
  return only === undefined || (isJsonObject(only) && Object.keys(only).length === 0);
}

/** Top-level fields that nobody owns. */
export const IDENTITY_FIELDS: readonly string[] = ["apiVersion", "kind"];
/** Fields of metadata that nobody owns. */
export const IDENTITY_META: readonly string[] = [
  "name",
  "namespace",
  "creationTimestamp",
  "selfLink",
  "uid",
  "clusterName",
  "generation",
  "managedFields",
  "resourceVersion",
];

export const NEVER_OWNED: FieldSet = [
  ["f:metadata"],
  ...IDENTITY_FIELDS.map((name) => [`f:${name}`]),
  ...IDENTITY_META.map((name) => ["f:metadata", `f:${name}`]),
].reduce<FieldSet>((set, path) => union(set, pathSet(path)), {});

/** Without the fields that identify the object or are the system's: nobody owns those. */
export function stripIdentity(set: FieldSet): FieldSet {
  return difference(set, NEVER_OWNED);
}

/** Merges the oldest updaters of each version into one entry until there are no more than the limit. Changes `managers`. */
export function capUpdateManagers(managers: Managers, limit = MAX_UPDATE_MANAGERS): void {
  const updaters = [...managers].filter(([, entry]) => entry.operation === "Update");
  let count = updaters.length;
  if (count <= limit) return;
  updaters.sort(([a, left], [b, right]) => compareTimes(left.time, right.time) || compareText(a, b));
  const first = new Map<string, string>();
  for (const [id, entry] of updaters) {
    if (count <= limit) return;
    const before = first.get(entry.apiVersion);
    if (before === undefined) {
      first.set(entry.apiVersion, id);
      continue;
    }
    const identity = {
      manager: OLD_UPDATES,
      operation: "Update",
      apiVersion: entry.apiVersion,
      subresource: "",
    } as const;
    const bucket = managerId(identity);
    const merged = managers.get(bucket) ?? managers.get(before)!;
    if (!managers.has(bucket)) managers.delete(before);
    managers.set(bucket, { ...identity, time: entry.time, set: union(entry.set, merged.set) });
    if (id !== bucket) managers.delete(id);
    count--;
  }
}
