// The contracts at run time: decoded on first use, package by package, from the committed schema; no .proto file is read.
// A process starts with the few services that it speaks, so it pays for no others.
import protobuf, {
  type IConversionOptions,
  type INamespace,
  type Method,
  type Root,
  type Type,
} from "protobufjs/light.js";
import { encodedFiles } from "./descriptors.gen.ts";
import { schemaJson } from "./schema.gen.ts";
import type { ServiceName } from "./services.gen.ts";

/** How messages come out: 64-bit integers and enums as strings, defaults and oneof discriminators filled in. */
const OPTIONS: IConversionOptions = { longs: String, enums: String, defaults: true, oneofs: true };

/** A method as grpc-js takes it. */
export interface MethodDefinition {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (message: object) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => object;
  readonly responseSerialize: (message: object) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => object;
  /** As in "getQueue". */
  readonly originalName: string;
}

export type ServiceDefinition = Readonly<Record<string, MethodDefinition>>;

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

type Schema = NonNullable<INamespace["nested"]>[string] & INamespace;

let schema: Schema | undefined;

const isPackage = (item: Schema): boolean =>
  Object.keys(item).every((key) => key === "nested") && item.nested !== undefined;

/** The schema of a package without the packages inside it; undefined where there is none. */
function packageSchema(name: string): Record<string, Schema> | undefined {
  schema ??= JSON.parse(schemaJson) as Schema;
  let found: Schema | undefined = schema;
  for (const word of name.split(".")) found = found?.nested?.[word];
  if (found?.nested === undefined) return undefined;
  const items = Object.entries(found.nested as Record<string, Schema>);
  return Object.fromEntries(items.filter(([, item]) => !isPackage(item)));
}

/** The packages whose types a package's schema names, itself included: types are named in full, with a dot in front. */
function closure(name: string): Map<string, Record<string, Schema>> {
  const found = new Map<string, Record<string, Schema>>();
  const queue = [name];
  for (const next of queue) {
    const items = found.has(next) ? undefined : packageSchema(next);
    if (items === undefined) continue;
    found.set(next, items);
    // Packages are in lower case and types are not.
    for (const [, other] of JSON.stringify(items).matchAll(/"\.([a-z0-9_.]+)\.[A-Z]/g)) queue.push(other!);
  }
  return found;
}

function rootOf(name: string): Root {
  const nested: Record<string, Schema> = {};
  for (const [path, items] of closure(name)) {
    let scope = nested;
    for (const word of path.split(".")) {
      scope[word] ??= { nested: {} };
      scope = scope[word].nested as Record<string, Schema>;
    }
    Object.assign(scope, items);
  }
  return rootFrom({ nested });
}

/**
 * Root.fromJSON resolves every type, and makes a constructor for each, though a process sends few of them; types resolve
 * themselves when they are first used, but for the features of their syntax.
 */
function rootFrom(json: INamespace): Root {
  const root = new protobuf.Root();
  root.addJSON(json.nested ?? {});
  (root as unknown as Record<"_resolveFeaturesRecursive", () => void>)["_resolveFeaturesRecursive"]();
  return root;
}

function serializer(type: Type): (message: object) => Buffer {
  return (message) => {
    if (Array.isArray(message)) throw new TypeError(`a ${type.name} was expected, and an array was given`);
    return type.encode(type.fromObject(message)).finish() as Buffer;
  };
}

function deserializer(type: Type, options: IConversionOptions): (bytes: Buffer) => object {
  return (bytes) => type.toObject(type.decode(bytes), options);
}

function methodDefinition(service: string, method: Method, options: IConversionOptions): MethodDefinition {
  const { resolvedRequestType: request, resolvedResponseType: response } = method.resolve() as Method;
  if (request === null || response === null) throw new Error(`protos: ${service}.${method.name} has no types`);
  return {
    path: `/${service}/${method.name}`,
    requestStream: method.requestStream === true,
    responseStream: method.responseStream === true,
    requestSerialize: serializer(request),
    requestDeserialize: deserializer(request, options),
    responseSerialize: serializer(response),
    responseDeserialize: deserializer(response, options),
    originalName: `${method.name[0]!.toLowerCase()}${method.name.slice(1)}`,
  };
}

const roots = new Map<string, Root>();
const definitions = new Map<string, ServiceDefinition>();

/**
 * The definition of a service of ours by its full name; names of fields are camelCase, bytes are Buffers. Throws where there
 * is none.
 */
export function serviceDefinition(name: ServiceName | (string & {})): ServiceDefinition {
  let definition = definitions.get(name);
  if (definition === undefined) {
    const owner = name.slice(0, Math.max(0, name.lastIndexOf(".")));
    const root = roots.get(owner) ?? rootOf(owner);
    roots.set(owner, root);
    definition = definitionIn(root, name, OPTIONS);
    definitions.set(name, definition);
  }
  return definition;
}

function definitionIn(root: Root, name: string, options: IConversionOptions): ServiceDefinition {
  const service = root.lookup(name.split("."), protobuf.Service);
  if (!(service instanceof protobuf.Service)) throw new Error(`protos: no service ${name}`);
  return Object.fromEntries(
    service.methodsArray.map((method) => [method.name, methodDefinition(name, method, options)] as const),
  );
}

/**
 * The definitions of services of somebody else's contract, by their full names, from its schema as JSON: names of fields are
 * as in the schema, 64-bit integers and enums strings, defaults filled in. Throws where there is none of a name.
 */
export function foreignServices(schema: object, names: readonly string[]): Readonly<Record<string, ServiceDefinition>> {
  const root = rootFrom(schema);
  const options = { longs: String, enums: String, defaults: true };
  return Object.fromEntries(names.map((name) => [name, definitionIn(root, name, options)] as const));
}
