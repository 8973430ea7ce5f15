// The metadata of resources that stand inside of others (x-kubernetes-embedded-resource): coerced to what metadata may
// hold, and validated.
import {
  childPath,
  fieldInvalid,
  fieldRequired,
  indexPath,
  isJsonObject,
  keyPath,
  validateDns1035Label,
  validatePathSegmentName,
  type FieldError,
  type ObjectMeta,
} from "@coxswain/apimachinery";
import { validateObjectMeta } from "../../object-meta.ts";
import { checkTypes, pruneUnknown, walkUnknownFields } from "../../schema/walk.ts";
import type { StructuralSchema } from "./schema.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

type Visit = (resource: Record<string, unknown>, path: string) => void;

/** Where a value stands that is looked at. */
export interface EmbeddedIn {
  /** "" for the root of an object. */
  readonly path: string;
  /** True where the value itself is looked at too, be it that its schema calls it embedded or not. */
  readonly resource: boolean;
}

const ROOT: EmbeddedIn = { path: "", resource: false };

function eachEmbedded(value: unknown, schema: StructuralSchema, { path, resource }: EmbeddedIn, visit: Visit): void {
  if (resource && isJsonObject(value)) visit(value, path);
  visitMembers(value, schema, path, visit);
}

function eachBelow(value: unknown, schema: StructuralSchema | undefined, path: string, visit: Visit): void {
  if (schema === undefined || !schema.hasEmbedded) return;
  if (isJsonObject(value) && schema.embedded) visit(value, path);
  visitMembers(value, schema, path, visit);
}

function visitMembers(value: unknown, schema: StructuralSchema, path: string, visit: Visit): void {
  if (Array.isArray(value)) {
    value.forEach((each, index) => eachBelow(each, schema.items, indexPath(path, index), visit));
  } else if (isJsonObject(value)) {
    const { additional } = schema;
    for (const key of Object.keys(value)) {
      const property = schema.properties.get(key);
      if (property !== undefined) eachBelow(value[key], property, childPath(path, key), visit);
      else if (additional !== true) eachBelow(value[key], additional, keyPath(path, key), visit);
    }
  }
}

/** Prunes the metadata of embedded resources in place; returns the paths of unknown fields. */
export function coerceEmbedded(
  object: unknown,
  schema: StructuralSchema,
  start: EmbeddedIn = ROOT,
): { unknown: string[]; errors: FieldError[] } {
  const unknown: string[] = [];
  const errors: FieldError[] = [];
  eachEmbedded(object, schema, start, (resource, path) => {
    for (const name of ["apiVersion", "kind"]) {
      const value = resource[name];
      if (value !== undefined && typeof value !== "string") {
        errors.push(fieldInvalid(childPath(path, name), value, "must be a string"));
      }
    }
    const metadata = resource["metadata"];
    if (metadata === undefined) return;
    const [wrong] = checkTypes(metadata, META);
    if (wrong !== undefined || !isJsonObject(metadata)) {
      errors.push(fieldInvalid(childPath(path, "metadata"), metadata, wrong ?? "must be an object"));
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
export function validateEmbedded(object: unknown, schema: StructuralSchema, start: EmbeddedIn = ROOT): FieldError[] {
  const errors: FieldError[] = [];
  eachEmbedded(object, schema, start, (resource, path) => {
    errors.push(...identityErrors(resource, "apiVersion", path, wrongVersion));
    errors.push(...identityErrors(resource, "kind", path, wrongKind));
    const { metadata } = resource;
    if (!isJsonObject(metadata)) return;
    // Whether an embedded resource lives in a namespace, or has a name at all, is not known here.
    const given = metadata as ObjectMeta;
    const named = { ...given, name: given.name || "unnamed" };
    const rules = { namespaced: Boolean(given.namespace), validateName: validatePathSegmentName };
    errors.push(...validateObjectMeta(named, { ...rules, path: childPath(path, "metadata") }));
  });
  return errors;
}

function identityErrors(
  resource: Record<string, unknown>,
  name: "apiVersion" | "kind",
  path: string,
  wrong: (text: string) => string | undefined,
): FieldError[] {
  const value = resource[name];
  const at = childPath(path, name);
  if (value === undefined) return [fieldRequired(at, "")];
  if (typeof value !== "string") return [fieldInvalid(at, value, "must be a string")];
  const detail = value === "" ? "must not be empty" : wrong(value);
  return detail === undefined ? [] : [fieldInvalid(at, value, detail)];
}

function wrongVersion(text: string): string | undefined {
  return text.split("/").length > 2 ? `unexpected GroupVersion string: ${text}` : undefined;
}

function wrongKind(text: string): string | undefined {
  const messages = validateDns1035Label(text.toLowerCase());
  return messages.length === 0 ? undefined : `may have mixed case, but should otherwise match: ${messages.join(",")}`;
}
