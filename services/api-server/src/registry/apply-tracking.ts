// Who manages which fields, for all writes that are no applies. Guarantees: every write that changes a field records its
// manager; what an endpoint puts back is recorded as nobody's change; a write that changes nothing stays one.
import type { KindDefinition } from "@coxswain/api";
import { convertForm, formsOf } from "@coxswain/api/scheme";
import { typeSchemaFor } from "@coxswain/api/schema/type-schema";
import { apiVersionOf, deepEqual, formatTime, type KubeObject, type ManagedFieldsEntry } from "@coxswain/apimachinery";
import {
  type CreatedSets,
  EMPTY_SET,
  type FieldSet,
  type Forms,
  managedFieldsAfterUpdate,
  managerName,
  pathSet,
  type TypeSchema,
  union,
  type Writer,
} from "@coxswain/apimachinery/managed-fields/index";
import type { WriteContext } from "./write-context.ts";

/** Subresources whose writes are the system's own way of changing the parent: upstream records no manager for them. */
const UNTRACKED: ReadonlySet<string> = new Set(["binding", "eviction"]);

const STATUS = pathSet(["f:status"]);
const SPEC = pathSet(["f:spec"]);

const CUSTOM_STATUS_KEEPS = union(SPEC, pathSet(["f:metadata"]));

/** What a status update keeps from the stored object besides the spec. */
const STATUS_KEEPS: ReadonlyMap<string, FieldSet> = new Map([
  ["apps/deployments", pathSet(["f:metadata", "f:labels"])],
  ["/pods", union(pathSet(["f:metadata", "f:deletionTimestamp"]), pathSet(["f:metadata", "f:ownerReferences"]))],
]);

/** The same set for each write, as what follows from a set is remembered by it. */
const statusResets = new WeakMap<KindDefinition, FieldSet>();

/** The fields that a write through the endpoint cannot change. */
export function resetFields(kind: KindDefinition, subresource: string): FieldSet {
  if (subresource === "") return kind.hasStatus ? STATUS : EMPTY_SET;
  if (subresource !== "status") return EMPTY_SET;
  if (kind.custom !== undefined) return CUSTOM_STATUS_KEEPS;
  let fields = statusResets.get(kind);
  if (fields === undefined) {
    const more = kind.statusResets?.();
    fields = union(SPEC, more ?? STATUS_KEEPS.get(`${kind.group}/${kind.resource}`) ?? EMPTY_SET);
    statusResets.set(kind, fields);
  }
  return fields;
}

/** How the fields of a kind merge. */
export function typeOf(kind: KindDefinition): TypeSchema {
  return kind.typeSchema?.() ?? typeSchemaFor(kind.schemaName);
}

const managed = new Map<KindDefinition, Forms>();

/** How managers saw an object that wrote it in another version or group; undefined where it has the same fields in all. */
function managedForms(kind: KindDefinition): Forms | undefined {
  const kinds = formsOf(kind);
  if (kinds === undefined) return undefined;
  let forms = managed.get(kinds[0]!);
  if (forms === undefined) {
    const byVersion = new Map(kinds.map((each) => [apiVersionOf(each), each]));
    const formOf = (apiVersion: unknown): KindDefinition => byVersion.get(String(apiVersion)) ?? kinds[0]!;
    forms = {
      typeOf(apiVersion) {
        const found = byVersion.get(apiVersion);
        return found === undefined ? undefined : typeOf(found);
      },
      convert: (object, apiVersion) =>
        convertForm(formOf(object["apiVersion"]), formOf(apiVersion), object) as Record<string, unknown>,
    };
    managed.set(kinds[0]!, forms);
  }
  return forms;
}

export function writerOf(context: WriteContext, nowMs: number): Writer {
  const { request, kind, subresource } = context;
  const forms = managedForms(kind);
  return {
    ...(forms === undefined ? {} : { forms }),
    manager: managerName(request.options.fieldManager, request.userAgent),
    apiVersion: apiVersionOf(kind),
    subresource,
    time: formatTime(nowMs),
    reset: resetFields(kind, subresource),
  };
}

/** managedFields of `object` after a write over `old`; undefined where nobody manages anything. `known` is of a creation. */
export function trackWrite(
  context: WriteContext,
  object: KubeObject,
  old: KubeObject | undefined,
  nowMs: number,
  known?: CreatedSets,
): ManagedFieldsEntry[] | undefined {
  if (UNTRACKED.has(context.subresource)) return old?.metadata?.managedFields;
  // A custom resource's status endpoint takes the status and nothing else, whatever other members the kind has.
  const statusOnly = context.kind.custom !== undefined && context.subresource === "status" && old !== undefined;
  const next = statusOnly ? { ...old, status: (object as { status?: unknown }).status } : object;
  return managedFieldsAfterUpdate(old, next, typeOf(context.kind), writerOf(context, nowMs), known);
}

export function setManagedFields(object: KubeObject, entries: ManagedFieldsEntry[] | undefined): void {
  const meta = (object.metadata ??= {});
  if (entries === undefined) delete meta.managedFields;
  else meta.managedFields = entries;
}

/** True where nothing differs, or nothing but the times of managers: that is not worth a new version. */
export function isUnchanged(object: KubeObject, old: KubeObject): boolean {
  const after = object.metadata?.managedFields;
  const before = old.metadata?.managedFields;
  const bare = { ...object, metadata: { ...object.metadata, managedFields: before } };
  return deepEqual(bare, old) && sameButTimes(after ?? [], before ?? []);
}

/** The times decide on the order, so without them it says nothing. */
function sameButTimes(after: readonly ManagedFieldsEntry[], before: readonly ManagedFieldsEntry[]): boolean {
  if (after.length !== before.length) return false;
  const known = before.map(({ time: _time, ...rest }) => rest);
  return after.every(({ time: _time, ...rest }) => known.some((other) => deepEqual(rest, other)));
}
