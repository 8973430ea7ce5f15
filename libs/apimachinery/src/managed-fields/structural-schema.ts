// The types of custom resources, from their structural schemas (OpenAPI v3 with x-kubernetes-list-type and its kin).
import { isJsonObject } from "../deep.ts";
import { fieldElement } from "./path-element.ts";
import { type FieldSchema, type ListSchema, type MapSchema, type TypeSchema, UNTYPED } from "./type-schema.ts";

type JsonSchema = Readonly<Record<string, unknown>>;

type Members = Readonly<Record<string, TypeSchema>>;

/**
 * The type of objects that a structural schema describes. `members`: what a schema of objects need not name and what has
 * types of its own (apiVersion, kind and metadata), of the object itself and of those embedded in it.
 */
export function structuralType(given: object, members: Members = {}): TypeSchema {
  return typeOf(given as JsonSchema, members, true);
}

function typeOf(schema: JsonSchema, members: Members, top = false): TypeSchema {
  if (schema["x-kubernetes-int-or-string"] === true) return { scalar: "untyped" };
  switch (schema["type"]) {
    case "object":
      return { map: new StructuralMap(schema, members, top) };
    case "array":
      return { list: structuralList(schema, members) };
    case "string":
      return { scalar: "string" };
    case "integer":
    case "number":
      return { scalar: "numeric" };
    case "boolean":
      return { scalar: "boolean" };
    default:
      return UNTYPED;
  }
}

class StructuralMap implements MapSchema {
  readonly atomic: boolean;
  readonly #properties: Readonly<Record<string, unknown>>;
  readonly #fields = new Map<string, FieldSchema>();
  readonly #schema: JsonSchema;
  readonly #members: Members;
  #element: TypeSchema | undefined;

  constructor(schema: JsonSchema, members: Members, top: boolean) {
    this.atomic = schema["x-kubernetes-map-type"] === "atomic";
    this.#schema = schema;
    this.#members = members;
    this.#properties = isJsonObject(schema["properties"]) ? schema["properties"] : {};
    if (!top && schema["x-kubernetes-embedded-resource"] !== true) return;
    for (const [name, type] of Object.entries(members)) {
      this.#fields.set(name, { type, key: fieldElement(name), implied: top && name === "metadata" });
    }
  }

  field(name: string): FieldSchema | undefined {
    const known = this.#fields.get(name);
    if (known !== undefined) return known;
    const schema = Object.hasOwn(this.#properties, name) ? this.#properties[name] : undefined;
    if (!isJsonObject(schema)) return undefined;
    const field = { type: typeOf(schema, this.#members), key: fieldElement(name), implied: false };
    this.#fields.set(name, field);
    return field;
  }

  element(): TypeSchema | undefined {
    const { additionalProperties } = this.#schema as { additionalProperties?: unknown };
    if (isJsonObject(additionalProperties)) this.#element ??= typeOf(additionalProperties, this.#members);
    else if (additionalProperties === true || this.#open()) this.#element ??= UNTYPED;
    return this.#element;
  }

  #open(): boolean {
    return (
      this.#schema["x-kubernetes-preserve-unknown-fields"] === true ||
      this.#schema["x-kubernetes-embedded-resource"] === true
    );
  }
}

function structuralList(schema: JsonSchema, members: Members): ListSchema {
  const items = isJsonObject(schema["items"]) ? schema["items"] : {};
  const given = schema["x-kubernetes-list-type"];
  const keys = Array.isArray(schema["x-kubernetes-list-map-keys"]) ? schema["x-kubernetes-list-map-keys"] : [];
  const properties = isJsonObject(items["properties"]) ? items["properties"] : {};
  const keyDefaults: Record<string, unknown> = {};
  for (const key of keys) {
    const property = Object.hasOwn(properties, String(key)) ? properties[String(key)] : undefined;
    if (isJsonObject(property) && property["default"] !== undefined) keyDefaults[String(key)] = property["default"];
  }
  let element: TypeSchema | undefined;
  return {
    relationship: given === "map" && keys.length > 0 ? "map" : given === "set" ? "set" : "atomic",
    keys: keys.map(String).toSorted(),
    keyDefaults,
    element: () => (element ??= typeOf(items, members)),
  };
}
