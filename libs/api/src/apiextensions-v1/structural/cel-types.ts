// The types that rules of a schema see. What a schema leaves open cannot be reached by rules, as upstream has it.
import type { CelType } from "@coxswain/cel";
import { normalizedFormat } from "./formats.ts";
import { META_FIELDS, type StructuralSchema } from "./schema.ts";

const TEXT: CelType = { is: "string" };
const IDENTITY: Readonly<Record<string, CelType>> = {
  apiVersion: TEXT,
  kind: TEXT,
  metadata: { is: "object", fields: { name: TEXT, generateName: TEXT } },
};

const STRINGS: Readonly<Record<string, CelType>> = {
  byte: { is: "bytes" },
  duration: { is: "duration" },
  date: { is: "timestamp" },
  datetime: { is: "timestamp" },
};

/** `resource` is true for the root, which has metadata, kind and apiVersion. Undefined where rules see nothing. */
export function celTypeOf(schema: StructuralSchema, resource: boolean): CelType | undefined {
  const type = plainType(schema, resource || schema.embedded);
  // A value that may be null is judged when it is there.
  return type !== undefined && schema.nullable ? { is: "dyn" } : type;
}

function plainType(schema: StructuralSchema, resource: boolean): CelType | undefined {
  if (schema.intOrString) return { is: "dyn" };
  switch (schema.type) {
    case "object":
      return objectType(schema, resource);
    case "array": {
      const items = schema.items === undefined ? undefined : celTypeOf(schema.items, false);
      return items === undefined ? undefined : { is: "list", items };
    }
    case "string":
      return STRINGS[normalizedFormat(schema.source.format ?? "")] ?? TEXT;
    case "integer":
      return { is: "int" };
    case "number":
      return { is: "double" };
    case "boolean":
      return { is: "bool" };
    default:
      return undefined;
  }
}

function objectType(schema: StructuralSchema, resource: boolean): CelType | undefined {
  const { additional, properties } = schema;
  if (additional !== undefined && additional !== true) {
    const values = celTypeOf(additional, false);
    return values === undefined ? undefined : { is: "map", values };
  }
  const fields: Record<string, CelType> = resource ? { ...IDENTITY } : {};
  for (const [name, property] of properties) {
    if (resource && META_FIELDS.has(name)) continue;
    const type = celTypeOf(property, false);
    if (type !== undefined) fields[name] = type;
  }
  return { is: "object", fields };
}
