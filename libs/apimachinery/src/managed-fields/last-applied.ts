// The way from client-side to server-side apply for kubectl: what its last-applied annotation says, the live object still
// has, and others have come to own since, kubectl may take over without being asked to force.
import { isJsonObject } from "../deep.ts";
import { jsonOrNothing } from "../json-or-nothing.ts";
import { changedFields, compareObjects } from "./compare.ts";
import type { Conflict } from "./conflicts.ts";
import { difference, EMPTY_SET, type FieldSet, isEmptySet, union } from "./field-set.ts";
import { ownedFields } from "./owned-fields.ts";
import type { TypeSchema } from "./type-schema.ts";
import { type Managed, withoutManaged } from "./updates.ts";

export const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";
/** The only manager for which the annotation counts. */
export const KUBECTL = "kubectl";
/** Bytes of all annotations of an object. */
const MAX_ANNOTATIONS = 256 * 1024;

interface Annotated extends Managed {
  readonly apiVersion?: string;
  metadata?: Managed["metadata"] & { annotations?: Record<string, string> };
}

/** Of the conflicts those that the annotation does not allow. */
export function conflictsBeyondLastApplied(
  live: Annotated,
  conflicts: readonly Conflict[],
  type: TypeSchema,
): readonly Conflict[] {
  const allowed = lastAppliedFields(live, type);
  return conflicts
    .map(({ owner, set }) => ({ owner, set: difference(set, allowed) }))
    .filter(({ set }) => !isEmptySet(set));
}

function lastAppliedFields(live: Annotated, type: TypeSchema): FieldSet {
  const text = live.metadata?.annotations?.[LAST_APPLIED];
  // Anybody may write the annotation: one that says nothing allows nothing.
  const config = text === undefined ? undefined : jsonOrNothing(text);
  if (!isJsonObject(config) || config["apiVersion"] !== live.apiVersion) return EMPTY_SET;
  const comparison = compareObjects(config, withoutManaged(live), type);
  return difference(ownedFields(config, type), union(changedFields(comparison), comparison.removed));
}

/** Keeps the annotation, where there is one, at what was applied, so that client-side apply can go on from there. In place. */
export function refreshLastApplied(object: Annotated, config: Record<string, unknown>): void {
  const annotations = object.metadata?.annotations;
  if (annotations === undefined || !annotations[LAST_APPLIED]) return;
  const metadata = isJsonObject(config["metadata"]) ? config["metadata"] : {};
  const given = isJsonObject(metadata["annotations"]) ? metadata["annotations"] : {};
  const { [LAST_APPLIED]: _own, ...others } = given;
  const bare = { ...metadata, ...(isJsonObject(metadata["annotations"]) ? { annotations: others } : {}) };
  annotations[LAST_APPLIED] = `${JSON.stringify({ ...config, metadata: bare })}\n`;
  const size = Object.entries(annotations).reduce((sum, [key, value]) => sum + Buffer.byteLength(key + value), 0);
  if (size > MAX_ANNOTATIONS) delete annotations[LAST_APPLIED];
}
