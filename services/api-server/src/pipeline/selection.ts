// What a LIST, WATCH or deletecollection asks for: namespace, labels, fields.
import type { KindDefinition } from "@coxswain/api";
import {
  isReason,
  newBadRequest,
  parseFieldSelector,
  parseLabelSelector,
  type FieldSelector,
  type KubeObject,
} from "@coxswain/apimachinery";
import type { CachedObject } from "../watch-cache/cached-object.ts";
import type { ObjectSelection } from "../watch-cache/watcher.ts";
import type { ApiRequest } from "./contract.ts";

/** The name that authorization sees: a LIST or WATCH of one object by field selector is a read of that object. */
export function requestedName(request: ApiRequest): string {
  if (request.name !== "" || (request.verb !== "list" && request.verb !== "watch")) return request.name;
  const selector = request.options.fieldSelector ?? "";
  const name = selector.includes("metadata.name") ? exactName(selector) : "";
  return name === "." || name === ".." || /[/%]/.test(name) ? "" : name;
}

/** "" also for a selector that says nothing: what is wrong with it is told to those who may ask. */
function exactName(selector: string): string {
  try {
    const { requirements } = parseFieldSelector(selector);
    return requirements.find(({ field, op }) => field === "metadata.name" && op === "=")?.value ?? "";
  } catch (error) {
    if (isReason(error, "BadRequest")) return "";
    throw error;
  }
}

/** @throws StatusError BadRequest for a selector that cannot be parsed, or a field that the kind does not offer */
export function selectionOf(request: ApiRequest, kind: KindDefinition): ObjectSelection {
  const labels = parseLabelSelector(request.options.labelSelector ?? "");
  const fields = parseFieldSelector(request.options.fieldSelector ?? "");
  requireKnownFields(kind, fields);
  const exact = (field: string): string | undefined =>
    fields.requirements.find((each) => each.field === field && each.op === "=")?.value;
  const namespace = kind.namespaced && request.namespace !== "" ? request.namespace : undefined;
  // Names and namespaces are known without parsing the object.
  const [first, ...others] = fields.requirements;
  const cheap = others.length === 0 && first?.op === "=" && first.field === "metadata.name";
  const needsFields = !fields.isEmpty && !cheap;
  const matches =
    labels.isEmpty && !needsFields
      ? undefined
      : (object: CachedObject): boolean =>
          (labels.isEmpty || labels.matches(object.object.metadata?.labels)) &&
          (!needsFields || fields.matches(fieldsOf(kind, object)));
  const name = request.name !== "" ? request.name : exact("metadata.name");
  return { namespace, name, matches };
}

function fieldsOf(kind: KindDefinition, object: CachedObject): Record<string, string> {
  return {
    ...kind.selectableFields(object.as(kind).object),
    "metadata.name": object.name,
    "metadata.namespace": object.namespace,
  };
}

function requireKnownFields(kind: KindDefinition, fields: FieldSelector): void {
  if (fields.isEmpty) return;
  const empty: KubeObject = { metadata: {} };
  const known = new Set([...Object.keys(kind.selectableFields(empty)), "metadata.name"]);
  if (kind.namespaced) known.add("metadata.namespace");
  for (const { field } of fields.requirements) {
    if (!known.has(field)) {
      throw newBadRequest(
        kind.group === "" || kind.custom !== undefined || (kind.form !== undefined && known.size > 2)
          ? `field label not supported: ${field}`
          : `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
      );
    }
  }
}
