// Checks that a schema is structural: every field, item and type is told outside of allOf, anyOf, oneOf and not.
// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
import {
  childPath,
  compileGoRegExp,
  deepEqual,
  fieldErrorText,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  indexPath,
  keyPath,
  type FieldError,
} from "@coxswain/apimachinery";
import type { JsonSchemaProps } from "../types.ts";
import { additionalOf, itemsOf } from "./schema.ts";

type Level = "root" | "item" | "field";

const INT_OR_STRING: readonly JsonSchemaProps[] = [{ type: "integer" }, { type: "string" }];

/** Errors in order of their text. */
export function validateStructural(props: JsonSchemaProps, path: string): FieldError[] {
  const errors = [...invariants(props, "root", path), ...junctorsComplete(props, props, path, path)];
  return errors.toSorted((a, b) => (fieldErrorText(a) < fieldErrorText(b) ? -1 : 1));
}

const propertyPath = (path: string, name: string): string => keyPath(childPath(path, "properties"), name);

function invariants(props: JsonSchemaProps, level: Level, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const items = itemsOf(props);
  const additional = additionalOf(props);
  if (props.type === "array" && items === undefined) {
    errors.push(fieldRequired(childPath(path, "items"), "must be specified"));
  }
  if (items !== undefined) errors.push(...invariants(items, "item", childPath(path, "items")));
  for (const [name, property] of Object.entries(props.properties ?? {})) {
    errors.push(...invariants(property, "field", propertyPath(path, name)));
  }
  if (props.additionalProperties !== undefined && level === "root") {
    errors.push(fieldForbidden(childPath(path, "additionalProperties"), "must not be used at the root"));
  }
  if (additional !== undefined) {
    errors.push(...invariants(additional, "field", childPath(path, "additionalProperties")));
  }
  errors.push(...extensions(props, path), ...valueRules(props, level, path, true), ...typeRules(props, level, path));
  return [...errors, ...resourceRules(props, level, path)];
}

function extensions(props: JsonSchemaProps, path: string): FieldError[] {
  if (!props["x-kubernetes-int-or-string"]) return [];
  const names = ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] as const;
  return names
    .filter((name) => props[name] === true)
    .map((name) => fieldInvalid(childPath(path, name), true, "must be false if x-kubernetes-int-or-string is true"));
}

function typeRules(props: JsonSchemaProps, level: Level, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const at = childPath(path, "type");
  const type = props.type ?? "";
  const open = props["x-kubernetes-int-or-string"] === true || props["x-kubernetes-preserve-unknown-fields"] === true;
  if (props["x-kubernetes-embedded-resource"] && type !== "object") {
    const detail = "must be object if x-kubernetes-embedded-resource is true";
    errors.push(type === "" ? fieldRequired(at, detail) : fieldInvalid(at, type, detail));
  } else if (type === "" && !open) {
    const where = { root: "at the root", item: "for specified array items", field: "for specified object fields" };
    errors.push(fieldRequired(at, `must not be empty ${where[level]}`));
  }
  if (level === "root" && type !== "" && type !== "object") {
    errors.push(fieldInvalid(at, type, "must be object at the root"));
  }
  return errors;
}

/** What a resource, at the root or embedded, may say of its kind and metadata. */
function resourceRules(props: JsonSchemaProps, level: Level, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const embedded = props["x-kubernetes-embedded-resource"] === true;
  const isResource = level === "root" || embedded;
  if (embedded && props.additionalProperties !== undefined) {
    const detail = "must not be used if x-kubernetes-embedded-resource is set";
    errors.push(fieldForbidden(childPath(path, "additionalProperties"), detail));
  }
  for (const name of isResource ? ["kind", "apiVersion"] : []) {
    const property = props.properties?.[name];
    if (property === undefined || property.type === "string") continue;
    errors.push(fieldInvalid(childPath(propertyPath(path, name), "type"), property.type ?? "", "must be string"));
  }
  const metadata = props.properties?.["metadata"];
  const at = propertyPath(path, "metadata");
  if (metadata !== undefined && isResource && metadata.type !== "object") {
    errors.push(fieldInvalid(childPath(at, "type"), metadata.type ?? "", "must be object"));
  }
  if (metadata !== undefined && level === "root" && !restrictsNamesOnly(metadata)) {
    const detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
    errors.push(fieldForbidden(at, detail));
  }
  const bare =
    Object.keys(props.properties ?? {}).length === 0 && props["x-kubernetes-preserve-unknown-fields"] !== true;
  if (embedded && bare) {
    const detail =
      "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
    errors.push(fieldRequired(childPath(path, "properties"), detail));
  }
  return errors;
}

function restrictsNamesOnly(metadata: JsonSchemaProps): boolean {
  const { type: _type, default: _default, properties = {}, ...rest } = metadata;
  const others = Object.keys(properties).filter((name) => name !== "name" && name !== "generateName");
  return others.length === 0 && Object.keys(rest).length === 0;
}

