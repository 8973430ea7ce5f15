// The rules for what a schema of a custom resource may say at all, place by place.
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  keyPath,
  type FieldError,
} from "@coxswain/apimachinery";
import type { JsonSchemaProps } from "../types.ts";
import { validateRuleTexts } from "./rule-texts.ts";
import { additionalOf, itemsOf, META_FIELDS } from "./schema.ts";

const TYPES = ["array", "boolean", "integer", "number", "object", "string"];

interface Place {
  readonly root: boolean;
  readonly insideMeta: boolean;
  /** Set where no default may stand: why. */
  readonly noDefaults: string | undefined;
}

const ROOT: Place = { root: true, insideMeta: false, noDefaults: undefined };

export function validateOpenApi(props: JsonSchemaProps, path: string): FieldError[] {
  return validateAt(props, path, ROOT);
}

function validateAt(props: JsonSchemaProps, path: string, place: Place): FieldError[] {
  const inner = { ...place, root: false };
  return [
    ...unsupported(props, path, place),
    ...additionalProperties(props, path, inner),
    ...Object.entries(props.properties ?? {}).flatMap(([name, property]) =>
      validateAt(property, keyPath(childPath(path, "properties"), name), propertyPlace(props, name, place)),
    ),
    ...junctors(props, path, inner),
    ...listsAndMaps(props, path),
    ...validateRuleTexts(props, path),
  ];
}

function propertyPlace(props: JsonSchemaProps, name: string, place: Place): Place {
  const resource = place.root || props["x-kubernetes-embedded-resource"] === true;
  if (!resource || !META_FIELDS.has(name)) return { ...place, root: false };
  return { root: false, insideMeta: true, noDefaults: place.root ? `in top-level ${name}` : place.noDefaults };
}

const NEVER = ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] as const;

