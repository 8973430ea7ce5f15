// What server-side apply must know of a type: what it may be (scalar, list, map) and how its parts merge. An interface, so
// that built-in kinds (from the model) and custom ones (from structural schemas) look the same to the algorithms.

export type ScalarType = "string" | "numeric" | "boolean" | "untyped";

/** A type. Several alternatives may be present (an int-or-string, an untyped value): the value decides. */
export interface TypeSchema {
  readonly scalar?: ScalarType;
  readonly list?: ListSchema;
  readonly map?: MapSchema;
}

export interface ListSchema {
  /** atomic: one value as a whole; set: items are told apart by value; map: by `keys`. */
  readonly relationship: "atomic" | "set" | "map";
  /** Of a map list, in alphabetical order; else empty. */
  readonly keys: readonly string[];
  /** What a key field is where an item leaves it out. */
  readonly keyDefaults: Readonly<Record<string, unknown>>;
  element(): TypeSchema;
}

export interface MapSchema {
  /** One value as a whole, else each member has owners of its own. */
  readonly atomic: boolean;
  /** A declared member; undefined where `name` is none. */
  field(name: string): FieldSchema | undefined;
  /** The type of members that are not declared; undefined: there are none. */
  element(): TypeSchema | undefined;
}

export interface FieldSchema {
  readonly type: TypeSchema;
  /** The member's element in a set: f:<name>. */
  readonly key: string;
  /**
   * Always there, be it empty, wherever its parent is: a struct in Go that is no pointer, a list that is not left out where
   * empty. Who fills it does not own it by that.
   */
  readonly implied: boolean;
}

const ATOMIC: TypeSchema = {
  scalar: "untyped",
  list: { relationship: "atomic", keys: [], keyDefaults: {}, element: () => ATOMIC },
  map: { atomic: true, field: () => undefined, element: () => ATOMIC },
};

/** A value of which nothing is known: members of maps have owners, lists are atomic. */
export const UNTYPED: TypeSchema = {
  scalar: "untyped",
  list: { relationship: "atomic", keys: [], keyDefaults: {}, element: () => ATOMIC },
  map: { atomic: false, field: () => undefined, element: () => UNTYPED },
};

/** The kind of value that `value` is, among those that `type` allows; what the type says where the value fits none. */
export function kindOf(type: TypeSchema, value: unknown): "scalar" | "list" | "map" {
  if (Array.isArray(value)) {
    if (type.list !== undefined) return "list";
  } else if (typeof value === "object" && value !== null) {
    if (type.map !== undefined) return "map";
  } else if (value !== null && value !== undefined && type.scalar !== undefined) return "scalar";
  return type.map !== undefined ? "map" : type.scalar !== undefined ? "scalar" : "list";
}

/** The type of a member of a map, declared or not. */
export function memberType(map: MapSchema, name: string): TypeSchema {
  return map.field(name)?.type ?? map.element() ?? UNTYPED;
}
