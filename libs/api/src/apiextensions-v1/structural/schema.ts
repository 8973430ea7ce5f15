// A structural schema, made once from the OpenAPI schema of a version and never changed: what pruning, defaulting and the
// rules of lists and maps need to know of each place in an object.
import type { JsonSchemaProps, ValidationRule } from "../types.ts";

export interface StructuralSchema {
  /** "" where the schema leaves it open. */
  readonly type: string;
  readonly nullable: boolean;
  /** Undefined where there is none; a default is never null. */
  readonly fallback: unknown;
  readonly properties: ReadonlyMap<string, StructuralSchema>;
  /** True: any value may stand under any other name. */
  readonly additional: StructuralSchema | true | undefined;
  readonly items: StructuralSchema | undefined;
  readonly preserveUnknown: boolean;
  readonly embedded: boolean;
  readonly intOrString: boolean;
  readonly listType: "atomic" | "set" | "map" | undefined;
  readonly listMapKeys: readonly string[];
  readonly mapType: "atomic" | "granular" | undefined;
  readonly rules: readonly ValidationRule[];
  /** True where a default stands here or below. */
  readonly hasDefaults: boolean;
  /** True where a list of type set or map stands here or below. */
  readonly hasUniqueLists: boolean;
  /** True where an embedded resource stands here or below. */
  readonly hasEmbedded: boolean;
  readonly source: JsonSchemaProps;
}

export const META_FIELDS: ReadonlySet<string> = new Set(["apiVersion", "kind", "metadata"]);

/** The schema of items; undefined for the list form, which structural schemas do not have. */
export function itemsOf(props: JsonSchemaProps): JsonSchemaProps | undefined {
  return Array.isArray(props.items) ? undefined : props.items;
}

/** The schema of additional properties; undefined for true and false. */
export function additionalOf(props: JsonSchemaProps): JsonSchemaProps | undefined {
  return typeof props.additionalProperties === "object" ? props.additionalProperties : undefined;
}

/** Compiles a schema that was accepted by validation; what a structural schema cannot have is passed over. */
export function structuralSchema(props: JsonSchemaProps): StructuralSchema {
  const properties = new Map(
    Object.entries(props.properties ?? {}).map(([name, one]) => [name, structuralSchema(one)]),
  );
  const items = itemsOf(props);
  const additional = additionalOf(props);
  const compiledItems = items === undefined ? undefined : structuralSchema(items);
  const compiledAdditional = additional === undefined ? undefined : structuralSchema(additional);
  const below = [...properties.values(), compiledItems, compiledAdditional].filter((each) => each !== undefined);
  const listType = props["x-kubernetes-list-type"] as StructuralSchema["listType"];
  const embedded = props["x-kubernetes-embedded-resource"] === true;
  const fallback = props.default ?? undefined;
  return {
    type: props.type ?? "",
    nullable: props.nullable === true,
    fallback,
    properties,
    additional: compiledAdditional ?? (props.additionalProperties === undefined ? undefined : true),
    items: compiledItems,
    preserveUnknown: props["x-kubernetes-preserve-unknown-fields"] === true,
    embedded,
    intOrString: props["x-kubernetes-int-or-string"] === true,
    listType,
    listMapKeys: props["x-kubernetes-list-map-keys"] ?? [],
    mapType: props["x-kubernetes-map-type"] as StructuralSchema["mapType"],
    rules: props["x-kubernetes-validations"] ?? [],
    hasDefaults: fallback !== undefined || below.some((each) => each.hasDefaults),
    hasUniqueLists: listType === "set" || listType === "map" || below.some((each) => each.hasUniqueLists),
    hasEmbedded: embedded || below.some((each) => each.hasEmbedded),
    source: props,
  };
}

/** Calls `visit` for a schema and all that it holds, junctors included; stops and returns true where a visit does. */
export function someSchema(props: JsonSchemaProps | undefined, visit: (props: JsonSchemaProps) => boolean): boolean {
  if (props === undefined || typeof props !== "object" || props === null) return false;
  if (visit(props)) return true;
  const lists = [props.allOf, props.anyOf, props.oneOf, Array.isArray(props.items) ? props.items : undefined];
  const maps = [props.properties, props.patternProperties, props.definitions];
  const dependencies = Object.values(props.dependencies ?? {}).filter((each) => !Array.isArray(each));
  const additionalItems = typeof props.additionalItems === "object" ? props.additionalItems : undefined;
  const singles = [props.not, itemsOf(props), additionalOf(props), additionalItems, ...dependencies];
  return (
    singles.some((each) => someSchema(each as JsonSchemaProps | undefined, visit)) ||
    lists.some((list) => (list ?? []).some((each) => someSchema(each, visit))) ||
    maps.some((map) => Object.values(map ?? {}).some((each) => someSchema(each, visit)))
  );
}
