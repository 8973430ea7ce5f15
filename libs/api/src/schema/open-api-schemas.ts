// The component schemas of an OpenAPI v3 document, made from the model.
import { FIELD_TEXTS, typeText } from "./descriptions.ts";
import { model, type ModelField, type ModelType, modelType, referenceOf } from "./model.ts";

export type JsonSchema = Record<string, unknown>;

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
/** Model types that have a schema of their own, by name, with what it says. */
const SPECIAL: Readonly<Record<string, readonly [string, JsonSchema]>> = {
  quantity: [
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
    { description: "An exact amount, such as 500m or 2Gi.", oneOf: [{ type: "string" }, { type: "number" }] },
  ],
  "int-or-string": [
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    { description: "A number or a string.", format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] },
  ],
  time: [`${META}.Time`, { description: "A time, in RFC 3339.", type: "string", format: "date-time" }],
  "micro-time": [
    `${META}.MicroTime`,
    { description: "A time with microseconds, in RFC 3339.", type: "string", format: "date-time" },
  ],
  fields: [`${META}.FieldsV1`, { description: "A set of fields.", type: "object" }],
  raw: ["io.k8s.apimachinery.pkg.runtime.RawExtension", { description: "Any object.", type: "object" }],
};

const SCALARS: Readonly<Record<string, JsonSchema>> = {
  string: { type: "string" },
  bool: { type: "boolean" },
  int32: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  double: { type: "number", format: "double" },
  bytes: { type: "string", format: "byte" },
  duration: { type: "string" },
  "string-list": { type: "array", items: { type: "string" } },
  any: {},
  "schema-or-bool": {},
  "schema-or-array": {},
  "schema-or-strings": {},
};

const pointer = (name: string): string => `#/components/schemas/${name}`;

/** A reference, in the form that leaves room for a text beside it. */
export function referenceTo(name: string): JsonSchema {
  return { allOf: [{ $ref: pointer(name) }] };
}

/** The schemas of these types and of all they refer to, by name. */
export function componentSchemas(names: readonly string[]): Record<string, JsonSchema> {
  const schemas = new Map<string, JsonSchema>();
  const queue = [...names];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (schemas.has(name)) continue;
    const type = modelType(name);
    schemas.set(name, typeSchema(type));
    for (const field of type.fields.values()) {
      const reference = referenceOf(field);
      const special = SPECIAL[field.t];
      if (reference !== undefined) queue.push(reference);
      if (special !== undefined) schemas.set(special[0], special[1]);
    }
  }
  return Object.fromEntries([...schemas].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** The schema names of the kinds of a group and version, lists and options included. */
export function kindSchemaNames(group: string, version: string): string[] {
  return [...model().values()]
    .filter((type) => type.gvk?.[0] === group && type.gvk[1] === version && !type.name.startsWith(META))
    .map((type) => type.name);
}

function typeSchema(type: ModelType): JsonSchema {
  const shortName = type.name.slice(type.name.lastIndexOf(".") + 1);
  const properties: Record<string, JsonSchema> = {};
  const required: string[] = [];
  for (const [name, field] of [...type.fields].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    properties[name] = fieldSchema(`${shortName}.${name}`, name, field);
    if (field.r !== undefined) required.push(name);
  }
  const schema: JsonSchema = { description: typeText(shortName), type: "object" };
  // Typed clients write no empty list or map, so that a document that has one is another one when they write it.
  if (type.fields.size > 0) schema["properties"] = properties;
  if (required.length > 0) schema["required"] = required;
  if (type.gvk !== undefined) {
    const [group, version, kind] = type.gvk;
    schema["x-kubernetes-group-version-kind"] = [{ group, version, kind }];
  }
  return schema;
}

function fieldSchema(qualified: string, name: string, field: ModelField): JsonSchema {
  const value = valueSchema(field);
  let schema: JsonSchema = { ...value };
  if (field.l === "list") schema = { type: "array", items: value };
  else if (field.l === "map") schema = { type: "object", additionalProperties: value };
  schema["description"] = FIELD_TEXTS[qualified] ?? FIELD_TEXTS[name] ?? `The ${name} field.`;
  if (field.d !== undefined) schema["default"] = field.d;
  if (field.lt !== undefined)
    schema[field.l === "list" ? "x-kubernetes-list-type" : "x-kubernetes-map-type"] = field.lt;
  if (field.mk !== undefined) schema["x-kubernetes-list-map-keys"] = field.mk;
  if (field.k !== undefined) schema["x-kubernetes-patch-merge-key"] = field.k;
  if (field.s !== undefined) schema["x-kubernetes-patch-strategy"] = field.s.join(",");
  return schema;
}

function valueSchema(field: ModelField): JsonSchema {
  const reference = referenceOf(field);
  if (reference !== undefined) return referenceTo(reference);
  const special = SPECIAL[field.t];
  if (special !== undefined) return referenceTo(special[0]);
  const scalar = SCALARS[field.t] ?? { type: "object" };
  return field.e === undefined ? scalar : { ...scalar, enum: field.e };
}
