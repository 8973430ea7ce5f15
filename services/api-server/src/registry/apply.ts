// Server-side apply of a kind: reads the configuration, applies it, and makes an object of the outcome. Guarantees:
// - Conflicts are told with every owner and field; kubectl takes over what it had applied on its own side.
// - The configuration is used as it was sent: defaults are filled into the outcome, and nobody owns them by that.
import type { KindDefinition } from "@coxswain/api";
import { storedKindOf } from "@coxswain/api/scheme";
import {
  apiVersionOf,
  isJsonObject,
  newBadRequest,
  newConflict,
  parseApiVersion,
  newUnnamedRefusal,
  type KubeObject,
} from "@coxswain/apimachinery";
import { jsonKind } from "@coxswain/api/schema/index";
import {
  applyConfiguration,
  checkTyped,
  conflictError,
  conflictsBeyondLastApplied,
  KUBECTL,
  refreshLastApplied,
} from "@coxswain/apimachinery/managed-fields/index";
import type { CachedObject } from "../watch-cache/cached-object.ts";
import { setManagedFields, typeOf, writerOf } from "./apply-tracking.ts";
import { acceptObject, decodeValue, prefixed, warnAll } from "./codec.ts";
import { checkIdentity } from "./metadata.ts";
import type { WriteContext } from "./write-context.ts";

export const APPLY_TYPE = "application/apply-patch+yaml";

/** The configuration of an apply request, of `kind` (a subresource's own kind for scale). @throws StatusError */
export function decodeConfiguration(context: WriteContext, kind: KindDefinition): Record<string, unknown> {
  const { request, warnings, fieldValidation } = context;
  const { value, duplicates } = prefixed("error decoding YAML: ", () =>
    decodeValue(request.body ?? Buffer.alloc(0), "application/yaml", true),
  );
  if (!isJsonObject(value)) {
    const detail = `cannot unmarshal ${jsonKind(value)} into Go value of type map[string]interface {}`;
    throw newBadRequest(`error decoding YAML: error unmarshaling JSON: while decoding JSON: json: ${detail}`);
  }
  checkGroupVersionKind(kind, value);
  const metadata = isJsonObject(value["metadata"]) ? value["metadata"] : {};
  if (metadata["managedFields"] !== undefined && metadata["managedFields"] !== null) {
    throw newBadRequest("metadata.managedFields must be nil");
  }
  const errors = checkTyped(value, typeOf(kind));
  if (errors.length > 0) {
    const { group, version, kind: name } = kind;
    const what = `${textOf(metadata["namespace"])}/${textOf(metadata["name"])}; ${group}/${version}, Kind=${name}`;
    const why = errors.length === 1 ? errors[0] : ["errors:", ...errors.map((each) => `  ${each}`)].join("\n");
    throw newUnnamedRefusal(`failed to create typed patch object (${what}): ${why}`);
  }
  if (duplicates.length > 0 && fieldValidation === "Strict") {
    const told = duplicates.join(", ");
    throw newBadRequest(`error strict decoding YAML: error converting YAML to JSON: ${told}`);
  }
  if (fieldValidation === "Warn") warnAll(warnings, duplicates);
  return value;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function checkGroupVersionKind(kind: KindDefinition, config: Record<string, unknown>): void {
  const { group, version } = parseApiVersion(textOf(config["apiVersion"]));
  if (group === kind.group && version === kind.version && config["kind"] === kind.kind) return;
  throw newBadRequest(`invalid object type: ${group}/${version}, Kind=${textOf(config["kind"])}`);
}

/**
 * The object that applying `config` makes of `old` (undefined: creates), with managedFields and defaults.
 * @throws StatusError Conflict where others own what would change
 */
export function applyOver(
  context: WriteContext,
  config: Record<string, unknown>,
  old: CachedObject | undefined,
  nowMs: number,
): KubeObject {
  const { kind, request } = context;
  const type = typeOf(kind);
  const writer = writerOf(context, nowMs);
  const force = request.options.force === "true";
  const live = old?.copy();
  let outcome = applyConfiguration(live, config, type, writer, force);
  if (outcome.conflicts !== undefined && live !== undefined && writer.manager === KUBECTL) {
    const beyond = conflictsBeyondLastApplied(live, outcome.conflicts, type);
    if (beyond.length > 0) throw conflictError(beyond);
    outcome = applyConfiguration(live, config, type, writer, true);
  }
  if (outcome.conflicts !== undefined) throw conflictError(outcome.conflicts);
  const applied = structuredClone(outcome.object) as KubeObject;
  if (writer.manager === KUBECTL) refreshLastApplied(applied, config);
  const object = acceptObject({ kind, fieldValidation: "Ignore", warnings: context.warnings }, applied, []);
  setManagedFields(object, outcome.managedFields);
  return object;
}

/** The object that applying `config` creates. @throws StatusError Conflict where it speaks of one that is no more */
export function applyAnew(context: WriteContext, config: Record<string, unknown>, nowMs: number): KubeObject {
  const object = applyOver(context, config, undefined, nowMs);
  const meta = (object.metadata ??= {});
  if (meta.uid) {
    throw newConflict(
      storedKindOf(context.kind),
      context.name,
      `uid mismatch: the provided object specified uid ${meta.uid}, and no existing object was found`,
    );
  }
  checkIdentity(context, meta);
  return object;
}

/** The configuration of the parent that an applied Scale stands for. */
export function parentOfScale(kind: KindDefinition, scale: Record<string, unknown>): Record<string, unknown> {
  const spec = isJsonObject(scale["spec"]) ? scale["spec"] : {};
  const metadata = isJsonObject(scale["metadata"]) ? scale["metadata"] : {};
  const { name, namespace, uid, resourceVersion } = metadata;
  const parent = {
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    metadata: Object.fromEntries(
      Object.entries({ name, namespace, uid, resourceVersion }).filter(([, value]) => value !== undefined),
    ),
  };
  if (typeof spec["replicas"] !== "number") return parent;
  const withSpec = { ...parent, spec: {} };
  kind.scale?.setReplicas(withSpec, spec["replicas"]);
  return withSpec;
}
