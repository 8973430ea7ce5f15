// Decodes messages of the API into their JSON form. Fields that upstream's JSON would leave out because they are empty are
// left out here too: on the wire every plain (non-pointer) field is present, set or not.
import { decodeJson, formatMicroTime, formatTime, quantityProblem, setOwn } from "@coxswain/apimachinery";
import { JSON_SCHEMA_PROPS } from "../apiextensions-v1/model.ts";
import { type ModelField, type ModelType, modelType } from "../schema/model.ts";
import { malformed, WireReader } from "./reader.ts";

type JsonObject = Record<string, unknown>;
interface Target {
  readonly name: string;
  readonly field: ModelField;
}
interface Numbers {
  readonly fields: ReadonlyMap<number, Target>;
  readonly inlined: ReadonlyMap<number, string>;
}

const numbers = new Map<string, Numbers>();

function numbersOf(type: ModelType): Numbers {
  const known = numbers.get(type.name);
  if (known !== undefined) return known;
  const fields = new Map<number, Target>();
  for (const [name, field] of type.own) if (field.n !== undefined) fields.set(field.n, { name, field });
  const made = { fields, inlined: new Map(type.inlined.filter(([number]) => number > 0)) };
  numbers.set(type.name, made);
  return made;
}

/** The JSON form of a message. Fields that the model doesn't know are skipped, as protobuf wants it. */
export function decodeMessage(bytes: Buffer, schemaName: string): JsonObject {
  const object: JsonObject = {};
  decodeInto(object, bytes, modelType(schemaName));
  return object;
}

function decodeInto(object: JsonObject, bytes: Buffer, type: ModelType): void {
  const { fields, inlined } = numbersOf(type);
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    const target = fields.get(number);
    const inline = inlined.get(number);
    if (target !== undefined) readField(reader, wireType, object, target);
    else if (inline !== undefined && wireType === 2) decodeInto(object, reader.block(), modelType(inline));
    else reader.skip(wireType);
  }
}

function readField(reader: WireReader, wireType: number, object: JsonObject, { name, field }: Target): void {
  if (field.l === "map") {
    if (wireType !== 2) throw malformed(`wrong wire type for ${name}`);
    const map = (object[name] ??= {}) as JsonObject;
    const [key, value] = readEntry(reader.block(), field);
    setOwn(map, key, value);
    return;
  }
  if (field.l === "list") {
    const list = (object[name] ??= []) as unknown[];
    if (wireType === 2 && isVarint(field.t)) {
      const packed = new WireReader(reader.block());
      while (!packed.done) list.push(readValue(packed, 0, field.t));
    } else {
      list.push(readValue(reader, wireType, field.t));
    }
    return;
  }
  const value = readValue(reader, wireType, field.t);
  if (value === undefined || (field.p === undefined && field.o !== undefined && isZero(value))) return;
  if (field.t.startsWith("#") && object[name] !== undefined) Object.assign(object[name] as JsonObject, value);
  else object[name] = value;
}

function isZero(value: unknown): boolean {
  return value === "" || value === 0 || value === false;
}

function isVarint(type: string): boolean {
  return type === "bool" || type === "int32" || type === "int64";
}

function readEntry(bytes: Buffer, field: ModelField): [string, unknown] {
  const reader = new WireReader(bytes);
  let key = "";
  let value: unknown;
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (number === 1 && wireType === 2) key = reader.block().toString("utf8");
    else if (number === 2) value = readValue(reader, wireType, field.t);
    else reader.skip(wireType);
  }
  if (key === "__proto__") throw malformed('the key "__proto__" is not supported');
  return [key, value ?? emptyValue(field.t)];
}

function emptyValue(type: string): unknown {
  if (type.startsWith("#")) return {};
  return type === "string-list" ? [] : type === "quantity" ? "0" : isVarint(type) ? 0 : "";
}

