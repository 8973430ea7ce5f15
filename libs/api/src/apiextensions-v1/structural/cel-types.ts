// The types that rules of a schema see. What a schema leaves open cannot be reached by rules, as upstream has it.
import type { CelType, ListIdentity } from "@coxswain/cel";
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
  return plainType(schema, resource || schema.embedded);
}

/** Of an item, or of a value of a map: one that may be null is judged when it is there. */
function memberType(schema: StructuralSchema): CelType | undefined {
  const type = celTypeOf(schema, false);
  return type !== undefined && schema.nullable ? { is: "dyn" } : type;
}

/** Lists of type set and map are equal whatever their order. */
function identityOf({ listType, listMapKeys }: StructuralSchema): ListIdentity | undefined {
  if (listType === "set") return { by: "value" };
  return listType === "map" ? { by: "keys", keys: listMapKeys } : undefined;
}

function plainType(schema: StructuralSchema, resource: boolean): CelType | undefined {
  if (schema.intOrString) return { is: "dyn" };
  switch (schema.type) {
    case "object":
      return objectType(schema, resource);
    case "array": {
      const items = schema.items === undefined ? undefined : memberType(schema.items);
      return items === undefined ? undefined : { is: "list", items, identity: identityOf(schema) };
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
    const values = memberType(additional);
    return values === undefined ? undefined : { is: "map", values };
  }
  const implied = resource && !namesIdentity(properties);
  const fields: Record<string, CelType> = implied ? { ...IDENTITY } : {};
  for (const [name, property] of properties) {
    if (implied && META_FIELDS.has(name)) continue;
    const type = celTypeOf(property, false);
    if (type !== undefined) fields[name] = type;
  }
  return { is: "object", fields };
}

/** True where a schema says itself what rules see of every resource: then they see all that it says. */
function namesIdentity(properties: ReadonlyMap<string, StructuralSchema>): boolean {
  const isText = (schema: StructuralSchema | undefined): boolean => schema?.type === "string";
  const metadata = properties.get("metadata");
  const named = ["name", "generateName"].every((name) => isText(metadata?.properties.get(name)));
  return isText(properties.get("kind")) && isText(properties.get("apiVersion")) && metadata?.type === "object" && named;
}
