// The model of the API's types: names, types, protobuf numbers, patch and list rules. Parsed on first use, then shared and
// never changed.
import { APIEXTENSIONS_MODEL } from "../apiextensions-v1/model.ts";
import { MODEL_JSON } from "./model.gen.ts";

/**
 * string, bool, int32, int64, double, bytes, quantity, int-or-string, time, micro-time, duration, raw, fields, string-list,
 * any, schema-or-bool, schema-or-array, schema-or-strings, or # and a schema name.
 */
export type ModelTypeName = string;

export interface ModelField {
  readonly t: ModelTypeName;
  readonly l?: "list" | "map";
  /** Protobuf field number. */
  readonly n?: number;
  /** A pointer in Go: zero is a value of its own. */
  readonly p?: 1;
  /** Left out of JSON where empty. */
  readonly o?: 1;
  /** Required. */
  readonly r?: 1;
  /** Patch strategies. */
  readonly s?: readonly string[];
  /** Patch merge key. */
  readonly k?: string;
  /** List or map type: atomic, set, map, granular. */
  readonly lt?: string;
  /** List map keys. */
  readonly mk?: readonly string[];
  /** Allowed values. */
  readonly e?: readonly string[];
  /** Default. */
  readonly d?: unknown;
}

export interface ModelType {
  /** As in io.k8s.api.core.v1.Pod. */
  readonly name: string;
  /** All JSON fields, those of inlined types included. */
  readonly fields: ReadonlyMap<string, ModelField>;
  /** Its own fields only. */
  readonly own: ReadonlyMap<string, ModelField>;
  /** Inlined types, with their protobuf number (0: not on the wire). */
  readonly inlined: readonly (readonly [number, string])[];
  readonly gvk: readonly [string, string, string] | undefined;
}

interface RawType {
  readonly f: Record<string, ModelField>;
  readonly i?: [number, string][];
  readonly g?: [string, string, string];
}

let loaded: ReadonlyMap<string, ModelType> | undefined;

/** All types by schema name. */
export function model(): ReadonlyMap<string, ModelType> {
  loaded ??= load({ ...(JSON.parse(MODEL_JSON) as Record<string, RawType>), ...APIEXTENSIONS_MODEL });
  return loaded;
}

/** The type of that schema name. A name that isn't there is a mistake in the code, and throws. */
export function modelType(name: string): ModelType {
  const type = model().get(name);
  if (type === undefined) throw new Error(`no schema named ${name}`);
  return type;
}

/** The schema name that a field of type `#name` refers to. */
export function referenceOf(field: ModelField): string | undefined {
  return field.t.startsWith("#") ? field.t.slice(1) : undefined;
}

function load(raw: Record<string, RawType>): Map<string, ModelType> {
  const types = new Map<string, ModelType>();
  for (const [name, type] of Object.entries(raw)) {
    types.set(name, {
      name,
      fields: new Map(flatten(raw, type)),
      own: new Map(Object.entries(type.f)),
      inlined: type.i ?? [],
      gvk: type.g,
    });
  }
  return types;
}

function flatten(raw: Record<string, RawType>, type: RawType): [string, ModelField][] {
  const inlined = (type.i ?? []).flatMap(([, name]) => flatten(raw, raw[name] as RawType));
  return [...inlined, ...Object.entries(type.f)];
}
