// Pure: FileDescriptorSets to the JSON schema that protobufjs loads. Descriptors alone will not do at run time: protobufjs
// reads the map entries in them as plain repeated messages.
import type { Enum, Field, FileDescriptor, Message } from "./codegen.ts";

type Json = Record<string, unknown>;

const HEADER = "// Generated from the .proto files by protos/generate.ts; do not edit.\n";

function typeName(field: Field): string {
  return field.typeName ?? field.type.replace("TYPE_", "").toLowerCase();
}

function fieldSchema(field: Field, entries: Map<string, Message>): Json {
  const entry = field.typeName === undefined ? undefined : entries.get(field.typeName);
  if (entry !== undefined) {
    const [key, value] = entry.field ?? [];
    if (key === undefined || value === undefined) throw new Error(`${field.name}: a map entry without key or value`);
    return { keyType: typeName(key), type: typeName(value), id: field.number };
  }
  const out: Json = { type: typeName(field), id: field.number };
  if (field.label === "LABEL_REPEATED") out["rule"] = "repeated";
  if (field.proto3Optional) out["options"] = { proto3_optional: true };
  return out;
}

function enumSchema(item: Enum): Json {
  return { values: Object.fromEntries(item.value.map((value) => [value.name, value.number ?? 0])) };
}

function messageSchema(message: Message, fullName: string): Json {
  const nestedTypes = message.nestedType ?? [];
  const entries = new Map(
    nestedTypes.filter((item) => item.options?.mapEntry).map((item) => [`${fullName}.${item.name}`, item] as const),
  );
  const fields = message.field ?? [];
  const nested: Json = {};
  for (const item of nestedTypes) {
    if (!item.options?.mapEntry) nested[item.name] = messageSchema(item, `${fullName}.${item.name}`);
  }
  for (const item of message.enumType ?? []) nested[item.name] = enumSchema(item);
  const oneofs: Json = {};
  for (const [index, oneof] of (message.oneofDecl ?? []).entries()) {
    const members = fields.filter((field) => field.oneofIndex === index).map((field) => field.jsonName);
    const [first, ...rest] = oneof.name.split(/(?<=[a-z0-9])_/);
    const name = [first, ...rest.map((word) => `${word[0]?.toUpperCase()}${word.slice(1)}`)].join("");
    oneofs[name] = { oneof: members };
  }
  return {
    ...(Object.keys(oneofs).length > 0 && { oneofs }),
    fields: Object.fromEntries(fields.map((field) => [field.jsonName, fieldSchema(field, entries)])),
    ...(Object.keys(nested).length > 0 && { nested }),
  };
}

/** A module with the schema of all packages as JSON text. */
export function schemaModule(files: readonly FileDescriptor[]): string {
  const root: Json = {};
  for (const file of files) {
    let scope = root;
    for (const word of file.package.split(".")) {
      scope[word] ??= { nested: {} };
      scope = (scope[word] as { nested: Json }).nested;
    }
    for (const item of file.messageType ?? []) scope[item.name] = messageSchema(item, `.${file.package}.${item.name}`);
    for (const item of file.enumType ?? []) scope[item.name] = enumSchema(item);
    for (const service of file.service ?? []) {
      const methods = (service.method ?? []).map((method) => [
        method.name,
        {
          requestType: method.inputType,
          responseType: method.outputType,
          ...(method.clientStreaming && { requestStream: true }),
          ...(method.serverStreaming && { responseStream: true }),
        },
      ]);
      scope[service.name] = { methods: Object.fromEntries(methods) };
    }
  }
  return `${HEADER}\nexport const schemaJson = ${JSON.stringify(JSON.stringify({ nested: root }))};\n`;
}
