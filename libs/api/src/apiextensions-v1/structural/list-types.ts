// The promise of x-kubernetes-list-type: items of a set are distinct, items of a map have distinct keys.
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  indexPath,
  isJsonObject,
  keyPath,
  type FieldError,
} from "@coxswain/apimachinery";
import type { StructuralSchema } from "./schema.ts";

/** Errors of all lists in `value`. */
export function validateListTypes(value: unknown, schema: StructuralSchema, path = ""): FieldError[] {
  if (!schema.hasUniqueLists) return [];
  if (Array.isArray(value)) return validateList(value, schema, path);
  if (!isJsonObject(value)) return [];
  return Object.keys(value).flatMap((key) => {
    const property = schema.properties.get(key);
    if (property !== undefined) return validateListTypes(value[key], property, childPath(path, key));
    const { additional } = schema;
    if (additional === undefined || additional === true) return [];
    return validateListTypes(value[key], additional, keyPath(path, key));
  });
}

function validateList(list: readonly unknown[], schema: StructuralSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema.listType === "set") {
    for (const index of secondAppearances(list)) errors.push(fieldDuplicate(indexPath(path, index), list[index]));
  } else if (schema.listType === "map") errors.push(...validateMapList(list, schema.listMapKeys, path));
  const { items } = schema;
  if (items === undefined) return errors;
  return [...errors, ...list.flatMap((each, index) => validateListTypes(each, items, indexPath(path, index)))];
}

function validateMapList(list: readonly unknown[], keys: readonly string[], path: string): FieldError[] {
  const odd = list.findIndex((item) => item !== null && !isJsonObject(item));
  if (odd >= 0) {
    return [fieldInvalid(indexPath(path, odd), list[odd], "must be an object for an array of list-type map")];
  }
  const keysOf = list.map((item) => listKey(item, keys));
  return secondAppearances(keysOf).map((index) => fieldDuplicate(indexPath(path, index), keysOf[index]));
}

/** The key fields of an item of a map list, as far as they are set. */
export function listKey(item: unknown, keys: readonly string[]): Record<string, unknown> {
  if (!isJsonObject(item)) return {};
  return Object.fromEntries(keys.filter((key) => Object.hasOwn(item, key)).map((key) => [key, item[key]]));
}

/** Indices at which a value is met the second time. */
function secondAppearances(list: readonly unknown[]): number[] {
  if (list.length <= 1) return [];
  const seen = new Map<string, number>();
  const found: number[] = [];
  list.forEach((item, index) => {
    const text = canonicalText(item);
    const times = seen.get(text) ?? 0;
    if (times === 1) found.push(index);
    seen.set(text, times + 1);
  });
  return found;
}

/** The same text for values that are equal, whatever the order of their members. */
export function canonicalText(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    isJsonObject(member)
      ? Object.fromEntries(
          Object.keys(member)
            .toSorted()
            .map((key) => [key, member[key]]),
        )
      : member,
  );
}
