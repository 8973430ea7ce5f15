// Encodes the JSON form of an object as a message of the API. Members that the model doesn't know are left out.
import { isJsonObject, newBadRequest, parseTime } from "@coxswain/apimachinery";
import { JSON_SCHEMA_PROPS } from "../apiextensions-v1/model.ts";
import { type ModelField, type ModelType, modelType } from "../schema/model.ts";
import { WireWriter } from "./writer.ts";

type JsonObject = Record<string, unknown>;

/** The message bytes. Throws a BadRequest StatusError where a value doesn't fit its type. */
export function encodeMessage(object: JsonObject, schemaName: string): Buffer {
  const type = modelType(schemaName);
  const writer = new WireWriter();
  for (const [number, name] of type.inlined) {
    if (number > 0 && hasAny(object, modelType(name))) writer.block(number, encodeMessage(object, name));
  }
  for (const [name, field] of type.own) {
    const value = Object.hasOwn(object, name) ? object[name] : undefined;
    if (field.n !== undefined && value !== undefined && value !== null) writeField(writer, field.n, value, field, name);
  }
  return writer.finish();
}

function hasAny(object: JsonObject, type: ModelType): boolean {
  for (const name of type.fields.keys()) if (object[name] !== undefined && object[name] !== null) return true;
  return false;
}

function writeField(writer: WireWriter, number: number, value: unknown, field: ModelField, name: string): void {
  if (field.l === "list") {
    if (!Array.isArray(value)) throw unfit(name);
    for (const each of value) writeValue(writer, number, each, field.t, name);
  } else if (field.l === "map") {
    if (!isJsonObject(value)) throw unfit(name);
    for (const key of Object.keys(value)) {
      const entry = new WireWriter();
      entry.text(1, key);
      writeValue(entry, 2, value[key], field.t, name);
      writer.block(number, entry.finish());
    }
  } else {
    writeValue(writer, number, value, field.t, name);
  }
}

function writeValue(writer: WireWriter, number: number, value: unknown, type: string, name: string): void {
  switch (type) {
    case "bool":
      writer.varint(number, value === true ? 1n : 0n);
      return;
    case "int32":
    case "int64":
      writer.varint(number, integer(value, name));
      return;
    case "double":
      writer.double(number, Number(value));
      return;
    default:
      writer.block(number, blockOf(value, type, name));
  }
}

function blockOf(value: unknown, type: string, name: string): Buffer {
  switch (type) {
    case "string":
      return Buffer.from(text(value, name), "utf8");
    case "bytes":
      return Buffer.from(text(value, name), "base64");
    case "quantity":
      return message((writer) => writer.text(1, String(value)));
    case "int-or-string":
      return message((writer) => writeIntOrString(writer, value, name));
    case "time":
    case "micro-time":
      return timeBlock(text(value, name), name);
    case "duration":
      return message((writer) => writer.varint(1, BigInt(Math.round(Number.parseFloat(text(value, name)) * 1e9))));
    case "schema-or-bool":
      return message((writer) => {
        writer.varint(1, value === false ? 0n : 1n);
        if (isJsonObject(value)) writer.block(2, encodeMessage(value, JSON_SCHEMA_PROPS));
      });
    case "schema-or-array":
    case "schema-or-strings":
      return message((writer) => writeSchemaOrList(writer, value, type, name));
    case "any":
    case "raw":
    case "fields":
      return message((writer) => writer.text(1, JSON.stringify(value)));
    case "string-list":
      return message((writer) => {
        for (const each of value as unknown[]) writer.text(1, text(each, name));
      });
    default:
      if (!isJsonObject(value)) throw unfit(name);
      return encodeMessage(value, type.slice(1));
  }
}

function writeIntOrString(writer: WireWriter, value: unknown, name: string): void {
  if (typeof value === "string") {
    writer.varint(1, 1n);
    writer.varint(2, 0n);
    writer.text(3, value);
  } else {
    writer.varint(1, 0n);
    writer.varint(2, integer(value, name));
    writer.text(3, "");
  }
}

function writeSchemaOrList(writer: WireWriter, value: unknown, type: string, name: string): void {
  if (isJsonObject(value)) writer.block(1, encodeMessage(value, JSON_SCHEMA_PROPS));
  if (!Array.isArray(value)) return;
  for (const each of value) {
    if (type === "schema-or-strings") writer.text(2, text(each, name));
    else if (isJsonObject(each)) writer.block(2, encodeMessage(each, JSON_SCHEMA_PROPS));
    else throw unfit(name);
  }
}

function timeBlock(value: string, name: string): Buffer {
  const ms = parseTime(value);
  if (ms === undefined) throw unfit(name);
  const seconds = Math.floor(ms / 1000);
  return message((writer) => {
    writer.varint(1, BigInt(seconds));
    writer.varint(2, BigInt(Math.round((ms - seconds * 1000) * 1000) * 1000));
  });
}

function message(write: (writer: WireWriter) => void): Buffer {
  const writer = new WireWriter();
  write(writer);
  return writer.finish();
}

function integer(value: unknown, name: string): bigint {
  if (typeof value !== "number" || !Number.isInteger(value)) throw unfit(name);
  return BigInt(value);
}

function text(value: unknown, name: string): string {
  if (typeof value !== "string") throw unfit(name);
  return value;
}

function unfit(name: string): Error {
  return newBadRequest(`unable to encode field ${name} as protobuf`);
}
