// The contracts at run time: decoded once, on first use, from the committed schema; no .proto file is read.
import { fromJSON, type Options, type PackageDefinition, type ServiceDefinition } from "@grpc/proto-loader";
import { encodedFiles } from "./descriptors.gen.ts";
import { schemaJson } from "./schema.gen.ts";
import type { ServiceName } from "./services.gen.ts";

const OPTIONS: Options = { keepCase: false, longs: String, enums: String, defaults: true, oneofs: true };

function varint(value: number): Buffer {
  const out: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...out, rest]);
    out.push((rest & 0x7f) | 0x80);
  }
}

let set: Buffer | undefined;

/** All contracts and what they import, as an encoded google.protobuf.FileDescriptorSet. */
export function fileDescriptorSet(): Buffer {
  set ??= Buffer.concat(
    encodedFiles.flatMap((file) => {
      const bytes = Buffer.from(file.descriptor, "base64");
      return [Buffer.from([0x0a]), varint(bytes.length), bytes];
    }),
  );
  return set;
}

let definition: PackageDefinition | undefined;

/** Names are camelCase, 64-bit integers and enums strings, bytes Buffers; defaults and oneof discriminators are filled in. */
export function loadPackage(): PackageDefinition {
  definition ??= fromJSON(JSON.parse(schemaJson) as Parameters<typeof fromJSON>[0], OPTIONS);
  return definition;
}

/** The definition of a service of ours by its full name. Throws where there is none. */
export function serviceDefinition(name: ServiceName | (string & {})): ServiceDefinition {
  const found = loadPackage()[name];
  if (found === undefined || "format" in found) throw new Error(`protos: no service ${name}`);
  return found;
}
