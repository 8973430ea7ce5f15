// Fills in the defaults of a schema. Guarantees: idempotent; a null stays where the schema allows it or gives no default
// to take its place; defaults are copied, never shared.
import { deepClone, isJsonObject, setOwn } from "@coxswain/apimachinery";
import type { StructuralSchema } from "./schema.ts";

/** Applies defaults in place; returns true where something changed. */
export function applyDefaults(value: unknown, schema: StructuralSchema): boolean {
  if (!schema.hasDefaults) return false;
  let changed = false;
  if (isJsonObject(value)) {
    for (const [name, property] of schema.properties) {
      if (property.fallback === undefined) continue;
      if (Object.hasOwn(value, name) && !isUnwantedNull(value[name], property)) continue;
      setOwn(value, name, deepClone(property.fallback));
      changed = true;
    }
    for (const key of Object.keys(value)) {
      const member = memberSchema(schema, key);
      if (member === undefined) continue;
      if (!schema.properties.has(key) && isUnwantedNull(value[key], member) && member.fallback !== undefined) {
        setOwn(value, key, deepClone(member.fallback));
        changed = true;
      }
      if (applyDefaults(value[key], member)) changed = true;
    }
  } else if (Array.isArray(value) && schema.items !== undefined) {
    const { items } = schema;
    for (let i = 0; i < value.length; i++) {
      if (isUnwantedNull(value[i], items) && items.fallback !== undefined) {
        value[i] = deepClone(items.fallback);
        changed = true;
      }
      if (applyDefaults(value[i], items)) changed = true;
    }
  }
  return changed;
}

/** Takes out members that are null where the schema allows no null and has no default; returns true where it did. */
export function dropUnwantedNulls(value: unknown, schema: StructuralSchema | undefined): boolean {
  let changed = false;
  if (isJsonObject(value)) {
    for (const key of Object.keys(value)) {
      const member = schema === undefined ? undefined : memberSchema(schema, key);
      if (member !== undefined && member.fallback === undefined && isUnwantedNull(value[key], member)) {
        delete value[key];
        changed = true;
      } else if (dropUnwantedNulls(value[key], member)) changed = true;
    }
  } else if (Array.isArray(value)) {
    for (const each of value) if (dropUnwantedNulls(each, schema?.items)) changed = true;
  }
  return changed;
}

function memberSchema(schema: StructuralSchema, key: string): StructuralSchema | undefined {
  return schema.properties.get(key) ?? (schema.additional === true ? undefined : schema.additional);
}

function isUnwantedNull(value: unknown, schema: StructuralSchema): boolean {
  return value === null && !schema.nullable;
}
