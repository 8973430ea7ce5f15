// The OpenAPI v2 document as protobuf (gnostic's openapi.v2.Document), made of its JSON form: the only form that kubectl reads.
// What the messages have no field for is left out, and so are false, zero and empty texts, as proto3 has it. Values of any
// type are texts of YAML, and JSON is YAML.
import { WireWriter } from "@coxswain/api/wire/writer";
import { CHOICES, ENTRIES, EXTENSIONS, MESSAGES, type MessageField } from "./openapi-v2-messages.ts";

type Json = Readonly<Record<string, unknown>>;

/** `always`: zero values too, where a field's presence says something. */
function writeValue(writer: WireWriter, number: number, type: string, value: unknown, always: boolean): void {
  switch (type) {
    case "string":
      if (always || value !== "") writer.text(number, String(value));
      return;
    case "bool":
      if (always || value === true) writer.varint(number, value === true ? 1n : 0n);
      return;
    case "int":
      if (always || value !== 0) writer.varint(number, BigInt(Math.trunc(Number(value))));
      return;
    case "double":
      if (always || value !== 0) writer.double(number, Number(value));
      return;
    default:
      writer.block(number, type === "any" ? anyOf(value) : message(type, value));
  }
}

function anyOf(value: unknown): Buffer {
  const writer = new WireWriter();
  writer.text(2, `${JSON.stringify(value)}\n`);
  return writer.finish();
}

function named(name: string, type: string, value: unknown): Buffer {
  const writer = new WireWriter();
  writer.text(1, name);
  writeValue(writer, 2, type, value, false);
  return writer.finish();
}

function message(type: string, value: unknown): Buffer {
  const writer = new WireWriter();
  const choice = CHOICES[type];
  if (choice !== undefined) {
    const [number, chosen] = choice(value as Json);
    for (const each of Array.isArray(value) ? value : [value]) writeValue(writer, number, chosen, each, true);
    return writer.finish();
  }
  const fields = MESSAGES.get(type);
  if (fields === undefined) throw new Error(`there is no message ${type}`);
  const extended = fields.some(({ member }) => member === EXTENSIONS);
  for (const field of fields) writeField(writer, field, value as Json, extended);
  return writer.finish();
}

function writeField(
  writer: WireWriter,
  { number, member, type, repeated }: MessageField,
  value: Json,
  extended: boolean,
): void {
  if (member === EXTENSIONS || member === ENTRIES) {
    for (const [name, each] of Object.entries(value)) {
      if (each === undefined) continue;
      const extension = extended && name.startsWith(EXTENSIONS);
      if (extension === (member === EXTENSIONS)) writer.block(number, named(name, type, each));
    }
    return;
  }
  const given = value[member];
  if (given === undefined || given === null) return;
  if (!repeated) return writeValue(writer, number, type, given, false);
  for (const each of given as readonly unknown[]) writeValue(writer, number, type, each, true);
}

/** `document` is the JSON form. */
export function encodeV2Document(document: Json): Buffer {
  return message("Document", document);
}
