// The metadata of resources that stand inside of others (x-kubernetes-embedded-resource): coerced to what metadata may
// hold, and validated.
import {
  childPath,
  fieldInvalid,
  fieldRequired,
  indexPath,
  isJsonObject,
  keyPath,
  type FieldError,
} from "@coxswain/apimachinery";
import { validateObjectMeta } from "../../object-meta.ts";
import { checkTypes, pruneUnknown, walkUnknownFields } from "../../schema/walk.ts";
import type { StructuralSchema } from "./schema.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

type Visit = (resource: Record<string, unknown>, path: string) => void;

function eachEmbedded(value: unknown, schema: StructuralSchema | undefined, path: string, visit: Visit): void {
  if (schema === undefined || !schema.hasEmbedded) return;
  if (Array.isArray(value)) {
    value.forEach((each, index) => eachEmbedded(each, schema.items, indexPath(path, index), visit));
  } else if (isJsonObject(value)) {
    if (schema.embedded && path !== "") visit(value, path);
    for (const key of Object.keys(value)) {
      const property = schema.properties.get(key);
      const { additional } = schema;
      if (property !== undefined) eachEmbedded(value[key], property, childPath(path, key), visit);
      else if (additional !== true) eachEmbedded(value[key], additional, keyPath(path, key), visit);
    }
  }
}

/** Prunes the metadata of embedded resources in place; returns the paths of unknown fields. */
export function coerceEmbedded(object: unknown, schema: StructuralSchema): { unknown: string[]; errors: FieldError[] } {
  const unknown: string[] = [];
  const errors: FieldError[] = [];
  eachEmbedded(object, schema, "", (resource, path) => {
    for (const name of ["apiVersion", "kind"]) {
      const value = resource[name];
      if (value !== undefined && typeof value !== "string") {
        errors.push(fieldInvalid(childPath(path, name), value, "must be a string"));
      }
    }
    const metadata = resource["metadata"];
    if (metadata === undefined) return;
    const [wrong] = isJsonObject(metadata) ? checkTypes(metadata, META) : ["must be an object"];
    if (wrong !== undefined) {
      errors.push(fieldInvalid(childPath(path, "metadata"), metadata, wrong));
      return;
    }
    const at = childPath(path, "metadata");
    for (const text of walkUnknownFields(metadata, META)) {
      unknown.push(`${at}.${JSON.parse(text.slice("unknown field ".length)) as string}`);
    }
    pruneUnknown(metadata, META);
  });
  return { unknown, errors };
}

/** Errors of the identity and metadata of embedded resources. */
export function validateEmbedded(object: unknown, schema: StructuralSchema): FieldError[] {
  const errors: FieldError[] = [];
  eachEmbedded(object, schema, "", (resource, path) => {
    const { apiVersion, kind, metadata } = resource;
    if (apiVersion === undefined || apiVersion === "") {
      errors.push(fieldRequired(childPath(path, "apiVersion"), "must not be empty"));
    } else if (typeof apiVersion === "string" && apiVersion.split("/").length > 2) {
      const detail = `unexpected GroupVersion string: ${apiVersion}`;
      errors.push(fieldInvalid(childPath(path, "apiVersion"), apiVersion, detail));
    }
    if (kind === undefined || kind === "") errors.push(fieldRequired(childPath(path, "kind"), "must not be empty"));
    if (!isJsonObject(metadata)) return;
    // Whether an embedded resource lives in a namespace, or has a name at all, is not known here.
    const irrelevant = new Set([childPath(path, "metadata.name"), childPath(path, "metadata.namespace")]);
    const found = validateObjectMeta(metadata, { namespaced: false, path: childPath(path, "metadata") });
    const required = (error: FieldError): boolean =>
      error.type === "FieldValueRequired" || error.type === "FieldValueForbidden";
    errors.push(...found.filter((error) => !(irrelevant.has(error.field) && required(error))));
  });
  return errors;
}
