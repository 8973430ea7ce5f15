// Generated from the .proto files by protos/generate.ts; do not edit.


export type Empty = Record<string, never>;

export type EmptyInput = Record<string, never>;

export interface Struct {
  fields: Record<string, Value>;
}

export interface StructInput {
  fields?: Record<string, ValueInput> | null;
}

export interface Value {
  nullValue?: NullValue;
  numberValue?: number;
  stringValue?: string;
  boolValue?: boolean;
  structValue?: Struct | null;
  listValue?: ListValue | null;
  kind?: "nullValue" | "numberValue" | "stringValue" | "boolValue" | "structValue" | "listValue";
}

export interface ValueInput {
  nullValue?: NullValue | null;
  numberValue?: number | null;
  stringValue?: string | null;
  boolValue?: boolean | null;
  structValue?: StructInput | null;
  listValue?: ListValueInput | null;
}

export interface ListValue {
  values: Array<Value>;
}

export interface ListValueInput {
  values?: ReadonlyArray<ValueInput> | null;
}

export type NullValue = "NULL_VALUE";
