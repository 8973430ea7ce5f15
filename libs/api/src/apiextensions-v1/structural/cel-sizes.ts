// How large the values of a schema may get, and how small: by its limits, and where it has none by what fits into a request.
// Guarantee: a schema and a rule give the figures of upstream, on which it depends whether a definition is accepted.
// https://github.com/kubernetes/apiserver/blob/v0.35.0/pkg/cel/common/schemas.go
import { celFieldName, type CostSizes } from "@coxswain/cel";
import { normalizedFormat } from "./formats.ts";
import { META_FIELDS, type StructuralSchema } from "./schema.ts";

/** The largest request, in bytes. */
const REQUEST_BYTES = 3 * 1024 * 1024;

/** The sizes of one place in a schema. */
export interface SizedSchema {
  /** "list", "map", "object", "dyn", or a simple type. */
  readonly kind: string;
  /** Characters, bytes or entries at most; 0 for what has none. */
  readonly most: number;
  /** Bytes of the shortest JSON. */
  readonly least: number;
  /** By the names that rules use. */
  readonly fields?: ReadonlyMap<string, SizedSchema>;
  /** Of a list or a map. */
  readonly element?: SizedSchema;
}

const MOST_TEXT = REQUEST_BYTES - 2;
const KEY: SizedSchema = { kind: "string", most: 0, least: 2 };
const PLAIN_TEXT: SizedSchema = { kind: "string", most: MOST_TEXT, least: 2 };

/** Texts whose format says how long they are, with their marks. */
const FORMATS: Readonly<Record<string, SizedSchema>> = {
  duration: { kind: "google.protobuf.Duration", most: 32, least: 3 },
  date: { kind: "google.protobuf.Timestamp", most: 12, least: 12 },
  datetime: { kind: "google.protobuf.Timestamp", most: 32, least: 21 },
};

const limit = (given: number): number => Math.max(given, 0);

/** `resource` is true for the root of an object. Undefined where rules see nothing. */
export function sizedSchema(schema: StructuralSchema, resource: boolean): SizedSchema | undefined {
  const { source, type } = schema;
  if (schema.intOrString) return { kind: "dyn", most: textLimit(source.maxLength), least: 1 };
  switch (type) {
    case "object":
      return sizedObject(schema, resource || schema.embedded);
    case "array": {
      const element = schema.items === undefined ? undefined : sizedSchema(schema.items, false);
      if (element === undefined) return undefined;
      const most = source.maxItems === undefined ? Math.floor(MOST_TEXT / (element.least + 1)) : limit(source.maxItems);
      return { kind: "list", most, least: 2, element };
    }
    case "string":
      return sizedText(schema);
    case "integer":
      return { kind: "int", most: 0, least: 1 };
    case "number":
      return { kind: "double", most: 0, least: 1 };
    case "boolean":
      return { kind: "bool", most: 0, least: 4 };
    default:
      return undefined;
  }
}

/** A character takes four bytes at most. */
function textLimit(maxLength: number | undefined): number {
  return maxLength === undefined ? MOST_TEXT : limit(maxLength) * 4;
}

function sizedText({ source }: StructuralSchema): SizedSchema {
  const format = normalizedFormat(source.format ?? "");
  if (Object.hasOwn(FORMATS, format)) return FORMATS[format]!;
  if (format === "byte") {
    return { kind: "bytes", most: source.maxLength === undefined ? MOST_TEXT : limit(source.maxLength), least: 2 };
  }
  const values = source.enum ?? [];
  if (source.maxLength !== undefined || values.length === 0) {
    return { kind: "string", most: textLimit(source.maxLength), least: 2 };
  }
  const lengths = values.map((value) => (typeof value === "string" ? Buffer.byteLength(value) : 0));
  return { kind: "string", most: Math.max(...lengths), least: 2 };
}

function sizedObject(schema: StructuralSchema, resource: boolean): SizedSchema | undefined {
  const { additional, properties, source } = schema;
  if (additional !== undefined && additional !== true) {
    const element = sizedSchema(additional, false);
    if (element === undefined) return undefined;
    const most =
      source.maxProperties === undefined ? Math.floor(MOST_TEXT / (element.least + 6)) : limit(source.maxProperties);
    return { kind: "map", most, least: 2, element };
  }
  const fields = new Map<string, SizedSchema>();
  const required = new Set(source.required ?? []);
  let least = 2;
  const place = (name: string, sized: SizedSchema | undefined, hasDefault: boolean): void => {
    if (sized === undefined) return;
    const as = celFieldName(name);
    if (as !== undefined) fields.set(as, sized);
    if (required.has(name) && !hasDefault) least += Buffer.byteLength(name) + sized.least + 4;
  };
  for (const [name, property] of properties) {
    if (resource && META_FIELDS.has(name)) continue;
    place(name, sizedSchema(property, false), property.fallback !== undefined);
  }
  if (resource) {
    for (const name of ["apiVersion", "kind"]) place(name, PLAIN_TEXT, false);
    const names = new Map([
      ["name", PLAIN_TEXT],
      ["generateName", PLAIN_TEXT],
    ]);
    place("metadata", { kind: "object", most: 0, least: 2, fields: names }, false);
  }
  return { kind: "object", most: 0, least, fields };
}

function step(at: SizedSchema | undefined, name: string): SizedSchema | undefined {
  if (name === "@items" || name === "@values") return at?.element;
  if (name === "@keys") return at?.kind === "map" ? KEY : undefined;
  return at?.fields?.get(name);
}

/** For expressions whose variables are all of the schema. */
export function costSizes(root: SizedSchema): CostSizes {
  const at = (path: readonly string[]): SizedSchema | undefined =>
    path.length === 0 ? undefined : path.slice(1).reduce<SizedSchema | undefined>(step, root);
  return {
    size(path) {
      const found = at(path);
      return found === undefined ? undefined : { min: 0, max: found.most };
    },
    kind: (path) => at(path)?.kind,
  };
}

/** How often a value of the schema can stand in a request. */
export function mostInRequest({ least }: SizedSchema): number {
  return Math.floor(REQUEST_BYTES / (least + 1));
}
