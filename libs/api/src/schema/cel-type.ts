// The built-in types as expressions see them where types are checked. Made once a type, on demand; what contains itself is
// open from the second time on.
import type { CelType } from "@coxswain/cel";
import { type ModelField, modelType, referenceOf } from "./model.ts";

const DYNAMIC: CelType = { is: "dyn" };

const SCALARS: Readonly<Record<string, CelType>> = {
  string: { is: "string" },
  bool: { is: "bool" },
  int32: { is: "int" },
  int64: { is: "int" },
  double: { is: "double" },
  bytes: { is: "bytes" },
  time: { is: "timestamp" },
  "micro-time": { is: "timestamp" },
  duration: { is: "string" },
};

const made = new Map<string, CelType>();

/** The type of that schema name, as in io.k8s.api.core.v1.Pod; throws where there is none. */
export function celTypeFor(schemaName: string): CelType {
  return typeOf(schemaName, new Set());
}

function typeOf(schemaName: string, within: ReadonlySet<string>): CelType {
  const known = made.get(schemaName);
  if (known !== undefined) return known;
  if (within.has(schemaName)) return DYNAMIC;
  const inside = new Set([...within, schemaName]);
  const fields = [...modelType(schemaName).fields].map(([name, field]) => [name, fieldType(field, inside)] as const);
  const type: CelType = { is: "object", fields: Object.fromEntries(fields) };
  made.set(schemaName, type);
  return type;
}

function fieldType(field: ModelField, within: ReadonlySet<string>): CelType {
  const reference = referenceOf(field);
  const element = reference === undefined ? (SCALARS[field.t] ?? DYNAMIC) : typeOf(reference, within);
  if (field.l === "list") return { is: "list", items: element };
  return field.l === "map" ? { is: "map", values: element } : element;
}