/** The rules of a schema's value validation; `outermost` allows the two forms of int-or-string. */
function valueRules(props: JsonSchemaProps, level: Level, path: string, outermost: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const skipAnyOf = outermost && isIntOrString(props.anyOf);
  const nested = (
    list: readonly JsonSchemaProps[] | undefined,
    name: string,
    skip: (index: number) => boolean,
  ): void => {
    (list ?? []).forEach((each, index) => {
      errors.push(...nestedRules(each, level, indexPath(childPath(path, name), index), skip(index)));
    });
  };
  if (!skipAnyOf) nested(props.anyOf, "anyOf", () => false);
  nested(props.allOf, "allOf", (index) => outermost && index === 0 && isIntOrString(props.allOf?.[0]?.anyOf));
  nested(props.oneOf, "oneOf", () => false);
  if (props.not !== undefined) errors.push(...nestedRules(props.not, level, childPath(path, "not"), false));
  if (props.pattern) {
    try {
      compileGoRegExp(props.pattern);
    } catch (error) {
      const detail = `must be a valid regular expression, but isn't: ${error instanceof Error ? error.message : String(error)}`;
      errors.push(fieldInvalid(childPath(path, "pattern"), props.pattern, detail));
    }
  }
  return errors;
}

function isIntOrString(anyOf: readonly JsonSchemaProps[] | undefined): boolean {
  return anyOf !== undefined && deepEqual(anyOf, INT_OR_STRING);
}

const EMPTY = "must be empty to be structural";
const FALSE = "must be false to be structural";
const UNDEFINED = "must be undefined to be structural";

/** What must not be said below a junctor. */
const FORBIDDEN_BELOW = [
  ["type", EMPTY],
  ["additionalProperties", UNDEFINED],
  ["default", UNDEFINED],
  ["title", EMPTY],
  ["description", EMPTY],
  ["nullable", FALSE],
  ["x-kubernetes-preserve-unknown-fields", FALSE],
  ["x-kubernetes-embedded-resource", FALSE],
  ["x-kubernetes-int-or-string", FALSE],
  ["x-kubernetes-list-map-keys", EMPTY],
  ["x-kubernetes-list-type", UNDEFINED],
  ["x-kubernetes-map-type", UNDEFINED],
  ["x-kubernetes-validations", EMPTY],
] as const;

function nestedRules(props: JsonSchemaProps, level: Level, path: string, skipAnyOf: boolean): FieldError[] {
  const own = skipAnyOf ? { ...props, anyOf: undefined } : props;
  const { anyOf, ...withoutAnyOf } = own;
  const errors = valueRules(anyOf === undefined ? withoutAnyOf : { ...withoutAnyOf, anyOf }, level, path, false);
  const items = itemsOf(props);
  if (items !== undefined) errors.push(...nestedRules(items, level, childPath(path, "items"), false));
  for (const [name, property] of Object.entries(props.properties ?? {})) {
    errors.push(...nestedRules(property, "field", propertyPath(path, name), false));
  }
  for (const [name, detail] of FORBIDDEN_BELOW) {
    const value = props[name];
    const empty = value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
    // additionalProperties: false says nothing here.
    if (!empty && value !== false) errors.push(fieldForbidden(childPath(path, name), detail));
  }
  if (props.properties?.["metadata"] !== undefined) {
    errors.push(fieldForbidden(propertyPath(path, "metadata"), "must not be specified in a nested context"));
  }
  return errors;
}

/** Whatever a junctor speaks of must be specified outside of it, too. */
function junctorsComplete(
  props: JsonSchemaProps,
  outside: JsonSchemaProps | undefined,
  outsidePath: string,
  path: string,
): FieldError[] {
  if (outside === undefined) return [fieldRequired(outsidePath, `because it is defined in ${path}`)];
  const each = (list: readonly JsonSchemaProps[] | undefined, name: string): FieldError[] =>
    (list ?? []).flatMap((one, index) =>
      nestedComplete(one, outside, outsidePath, indexPath(childPath(path, name), index)),
    );
  return [
    ...(props.not === undefined ? [] : nestedComplete(props.not, outside, outsidePath, childPath(path, "not"))),
    ...each(props.allOf, "allOf"),
    ...each(props.anyOf, "anyOf"),
    ...each(props.oneOf, "oneOf"),
  ];
}

function nestedComplete(
  props: JsonSchemaProps,
  outside: JsonSchemaProps | undefined,
  outsidePath: string,
  path: string,
): FieldError[] {
  if (outside === undefined) return [fieldRequired(outsidePath, `because it is defined in ${path}`)];
  const errors = junctorsComplete(props, outside, outsidePath, path);
  const items = itemsOf(props);
  if (items !== undefined) {
    errors.push(...nestedComplete(items, itemsOf(outside), childPath(outsidePath, "items"), childPath(path, "items")));
  }
  for (const [name, property] of Object.entries(props.properties ?? {})) {
    const known = outside.properties?.[name];
    errors.push(...nestedComplete(property, known, propertyPath(outsidePath, name), propertyPath(path, name)));
  }
  return errors;
}
