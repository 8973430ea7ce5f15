// google.protobuf.Struct to JSON and back. Numbers are doubles, as the type has it; everything else survives a round trip.
import type { Struct, StructInput, Value, ValueInput } from "./google-protobuf.gen.ts";

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

function valueFromJson(json: unknown): ValueInput {
  if (json === null) return { nullValue: "NULL_VALUE" };
  if (typeof json === "string") return { stringValue: json };
  if (typeof json === "number") return { numberValue: json };
  if (typeof json === "boolean") return { boolValue: json };
  if (Array.isArray(json)) return { listValue: { values: json.map(valueFromJson) } };
  if (typeof json === "object") return { structValue: structFromJson(json) };
  throw new TypeError(`a ${typeof json} has no JSON form`);
}

function valueToJson(value: Value): JsonValue {
  if (value.kind === "stringValue") return value.stringValue ?? "";
  if (value.kind === "numberValue") return value.numberValue ?? 0;
  if (value.kind === "boolValue") return value.boolValue ?? false;
  if (value.kind === "structValue") return structToJson(value.structValue);
  if (value.kind === "listValue") return (value.listValue?.values ?? []).map(valueToJson);
  return null;
}

/**
 * Members that are `undefined` are left out, as in JSON.stringify. Throws TypeError on functions, bigints and symbols, and on
 * a member `__proto__`: the protobuf library would lose it without a word.
 */
export function structFromJson(json: object): StructInput {
  const fields: Record<string, ValueInput> = {};
  for (const [key, value] of Object.entries(json)) {
    if (key === "__proto__") throw new TypeError("a member named __proto__ cannot be sent as google.protobuf.Struct");
    if (value !== undefined) fields[key] = valueFromJson(value);
  }
  return { fields };
}

/** An absent struct is an empty object. */
export function structToJson(struct: Struct | null | undefined): { [key: string]: JsonValue } {
  const out: { [key: string]: JsonValue } = {};
  for (const [key, value] of Object.entries(struct?.fields ?? {})) {
    // A key such as __proto__ must stay a plain member.
    Object.defineProperty(out, key, {
      value: valueToJson(value),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return out;
}