function unsupported(props: JsonSchemaProps, path: string, place: Place): FieldError[] {
  const errors: FieldError[] = [];
  const type = props.type ?? "";
  if (type === "null") {
    const detail = "type cannot be set to null, use nullable as an alternative";
    errors.push(fieldForbidden(childPath(path, "type"), detail));
  }
  if (type !== "" && !TYPES.includes(type)) {
    errors.push(fieldNotSupported(childPath(path, "type"), type, TYPES));
  }
  if (props.default !== undefined && place.noDefaults !== undefined) {
    errors.push(fieldForbidden(childPath(path, "default"), `must not be set ${place.noDefaults}`));
  }
  for (const name of NEVER) {
    if (props[name] !== undefined) errors.push(fieldForbidden(childPath(path, name), `${name} is not supported`));
  }
  if (Array.isArray(props.items) && props.items.length > 0) {
    errors.push(fieldForbidden(childPath(path, "items"), "items must be a schema object and not an array"));
  }
  if (place.insideMeta && props["x-kubernetes-embedded-resource"]) {
    const at = childPath(path, "x-kubernetes-embedded-resource");
    errors.push(fieldForbidden(at, "must not be used inside of resource meta"));
  }
  if (props.uniqueItems) {
    const detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
    errors.push(fieldForbidden(childPath(path, "uniqueItems"), detail));
  }
  if (props["x-kubernetes-preserve-unknown-fields"] === false) {
    errors.push(
      fieldInvalid(childPath(path, "x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined"),
    );
  }
  return errors;
}

function additionalProperties(props: JsonSchemaProps, path: string, place: Place): FieldError[] {
  if (props.additionalProperties === undefined) return [];
  const errors: FieldError[] = [];
  const at = childPath(path, "additionalProperties");
  if (Object.keys(props.properties ?? {}).length > 0 && props.additionalProperties !== true) {
    errors.push(fieldForbidden(at, "additionalProperties and properties are mutual exclusive"));
  }
  const schema = additionalOf(props);
  if (schema === undefined) return errors;
  const noDefaults = place.insideMeta ? "inside additionalProperties applying to object metadata" : place.noDefaults;
  return [...errors, ...validateAt(schema, at, { ...place, noDefaults })];
}

function junctors(props: JsonSchemaProps, path: string, place: Place): FieldError[] {
  const each = (name: "allOf" | "oneOf" | "anyOf"): FieldError[] =>
    (props[name] ?? []).flatMap((one, index) => validateAt(one, indexPath(childPath(path, name), index), place));
  const items = itemsOf(props);
  return [
    ...(props.not === undefined ? [] : validateAt(props.not, childPath(path, "not"), place)),
    ...each("allOf"),
    ...each("oneOf"),
    ...each("anyOf"),
    ...(items === undefined ? [] : validateAt(items, childPath(path, "items"), place)),
  ];
}

function requireType(props: JsonSchemaProps, path: string, type: string, extension: string): FieldError[] {
  if (props.type === type) return [];
  const at = childPath(path, "type");
  const detail = `must be ${type} if ${extension} is specified`;
  return [props.type ? fieldInvalid(at, props.type, detail) : fieldRequired(at, detail)];
}

function listsAndMaps(props: JsonSchemaProps, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const mapType = props["x-kubernetes-map-type"];
  const listType = props["x-kubernetes-list-type"];
  const keys = props["x-kubernetes-list-map-keys"] ?? [];
  const mapAt = childPath(path, "x-kubernetes-map-type");
  const listAt = childPath(path, "x-kubernetes-list-type");
  if (mapType !== undefined) {
    errors.push(...requireType(props, path, "object", "x-kubernetes-map-type"));
    if (!["atomic", "granular"].includes(mapType)) {
      errors.push(fieldNotSupported(mapAt, mapType, ["atomic", "granular"]));
    }
  }
  if (listType !== undefined) {
    const wrong = requireType(props, path, "array", "x-kubernetes-list-type");
    errors.push(...(wrong.length > 0 ? wrong : setItems(props, path)));
    if (!["atomic", "set", "map"].includes(listType)) {
      errors.push(fieldNotSupported(listAt, listType, ["atomic", "set", "map"]));
    }
  }
  if (keys.length > 0 && listType !== "map") {
    const detail = "must be map if x-kubernetes-list-map-keys is non-empty";
    errors.push(listType === undefined ? fieldRequired(listAt, detail) : fieldInvalid(listAt, listType, detail));
  }
  if (listType === "map") errors.push(...mapList(props, keys, path));
  return [...errors, ...uniqueItemsRules(props, path)];
}

/** Items of a set are compared whole, so they must be atomic. */
function setItems(props: JsonSchemaProps, path: string): FieldError[] {
  const items = itemsOf(props);
  if (props["x-kubernetes-list-type"] !== "set" || items === undefined) return [];
  const at = childPath(path, "items");
  const detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
  const listType = items["x-kubernetes-list-type"];
  if (items.type === "array" && listType !== undefined && listType !== "atomic") {
    return [fieldInvalid(childPath(at, "x-kubernetes-list-type"), listType, detail)];
  }
  if (items.type === "object" && items["x-kubernetes-map-type"] !== "atomic") {
    const shown = listType === undefined ? "null" : JSON.stringify(listType);
    const field = childPath(at, "x-kubernetes-map-type");
    return [{ type: "FieldValueInvalid", field, detail: `Invalid value: ${shown}: ${detail}` }];
  }
  return [];
}

function mapList(props: JsonSchemaProps, keys: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const keysAt = childPath(path, "x-kubernetes-list-map-keys");
  const itemsAt = childPath(path, "items");
  const items = itemsOf(props);
  if (keys.length === 0) errors.push(fieldRequired(keysAt, "must not be empty if x-kubernetes-list-type is map"));
  if (props.items === undefined) {
    errors.push(fieldRequired(itemsAt, "must have a schema if x-kubernetes-list-type is map"));
  }
  if (items === undefined) return errors;
  if (items.type !== "object") {
    const detail = "must be object if parent array's x-kubernetes-list-type is map";
    return [...errors, fieldInvalid(childPath(itemsAt, "type"), items.type ?? "", detail)];
  }
  const seen = new Set<string>();
  for (const key of keys) {
    const property = items.properties?.[key];
    if (property === undefined) {
      errors.push(fieldInvalid(keysAt, keys, "entries must all be names of item properties"));
    } else if (property.type === "array" || property.type === "object") {
      const at = childPath(keyPath(childPath(itemsAt, "properties"), key), "type");
      const detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
      errors.push(fieldInvalid(at, items.type, detail));
    }
    if (seen.has(key)) errors.push(fieldInvalid(keysAt, keys, "must not contain duplicate entries"));
    seen.add(key);
  }
  return errors;
}

function uniqueItemsRules(props: JsonSchemaProps, path: string): FieldError[] {
  const listType = props["x-kubernetes-list-type"] ?? "";
  const items = itemsOf(props);
  if (items === undefined || (listType !== "set" && listType !== "map")) return [];
  const errors: FieldError[] = [];
  if (items.nullable) {
    const at = childPath(path, "items", "nullable");
    errors.push(fieldForbidden(at, `cannot be nullable when x-kubernetes-list-type is ${listType}`));
  }
  for (const key of listType === "map" ? (props["x-kubernetes-list-map-keys"] ?? []) : []) {
    const property = items.properties?.[key];
    if (property === undefined) continue;
    const at = keyPath(childPath(path, "items", "properties"), key);
    if (items.required?.includes(key) !== true && property.default === undefined) {
      const detail =
        "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
      errors.push(fieldRequired(childPath(at, "default"), detail));
    }
    if (property.nullable) {
      const detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
      errors.push(fieldForbidden(childPath(at, "nullable"), detail));
    }
  }
  return errors;
}
