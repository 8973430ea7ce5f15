// Says why a value does not fit its type: unknown fields, wrong kinds, list items without or with double keys.
import { isJsonObject } from "../deep.ts";
import { goText, quote } from "../quote.ts";
import { itemElement, showElement } from "./path-element.ts";
import type { ListSchema, MapSchema, ScalarType, TypeSchema } from "./type-schema.ts";

/** Messages of the form `.spec.foo: field not declared in schema`; none where the value fits. null fits everywhere. */
export function checkTyped(value: unknown, type: TypeSchema): string[] {
  const errors: string[] = [];
  check(value, type, "", errors);
  return errors;
}

function check(value: unknown, type: TypeSchema, path: string, errors: string[]): void {
  if (value === null || value === undefined) return;
  if (Array.isArray(value) && type.list !== undefined) checkItems(value, type.list, path, errors);
  else if (isJsonObject(value) && type.map !== undefined) checkMembers(value, type.map, path, errors);
  else if (type.scalar === undefined || (typeof value === "object" && (type.map ?? type.list) !== undefined)) {
    errors.push(`${path}: expected ${type.map ? "map" : "list"}, got &{${goText(value)}}`);
  } else if (typeof value === "object" || !fits(value, type.scalar)) {
    errors.push(`${path}: expected ${expected(type.scalar)}, got ${showScalar(value, type.scalar)}`);
  }
}

const TYPE_OF: Readonly<Record<Exclude<ScalarType, "untyped">, string>> = {
  string: "string",
  numeric: "number",
  boolean: "boolean",
};

function fits(value: unknown, type: ScalarType): boolean {
  return type === "untyped" || typeof value === TYPE_OF[type];
}

function expected(type: ScalarType): string {
  return type === "numeric" ? "numeric (int or float)" : type === "untyped" ? "scalar" : type;
}

/** As Go's printing has it, which is upstream's way here. */
function showScalar(value: unknown, wanted: ScalarType): string {
  if (wanted === "numeric") return goType(value);
  return wanted === "string" ? `&value.valueUnstructured{Value:${goSyntax(value)}}` : `&{${goText(value)}}`;
}

function goType(value: unknown): string {
  if (Array.isArray(value)) return "[]interface {}";
  if (isJsonObject(value)) return "map[string]interface {}";
  return typeof value === "boolean" ? "bool" : "string";
}

function goSyntax(value: unknown): string {
  if (value === null) return "interface {}(nil)";
  if (typeof value !== "object") return typeof value === "string" ? quote(value) : JSON.stringify(value);
  const members = Array.isArray(value)
    ? value.map((each) => goSyntax(each))
    : Object.keys(value)
        .toSorted()
        .map((key) => `${quote(key)}:${goSyntax((value as Record<string, unknown>)[key])}`);
  return `${goType(value)}{${members.join(", ")}}`;
}

function checkMembers(value: Record<string, unknown>, map: MapSchema, path: string, errors: string[]): void {
  for (const name of Object.keys(value)) {
    const at = `${path}.${name}`;
    const type = map.field(name)?.type ?? map.element();
    if (type === undefined) {
      // The rest of the map is not looked at.
      errors.push(`${at}: field not declared in schema`);
      return;
    }
    check(value[name], type, at, errors);
  }
}

function checkItems(items: readonly unknown[], list: ListSchema, path: string, errors: string[]): void {
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    if (list.relationship === "atomic") {
      check(item, list.element(), `${path}[${index}]`, errors);
      continue;
    }
    const element = itemElement(list, item);
    if (element === undefined) errors.push(`${path}: element ${index}: ${whyNoElement(item, list)}`);
    else if (seen.has(element)) errors.push(`${path}: duplicate entries for key ${showElement(element)}`);
    else {
      seen.add(element);
      check(item, list.element(), path + showElement(element), errors);
    }
  }
}

function whyNoElement(item: unknown, list: ListSchema): string {
  if (list.relationship === "set") {
    if (isJsonObject(item)) return "associative list without keys has an element that's a map type";
    if (Array.isArray(item)) return "not supported: associative list with lists as elements";
    return "associative list without keys has an element that's an explicit null";
  }
  if (item === null) return "associative list with keys may not have a null element";
  if (!isJsonObject(item)) return "associative list with keys may not have non-map elements";
  const keys = list.keys.map((key) => JSON.stringify(key)).join(" ");
  return `associative list with keys has an element that omits all key fields [${keys}] (and doesn't have default values for any key fields)`;
}
