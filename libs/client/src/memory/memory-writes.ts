// Create, update and delete as the api-server's registry does them, over the in-memory store. Guarantees:
// - A stale resourceVersion or another uid is a Conflict; an update that changes nothing writes nothing.
// - The main resource keeps status as stored, the status subresource keeps all else.
// - An object with finalizers, or a bound pod with a grace period, stays with a deletionTimestamp until both are done.
import {
  apiVersionOf,
  type KubeObject,
  type ResourceRef,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  newAlreadyExists,
  newBadRequest,
  newConflict,
  newForbidden,
  newInvalid,
  newNotFound,
  StatusError,
} from "@coxswain/apimachinery";
import type { Env } from "@coxswain/env";
import type { DeleteOptions } from "../resource-client.ts";
import { memoryKind, type MemoryKind } from "./memory-kinds.ts";
import { cloneJson, type MemoryStore } from "./memory-store.ts";

export interface WriteContext {
  readonly env: Env;
  readonly store: MemoryStore;
  /** Creating in a namespace that does not exist is NotFound, as on a server. */
  readonly requireNamespaces: boolean;
}

export interface Loose extends KubeObject {
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
}

const NAMESPACES: ResourceRef = { group: "", version: "v1", resource: "namespaces" };
const secondsFrom = (ms: number): string => new Date(Math.floor(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");

export const keyOf = (namespace: string, name: string): string => (namespace === "" ? name : `${namespace}/${name}`);

/** The stored object itself, not a copy; throws NotFound. */
export function mustGet(context: WriteContext, ref: ResourceRef, namespace: string, name: string): Loose {
  const found = context.store.table(ref).get(keyOf(namespace, name));
  if (found === undefined) throw newNotFound(ref, name);
  return found;
}

function checkNamespace(context: WriteContext, ref: ResourceRef, namespace: string, name: string): void {
  const found = context.store.table(NAMESPACES).get(namespace);
  if (found === undefined) {
    if (context.requireNamespaces) throw newNotFound(NAMESPACES, namespace);
    return;
  }
  if (found.metadata?.deletionTimestamp === undefined) return;
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const cause = {
    reason: "NamespaceTerminating",
    message: `namespace ${namespace} is being terminated`,
    field: "metadata.namespace",
  };
  const { message, details } = newForbidden(ref, name, why);
  throw new StatusError("Forbidden", 403, message, { ...details, causes: [cause] });
}

function nameNew(context: WriteContext, ref: ResourceRef, object: Loose, namespace: string): void {
  const kind = memoryKind(ref);
  const meta = (object.metadata ??= {});
  if (!kind.namespaced && (meta.namespace ?? "") !== "")
    throw newBadRequest("namespace may not be set on a cluster-scoped object");
  if (kind.namespaced && namespace === "") throw newBadRequest("an empty namespace may not be set during creation");
  if (kind.namespaced && (meta.namespace ?? namespace) !== namespace) {
    throw newBadRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
  if (kind.namespaced) meta.namespace = namespace;
  if ((meta.resourceVersion ?? "") !== "")
    throw newBadRequest("resourceVersion should not be set on objects to be created");
  if ((meta.name ?? "") === "") {
    if ((meta.generateName ?? "") === "") {
      const cause = fieldRequired("metadata.name", "name or generateName is required");
      throw newInvalid({ group: ref.group, kind: object.kind ?? kind.kind }, "", [cause]);
    }
    meta.name = `${meta.generateName}${context.env.random.nameSuffix(5)}`;
  }
}

function initialStatus(ref: ResourceRef, object: Loose, kind: MemoryKind): void {
  if (ref.group === "" && ref.resource === "nodes") return;
  if (kind.status) delete object.status;
  if (ref.group === "" && ref.resource === "pods") object.status = { phase: "Pending" };
  if (ref.group === "" && ref.resource === "namespaces") {
    object.spec = { ...object.spec, finalizers: ["kubernetes"] };
    object.status = { phase: "Active" };
  }
}

/** Creates; returns the stored object, a copy. With `keepStatus` the given status is stored as it is (for seeding). */
export function createObject(
  context: WriteContext,
  ref: ResourceRef,
  input: KubeObject,
  options: { namespace?: string; dryRun?: boolean; keepStatus?: boolean },
): KubeObject {
  const object = cloneJson(input) as Loose;
  const kind = memoryKind(ref);
  const namespace = kind.namespaced ? options.namespace || (object.metadata?.namespace ?? "") : "";
  nameNew(context, ref, object, namespace);
  const meta = object.metadata ?? {};
  const name = meta.name ?? "";
  if (namespace !== "") checkNamespace(context, ref, namespace, name);
  const key = keyOf(namespace, name);
  if (context.store.table(ref).has(key)) throw newAlreadyExists(ref, name);
  object.apiVersion ??= apiVersionOf(ref);
  if (kind.kind !== "") object.kind ??= kind.kind;
  meta.uid = context.env.random.uuid();
  meta.creationTimestamp = secondsFrom(context.env.clock.now());
  delete meta.deletionTimestamp;
  delete meta.deletionGracePeriodSeconds;
  if (kind.generation) meta.generation = 1;
  if (options.keepStatus !== true) initialStatus(ref, object, kind);
  if (options.dryRun !== true) context.store.commit(ref, key, object, false);
  return cloneJson(object);
}

/** Keeps what the caller of an update may not change. */
function guardUpdate(next: Loose, old: Loose, kind: MemoryKind, subresource: string): Loose {
  const given = next.metadata ?? {};
  const kept = old.metadata ?? {};
  const status = subresource === "status" || subresource === "approval";
  const result: Loose = status
    ? {
        ...old,
        status: next.status,
        metadata: {
          ...kept,
          labels: given.labels,
          annotations: given.annotations,
          finalizers: given.finalizers,
          ownerReferences: given.ownerReferences,
        },
      }
    : { ...next, metadata: { ...given } };
  const meta = result.metadata ?? {};
  meta.name = kept.name;
  if (kept.namespace !== undefined) meta.namespace = kept.namespace;
  meta.uid = kept.uid;
  meta.creationTimestamp = kept.creationTimestamp;
  meta.resourceVersion = kept.resourceVersion;
  if (kept.generateName !== undefined) meta.generateName = kept.generateName;
  if (kept.deletionTimestamp === undefined) delete meta.deletionTimestamp;
  else meta.deletionTimestamp = kept.deletionTimestamp;
  if (kept.deletionGracePeriodSeconds === undefined) delete meta.deletionGracePeriodSeconds;
  else meta.deletionGracePeriodSeconds = kept.deletionGracePeriodSeconds;
  if (kind.status && subresource === "") {
    if (old.status === undefined) delete result.status;
    else result.status = old.status;
  }
  if (kind.generation) {
    const changed =
      !status &&
      canonical({ ...result, metadata: null, status: null }) !== canonical({ ...old, metadata: null, status: null });
    meta.generation = (kept.generation ?? 0) + (changed ? 1 : 0);
  }
  result.apiVersion ??= old.apiVersion;
  result.kind ??= old.kind;
  return result;
}

/** JSON with sorted keys: equal values give equal text. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, at: unknown) =>
    typeof at === "object" && at !== null && !Array.isArray(at)
      ? Object.fromEntries(Object.entries(at).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : at,
  );
}

function checkPreconditions(
  ref: ResourceRef,
  name: string,
  old: KubeObject,
  expected: { uid?: string; resourceVersion?: string },
): void {
  const { uid = "", resourceVersion = "" } = old.metadata ?? {};
  if (expected.uid && expected.uid !== uid) {
    throw newConflict(
      ref,
      name,
      `Precondition failed: UID in precondition: ${expected.uid}, UID in object meta: ${uid}`,
    );
  }
  if (expected.resourceVersion && expected.resourceVersion !== resourceVersion) {
    throw newConflict(
      ref,
      name,
      `Precondition failed: ResourceVersion in precondition: ${expected.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`,
    );
  }
}

function checkFinalizers(ref: ResourceRef, next: Loose, old: Loose): void {
  if (old.metadata?.deletionTimestamp === undefined) return;
  const had = new Set(old.metadata.finalizers ?? []);
  const added = (next.metadata?.finalizers ?? []).filter((finalizer) => !had.has(finalizer));
  if (added.length === 0) return;
  const list = `[]string{${added.map((finalizer) => JSON.stringify(finalizer)).join(", ")}}`;
  const detail = `no new finalizers can be added if the object is being deleted, found new finalizers ${list}`;
  const cause = fieldForbidden("metadata.finalizers", detail);
  throw newInvalid({ group: ref.group, kind: old.kind ?? "" }, old.metadata.name ?? "", [cause]);
}

const finalizersLeft = (object: Loose): boolean =>
  (object.metadata?.finalizers ?? []).length > 0 ||
  (object.kind === "Namespace" && ((object.spec?.["finalizers"] as string[] | undefined) ?? []).length > 0);

/** Stores `change(old)`; returns what is stored then, a copy. Conflict, NotFound and Invalid as the registry gives them. */
export function updateObject(
  context: WriteContext,
  ref: ResourceRef,
  target: { namespace: string; name: string },
  change: (old: Loose) => Loose,
  options: { subresource?: string; dryRun?: boolean },
): KubeObject {
  const old = mustGet(context, ref, target.namespace, target.name);
  const next = cloneJson(change(cloneJson(old)));
  const asked = next.metadata?.resourceVersion ?? "";
  const kind = memoryKind(ref);
  if (asked === "" && !kind.unconditionalUpdate) {
    const cause = fieldInvalid("metadata.resourceVersion", 0, "must be specified for an update");
    throw newInvalid({ group: ref.group, kind: old.kind ?? "" }, target.name, [cause]);
  }
  if (next.metadata?.uid) checkPreconditions(ref, target.name, old, { uid: next.metadata.uid });
  if (asked !== "" && asked !== old.metadata?.resourceVersion) throw newConflict(ref, target.name);
  const guarded = cloneJson(guardUpdate(next, old, kind, options.subresource ?? ""));
  checkFinalizers(ref, guarded, old);
  if (canonical(guarded) === canonical(old)) return cloneJson(old);
  const meta = guarded.metadata ?? {};
  const gone =
    meta.deletionTimestamp !== undefined && (meta.deletionGracePeriodSeconds ?? 0) === 0 && !finalizersLeft(guarded);
  if (options.dryRun !== true) context.store.commit(ref, keyOf(target.namespace, target.name), guarded, gone);
  return cloneJson(guarded);
}

const isPod = ({ group, resource }: ResourceRef): boolean => group === "" && resource === "pods";

function gracePeriod(ref: ResourceRef, object: Loose, asked: number | undefined): number {
  if (!isPod(ref)) return 0;
  const phase = object.status?.["phase"];
  if (!object.spec?.["nodeName"] || phase === "Failed" || phase === "Succeeded") return 0;
  return Math.max(0, asked ?? (object.spec["terminationGracePeriodSeconds"] as number | undefined) ?? 30);
}

function propagationFinalizers(object: Loose, policy: DeleteOptions["propagationPolicy"]): string[] {
  const finalizers = new Set(object.metadata?.finalizers);
  if (policy !== undefined) {
    finalizers.delete("orphan");
    finalizers.delete("foregroundDeletion");
  }
  if (policy === "Orphan") finalizers.add("orphan");
  if (policy === "Foreground") finalizers.add("foregroundDeletion");
  return [...finalizers];
}

/** Marks `object` as being deleted; false where it already was, with the same or a shorter grace period. */
function markDeleted(context: WriteContext, object: Loose, grace: number): boolean {
  const meta = (object.metadata ??= {});
  const already = meta.deletionTimestamp !== undefined;
  if (already && grace >= (meta.deletionGracePeriodSeconds ?? 0)) return false;
  const nowMs = context.env.clock.now();
  meta.deletionTimestamp = secondsFrom(nowMs + grace * 1000);
  meta.deletionGracePeriodSeconds = grace;
  if (meta.generation !== undefined && !already) meta.generation++;
  if (object.kind === "Namespace") object.status = { ...object.status, phase: "Terminating" };
  return true;
}

/** Deletes or starts to; returns the object where it stays or the kind answers with it, else undefined. */
export function deleteObject(
  context: WriteContext,
  ref: ResourceRef,
  target: { namespace: string; name: string },
  options: DeleteOptions,
): KubeObject | undefined {
  const old = mustGet(context, ref, target.namespace, target.name);
  checkPreconditions(ref, target.name, old, options.preconditions ?? {});
  const next = cloneJson(old);
  const finalizers = propagationFinalizers(next, options.propagationPolicy);
  const meta = (next.metadata ??= {});
  const sameFinalizers = canonical(finalizers) === canonical(meta.finalizers ?? []);
  if (finalizers.length > 0) meta.finalizers = finalizers;
  else delete meta.finalizers;
  const grace = gracePeriod(ref, next, options.gracePeriodSeconds);
  const key = keyOf(target.namespace, target.name);
  if (grace > 0 || finalizersLeft(next)) {
    const marked = markDeleted(context, next, grace);
    if ((marked || !sameFinalizers) && options.dryRun !== true) context.store.commit(ref, key, next, false);
    return cloneJson(next);
  }
  if (options.dryRun !== true) context.store.commit(ref, key, next, true);
  if (!memoryKind(ref).returnDeletedObject) return undefined;
  const answer = cloneJson(next);
  // Pods alone end gracefully, and those that end at once say so.
  if (isPod(ref)) markDeleted(context, answer, 0);
  return answer;
}
