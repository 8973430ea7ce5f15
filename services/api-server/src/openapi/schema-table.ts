// The kinds' schemas in OpenAPI v3 form, made from the model of the API's types. Pure; each schema is made once.
import type { ModelField, ModelType } from "@coxswain/api/schema/index";
import { schemaFor } from "@coxswain/api/schema/index";
import type { Schema, SchemaTable } from "./openapi-documents.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const TIME = `${META}.Time`;
const MICRO_TIME = `${META}.MicroTime`;
const FIELDS = `${META}.FieldsV1`;
const RAW = "io.k8s.apimachinery.pkg.runtime.RawExtension";
const QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/** Types that the model has as scalars and OpenAPI as named schemas. */
const NAMED: Readonly<Record<string, Schema>> = {
  [TIME]: { type: "string", format: "date-time" },
  [MICRO_TIME]: { type: "string", format: "date-time" },
  [FIELDS]: { type: "object" },
  [RAW]: { type: "object" },
  [QUANTITY]: { oneOf: [{ type: "string" }, { type: "number" }] },
  [INT_OR_STRING]: { oneOf: [{ type: "integer" }, { type: "string" }], format: "int-or-string" },
};

const SCALARS: Readonly<Record<string, Schema>> = {
  string: { type: "string" },
  bool: { type: "boolean" },
  int32: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  double: { type: "number", format: "double" },
  bytes: { type: "string", format: "byte" },
  duration: { type: "string" },
  "string-list": { type: "array", items: { type: "string" } },
};

const REFERENCES: Readonly<Record<string, string>> = {
  quantity: QUANTITY,
  "int-or-string": INT_OR_STRING,
  time: TIME,
  "micro-time": MICRO_TIME,
  raw: RAW,
  fields: FIELDS,
};

function referenceOf(field: ModelField): string | undefined {
  return field.t.startsWith("#") ? field.t.slice(1) : REFERENCES[field.t];
}

function valueSchema(field: ModelField): Schema {
  const reference = referenceOf(field);
  if (reference !== undefined) return { allOf: [{ $ref: `#/components/schemas/${reference}` }] };
  const scalar = SCALARS[field.t];
  if (scalar === undefined) throw new Error(`no OpenAPI form for the type ${field.t}`);
  return field.e === undefined ? scalar : { ...scalar, enum: field.e };
}

function fieldSchema(field: ModelField): Schema {
  const value = valueSchema(field);
  const shape: Schema =
    field.l === "list"
      ? { type: "array", items: value }
      : field.l === "map"
        ? { type: "object", additionalProperties: value }
        : value;
  return {
    ...shape,
    ...(field.d === undefined ? {} : { default: field.d }),
    ...(field.lt === undefined
      ? {}
      : { [field.l === "list" ? "x-kubernetes-list-type" : "x-kubernetes-map-type"]: field.lt }),
    ...(field.mk === undefined ? {} : { "x-kubernetes-list-map-keys": field.mk }),
    ...(field.k === undefined ? {} : { "x-kubernetes-patch-merge-key": field.k }),
    ...(field.s === undefined ? {} : { "x-kubernetes-patch-strategy": field.s.join(",") }),
  };
}

function typeSchema(type: ModelType): Schema {
  const fields = [...type.fields].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const required = fields.filter(([, field]) => field.r === 1).map(([name]) => name);
  const [group, version, kind] = type.gvk ?? [];
  return {
    type: "object",
    ...(required.length === 0 ? {} : { required }),
    properties: Object.fromEntries(fields.map(([name, field]) => [name, fieldSchema(field)])),
    ...(kind === undefined ? {} : { "x-kubernetes-group-version-kind": [{ group, version, kind }] }),
  };
}

export function createSchemaTable(): SchemaTable {
  const made = new Map<string, Schema>();
  const schemaOf = (name: string): Schema => {
    let schema = made.get(name);
    if (schema === undefined) made.set(name, (schema = NAMED[name] ?? typeSchema(schemaFor(name))));
    return schema;
  };
  return {
    closure(names) {
      const found = new Map<string, Schema>();
      const queue = [...names];
      for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
        if (found.has(name)) continue;
        found.set(name, schemaOf(name));
        if (NAMED[name] !== undefined) continue;
        for (const field of schemaFor(name).fields.values()) {
          const reference = referenceOf(field);
          if (reference !== undefined) queue.push(reference);
        }
      }
      return Object.fromEntries([...found].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    },
  };
}
