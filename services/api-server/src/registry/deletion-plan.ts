// What a DELETE does to an object: pure decisions. An object goes away only when nothing holds it: no finalizer, and no
// grace period that still runs. https://kubernetes.io/docs/concepts/architecture/garbage-collection/
import type { KindDefinition } from "@coxswain/api";
import { storedKindOf } from "@coxswain/api/scheme";
import { formatTime, newConflict, parseTime, type KubeObject, type ObjectMeta } from "@coxswain/apimachinery";
import type { DeletionOptions } from "./write-context.ts";

export type DeletionPlan =
  /** The object goes at once; one with a grace period was marked in place, as those see it who are answered with it. */
  | { readonly action: "remove" }
  /** `object` was marked in place and is to be stored. */
  | { readonly action: "mark" }
  /** It is on its way already; nothing changes. */
  | { readonly action: "none" };

export const ORPHAN_FINALIZER = "orphan";
export const FOREGROUND_FINALIZER = "foregroundDeletion";

interface WithSpecFinalizers extends KubeObject {
  spec?: { finalizers?: string[] };
  status?: { phase?: string };
}

/** Decides, and marks `object` (the caller's own at its top and in its metadata) where it stays for a while. */
export function planDeletion(
  kind: KindDefinition,
  object: KubeObject,
  options: DeletionOptions,
  nowMs: number,
): DeletionPlan {
  const meta = (object.metadata ??= {});
  checkPreconditions(kind, meta, options);
  if (!meta.deletionTimestamp) kind.strategy.prepareForDelete?.(object, { nowMs });
  const finalizersChanged = applyPropagation(kind, meta, options);
  const before = { at: meta.deletionTimestamp, grace: meta.deletionGracePeriodSeconds };
  const grace = planGrace(kind, object, options, nowMs);
  if (grace === "pending" && !finalizersChanged) return { action: "none" };
  if (grace === "now" && !holds(kind, object)) return { action: "remove" };
  if (grace === "now") {
    const terminating = markDeleting(kind, object, nowMs);
    const marked = before.at !== meta.deletionTimestamp || before.grace !== meta.deletionGracePeriodSeconds;
    if (!marked && !terminating && !finalizersChanged) return { action: "none" };
  }
  return { action: "mark" };
}

/** After an update: an object that is being deleted goes when its last finalizer and its grace period are gone. */
export function isReleased(kind: KindDefinition, object: KubeObject, old: KubeObject): boolean {
  if (!old.metadata?.deletionTimestamp) return false;
  if ((old.metadata.deletionGracePeriodSeconds ?? 0) !== 0) return false;
  return !holds(kind, object);
}

/** True where a finalizer keeps the object. Namespaces keep theirs in the spec. */
function holds(kind: KindDefinition, object: WithSpecFinalizers): boolean {
  if ((object.metadata?.finalizers ?? []).length > 0) return true;
  return isNamespace(kind) && (object.spec?.finalizers ?? []).length > 0;
}

function isNamespace(kind: KindDefinition): boolean {
  return kind.group === "" && kind.resource === "namespaces";
}

function checkPreconditions(kind: KindDefinition, meta: ObjectMeta, options: DeletionOptions): void {
  const { uid, resourceVersion } = options.preconditions;
  if (uid !== undefined && uid !== meta.uid) {
    throw newConflict(
      storedKindOf(kind),
      meta.name ?? "",
      `the UID in the precondition (${uid}) does not match the UID in record (${meta.uid}). The object might have been deleted and then recreated`,
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== meta.resourceVersion) {
    throw newConflict(
      storedKindOf(kind),
      meta.name ?? "",
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${meta.resourceVersion}). The object might have been modified`,
    );
  }
}

/** Says by finalizers what is to become of dependents; true where that changed something. */
function applyPropagation(kind: KindDefinition, meta: ObjectMeta, options: DeletionOptions): boolean {
  const before = meta.finalizers ?? [];
  let orphan = before.includes(ORPHAN_FINALIZER);
  let foreground = before.includes(FOREGROUND_FINALIZER);
  if (options.propagation !== undefined) {
    orphan = options.propagation === "Orphan";
    foreground = options.propagation === "Foreground";
  } else if (!orphan && !foreground) {
    orphan = kind.strategy.defaultPropagation === "Orphan";
  }
  const after = before.filter((each) => each !== ORPHAN_FINALIZER && each !== FOREGROUND_FINALIZER);
  if (orphan) after.push(ORPHAN_FINALIZER);
  if (foreground) after.push(FOREGROUND_FINALIZER);
  if (after.length === before.length && after.every((each) => before.includes(each))) return false;
  meta.finalizers = after;
  return true;
}

/** "graceful": a period was set or shortened; "pending": one runs already; "now": none is left. */
function planGrace(
  kind: KindDefinition,
  object: KubeObject,
  options: DeletionOptions,
  nowMs: number,
): "graceful" | "pending" | "now" {
  const meta = object.metadata!;
  const requested = options.gracePeriodSeconds;
  if (kind.strategy.gracefulDelete === undefined) return "now";
  const running = meta.deletionGracePeriodSeconds;
  if (meta.deletionTimestamp) {
    if (running === undefined || running === 0) return "now";
    if (requested === undefined || requested >= running) return "pending";
    const endMs = (parseTime(meta.deletionTimestamp) ?? nowMs) - (running - requested) * 1000;
    const late = endMs < nowMs;
    meta.deletionTimestamp = formatTime(late ? nowMs : endMs);
    // Somebody has to see it and end the object, however late it is.
    meta.deletionGracePeriodSeconds = late && requested > 0 ? 1 : requested;
    return requested === 0 ? "now" : "graceful";
  }
  const { gracePeriodSeconds } = kind.strategy.gracefulDelete(object, requested);
  meta.deletionTimestamp = formatTime(nowMs + gracePeriodSeconds * 1000);
  meta.deletionGracePeriodSeconds = gracePeriodSeconds;
  if ((meta.generation ?? 0) > 0) meta.generation = meta.generation! + 1;
  return gracePeriodSeconds === 0 ? "now" : "graceful";
}

/** True where the status now says so as well. */
function markDeleting(kind: KindDefinition, object: WithSpecFinalizers, nowMs: number): boolean {
  const meta = object.metadata!;
  if (!meta.deletionTimestamp && (meta.generation ?? 0) > 0) meta.generation = meta.generation! + 1;
  meta.deletionTimestamp ??= formatTime(nowMs);
  meta.deletionGracePeriodSeconds = 0;
  if (!isNamespace(kind)) return false;
  // A namespace says of itself that it is going, and has no grace period.
  delete meta.deletionGracePeriodSeconds;
  const terminating = object.status?.phase === "Terminating";
  object.status = { ...object.status, phase: "Terminating" };
  return !terminating;
}