function readValue(reader: WireReader, wireType: number, type: string): unknown {
  if (isVarint(type)) {
    if (wireType !== 0) throw malformed(`wire type ${wireType} where a number is expected`);
    const value = reader.varint();
    return type === "bool" ? value !== 0n : Number(type === "int32" ? BigInt.asIntN(32, value) : value);
  }
  if (type === "double") {
    if (wireType !== 1) throw malformed(`wire type ${wireType} where a double is expected`);
    return reader.double();
  }
  if (wireType !== 2) throw malformed(`wire type ${wireType} where bytes are expected`);
  return readBlock(reader.block(), type);
}

function readBlock(bytes: Buffer, type: string): unknown {
  switch (type) {
    case "string":
      return bytes.toString("utf8");
    case "bytes":
      return bytes.toString("base64");
    case "quantity":
      return quantityOf(parts(bytes).text(1) || "0");
    case "int-or-string": {
      const read = parts(bytes);
      return read.number(1) === 1 ? read.text(3) : Number(BigInt.asIntN(32, BigInt(read.number(2))));
    }
    case "time":
    case "micro-time":
      return timeOf(bytes, type);
    case "duration":
      return `${parts(bytes).number(1) / 1e9}s`;
    case "schema-or-bool": {
      const read = parts(bytes);
      return read.has(2) ? decodeMessage(read.block(2), JSON_SCHEMA_PROPS) : read.number(1) !== 0;
    }
    case "schema-or-array": {
      const read = parts(bytes);
      if (read.has(1)) return decodeMessage(read.block(1), JSON_SCHEMA_PROPS);
      return read.blocks(2).map((each) => decodeMessage(each, JSON_SCHEMA_PROPS));
    }
    case "schema-or-strings": {
      const read = parts(bytes);
      return read.has(1) ? decodeMessage(read.block(1), JSON_SCHEMA_PROPS) : read.texts(2);
    }
    case "any":
    case "raw":
    case "fields":
      return jsonOf(parts(bytes).block(1));
    case "string-list":
      return parts(bytes).texts(1);
    default:
      return decodeMessage(bytes, type.slice(1));
  }
}

/** Nobody after this looks at what a quantity is made of before it counts with it. */
function quantityOf(text: string): string {
  const problem = quantityProblem(text);
  if (problem !== undefined) throw malformed(problem);
  return text;
}

/** An empty message is the zero time: not set. */
function timeOf(bytes: Buffer, type: string): string | undefined {
  if (bytes.length === 0) return undefined;
  const read = parts(bytes);
  const ms = read.number(1) * 1000 + read.number(2) / 1e6;
  if (!(Math.abs(ms) < 8.64e15)) throw malformed("a time is out of range");
  return type === "time" ? formatTime(ms) : formatMicroTime(ms);
}

function jsonOf(bytes: Buffer): unknown {
  return bytes.length === 0 ? undefined : decodeJson(bytes).value;
}

interface Parts {
  number(field: number): number;
  text(field: number): string;
  texts(field: number): string[];
  block(field: number): Buffer;
  blocks(field: number): readonly Buffer[];
  has(field: number): boolean;
}

/** The small fixed messages (Quantity, Time, IntOrString, …), by field number. */
function parts(bytes: Buffer): Parts {
  const values = new Map<number, number>();
  const blocks = new Map<number, Buffer[]>();
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const { number, wireType } = reader.tag();
    if (wireType === 0) values.set(number, Number(reader.varint()));
    else if (wireType === 2) blocks.set(number, [...(blocks.get(number) ?? []), reader.block()]);
    else reader.skip(wireType);
  }
  const texts = (field: number): string[] => (blocks.get(field) ?? []).map((each) => each.toString("utf8"));
  return {
    number: (field) => values.get(field) ?? 0,
    text: (field) => texts(field).at(-1) ?? "",
    texts,
    block: (field) => blocks.get(field)?.at(-1) ?? Buffer.alloc(0),
    blocks: (field) => blocks.get(field) ?? [],
    has: (field) => blocks.has(field),
  };
}
