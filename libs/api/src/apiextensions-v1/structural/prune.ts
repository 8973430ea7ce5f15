// Takes out of an object what its schema does not know. Guarantees: metadata, kind and apiVersion of a resource are never
// touched; below x-kubernetes-preserve-unknown-fields only what is specified is looked at.
import { childPath, isJsonObject } from "@coxswain/apimachinery";
import { META_FIELDS, type StructuralSchema } from "./schema.ts";

/** Records as in `spec.foo`, `spec.list[0].bar`. */
type Unknown = (path: string) => void;

/** Prunes `object`, a whole resource, in place; returns the paths of what was taken out, sorted. */
export function pruneResource(object: Record<string, unknown>, schema: StructuralSchema): string[] {
  const found: string[] = [];
  const record: Unknown = (path) => {
    // kind, apiVersion and metadata stay, so only nested ones of these names can be unknown.
    found.push(path);
  };
  if (schema.preserveUnknown) keepUnknown(object, schema, "", record, true);
  else pruneMembers(object, schema, "", record, true);
  return found.toSorted();
}

/** Prunes a value that is no resource of its own, such as a default. */
export function pruneValue(value: unknown, schema: StructuralSchema): string[] {
  const found: string[] = [];
  prune(value, schema, "", (path) => found.push(path));
  return found;
}

function prune(value: unknown, schema: StructuralSchema | undefined, path: string, record: Unknown): void {
  if (schema?.preserveUnknown === true) {
    keepUnknown(value, schema, path, record, schema.embedded);
    return;
  }
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) prune(value[i], schema?.items, `${path}[${i}]`, record);
  } else if (isJsonObject(value)) {
    if (schema === undefined) {
      for (const key of Object.keys(value)) {
        record(childPath(path, key));
        delete value[key];
      }
    } else pruneMembers(value, schema, path, record, schema.embedded);
  }
}

function pruneMembers(
  value: Record<string, unknown>,
  schema: StructuralSchema,
  path: string,
  record: Unknown,
  resource: boolean,
): void {
  const { properties, additional } = schema;
  for (const key of Object.keys(value)) {
    if (resource && META_FIELDS.has(key)) continue;
    const property = properties.get(key);
    if (property !== undefined) prune(value[key], property, childPath(path, key), record);
    else if (additional !== undefined) {
      prune(value[key], additional === true ? undefined : additional, childPath(path, key), record);
    } else {
      record(childPath(path, key));
      delete value[key];
    }
  }
}

function keepUnknown(
  value: unknown,
  schema: StructuralSchema | undefined,
  path: string,
  record: Unknown,
  resource: boolean,
): void {
  if (schema === undefined) return;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) keepUnknown(value[i], schema.items, `${path}[${i}]`, record, false);
  } else if (isJsonObject(value)) {
    for (const key of Object.keys(value)) {
      if (resource && META_FIELDS.has(key)) continue;
      const property = schema.properties.get(key);
      if (property !== undefined) prune(value[key], property, childPath(path, key), record);
      else if (schema.additional !== undefined && schema.additional !== true) {
        prune(value[key], schema.additional, childPath(path, key), record);
      }
    }
  }
}
