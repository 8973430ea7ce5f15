// The patch rules of a kind, for strategic merge patches. Made once a type.
import { type PatchField, type PatchSchema, UNKNOWN_PATCH_SCHEMA } from "@coxswain/apimachinery";
import { type ModelField, modelType, referenceOf } from "./model.ts";

const made = new Map<string, PatchSchema>();

/** Patch rules of the type of that schema name. */
export function patchSchemaFor(schemaName: string): PatchSchema {
  const known = made.get(schemaName);
  if (known !== undefined) return known;
  const type = modelType(schemaName);
  const fields = new Map<string, PatchField>();
  const schema: PatchSchema = {
    lookup(name) {
      const field = type.fields.get(name);
      if (field === undefined) return undefined;
      const ready = fields.get(name) ?? patchField(field);
      fields.set(name, ready);
      return ready;
    },
  };
  made.set(schemaName, schema);
  return schema;
}

function patchField(field: ModelField): PatchField {
  const reference = referenceOf(field);
  const nested = reference === undefined ? undefined : patchSchemaFor(reference);
  const value: PatchField = { strategies: [], schema: nested };
  const schema = field.l === "map" ? (nested === undefined ? UNKNOWN_PATCH_SCHEMA : { lookup: () => value }) : nested;
  const base = { strategies: field.s ?? [], schema };
  return field.k === undefined ? base : { ...base, mergeKey: field.k };
}
