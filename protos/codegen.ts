// Pure: FileDescriptorSets to TypeScript text. The types match what @grpc/proto-loader makes with the options in
// src/package.ts (camelCase names, 64-bit integers and enums as strings, defaults and oneof discriminators filled in).

export interface Field {
  readonly name: string;
  readonly number: number;
  readonly label?: string;
  readonly type: string;
  readonly typeName?: string;
  readonly oneofIndex?: number;
  readonly proto3Optional?: boolean;
  readonly jsonName: string;
}
export interface Enum {
  readonly name: string;
  readonly value: readonly { readonly name: string; readonly number?: number }[];
}
export interface Message {
  readonly name: string;
  readonly field?: readonly Field[];
  readonly nestedType?: readonly Message[];
  readonly enumType?: readonly Enum[];
  readonly oneofDecl?: readonly { readonly name: string }[];
  readonly options?: { readonly mapEntry?: boolean };
}
interface Method {
  readonly name: string;
  readonly inputType: string;
  readonly outputType: string;
  readonly clientStreaming?: boolean;
  readonly serverStreaming?: boolean;
}
/** A FileDescriptorProto in protobuf's JSON form. */
export interface FileDescriptor {
  readonly name: string;
  readonly package: string;
  readonly dependency?: readonly string[];
  readonly messageType?: readonly Message[];
  readonly enumType?: readonly Enum[];
  readonly service?: readonly { readonly name: string; readonly method?: readonly Method[] }[];
}

const HEADER = "// Generated from the .proto files by protos/generate.ts; do not edit.\n";
const LONGS = new Set(["TYPE_INT64", "TYPE_UINT64", "TYPE_SINT64", "TYPE_FIXED64", "TYPE_SFIXED64"]);

/** "coxswain.api.v1" is in "api-v1.gen.ts"; packages of others keep their first word. */
function moduleOf(pkg: string): string {
  return pkg.replace(/^coxswain\./, "").replaceAll(".", "-");
}

function camel(name: string): string {
  return name.replace(/_+([a-z0-9])/gi, (whole, letter: string, at: number) =>
    at === 0 ? whole : letter.toUpperCase(),
  );
}

/** Where a type lives, and under which TypeScript name. */
interface Place {
  readonly pkg: string;
  readonly tsName: string;
  readonly message?: Message;
  readonly enum?: Enum;
}

function indexTypes(files: readonly FileDescriptor[]): Map<string, Place> {
  const places = new Map<string, Place>();
  const visit = (pkg: string, path: readonly string[], message: Message): void => {
    const names = [...path, message.name];
    places.set(`.${pkg}.${names.join(".")}`, { pkg, tsName: names.join("_"), message });
    for (const nested of message.nestedType ?? []) visit(pkg, names, nested);
    for (const nested of message.enumType ?? []) {
      const full = [...names, nested.name];
      places.set(`.${pkg}.${full.join(".")}`, { pkg, tsName: full.join("_"), enum: nested });
    }
  };
  for (const file of files) {
    for (const message of file.messageType ?? []) visit(file.package, [], message);
    for (const item of file.enumType ?? []) {
      places.set(`.${file.package}.${item.name}`, { pkg: file.package, tsName: item.name, enum: item });
    }
  }
  return places;
}

type Direction = "output" | "input";

/** Writes the types of one package. */
class PackageWriter {
  readonly #pkg: string;
  readonly #places: Map<string, Place>;
  readonly #imports = new Map<string, Set<string>>();

  constructor(pkg: string, places: Map<string, Place>) {
    this.#pkg = pkg;
    this.#places = places;
  }

  text(): string {
    const body: string[] = [];
    for (const place of this.#places.values()) {
      if (place.pkg !== this.#pkg || place.message?.options?.mapEntry) continue;
      if (place.enum !== undefined) body.push(this.#enum(place.tsName, place.enum));
      if (place.message !== undefined) {
        body.push(this.#message(place.tsName, place.message, "output"));
        body.push(this.#message(`${place.tsName}Input`, place.message, "input"));
      }
    }
    const imports = [...this.#imports].map(
      ([pkg, names]) => `import type { ${[...names].toSorted().join(", ")} } from "./${moduleOf(pkg)}.gen.ts";\n`,
    );
    return [HEADER, ...imports, "", ...body].join("\n");
  }

  #enum(tsName: string, item: Enum): string {
    return `export type ${tsName} = ${item.value.map((value) => JSON.stringify(value.name)).join(" | ")};\n`;
  }

  #message(tsName: string, message: Message, direction: Direction): string {
    const lines = (message.field ?? []).map((field) => `  ${this.#member(field, direction)};`);
    if (direction === "output") lines.push(...this.#discriminators(message));
    return lines.length === 0
      ? `export type ${tsName} = Record<string, never>;\n`
      : `export interface ${tsName} {\n${lines.join("\n")}\n}\n`;
  }

  #discriminators(message: Message): string[] {
    return (message.oneofDecl ?? []).map((oneof, index) => {
      const members = (message.field ?? []).filter((field) => field.oneofIndex === index);
      const names = members.map((field) => JSON.stringify(field.jsonName)).join(" | ");
      const name = oneof.name.startsWith("_") ? `_${camel(oneof.name.slice(1))}` : camel(oneof.name);
      return `  ${name}?: ${names};`;
    });
  }

  #member(field: Field, direction: Direction): string {
    const type = this.#fieldType(field, direction);
    if (direction === "input") return `${field.jsonName}?: ${type} | null`;
    const isMessage = field.type === "TYPE_MESSAGE" && field.label !== "LABEL_REPEATED";
    const optional = field.oneofIndex !== undefined;
    return `${field.jsonName}${optional ? "?" : ""}: ${type}${isMessage ? " | null" : ""}`;
  }

  #fieldType(field: Field, direction: Direction): string {
    if (field.label !== "LABEL_REPEATED") return this.#single(field, direction);
    const entry = field.typeName === undefined ? undefined : this.#places.get(field.typeName)?.message;
    if (entry?.options?.mapEntry) {
      const value = entry.field?.find((candidate) => candidate.name === "value");
      if (value === undefined) throw new Error(`${field.name}: a map entry without a value`);
      return `Record<string, ${this.#single(value, direction)}>`;
    }
    return direction === "input"
      ? `ReadonlyArray<${this.#single(field, direction)}>`
      : `Array<${this.#single(field, direction)}>`;
  }

  #single(field: Field, direction: Direction): string {
    if (field.typeName !== undefined) {
      const place = this.#places.get(field.typeName);
      if (place === undefined) throw new Error(`${field.name}: unknown type ${field.typeName}`);
      const name = place.enum === undefined && direction === "input" ? `${place.tsName}Input` : place.tsName;
      if (place.pkg !== this.#pkg) {
        this.#imports.set(place.pkg, (this.#imports.get(place.pkg) ?? new Set()).add(name));
      }
      return name;
    }
    if (field.type === "TYPE_BYTES") return direction === "input" ? "Uint8Array" : "Buffer";
    if (field.type === "TYPE_STRING") return "string";
    if (field.type === "TYPE_BOOL") return "boolean";
    if (LONGS.has(field.type)) return direction === "input" ? "(string | number)" : "string";
    return "number";
  }
}

/** "<package>.gen.ts" → its text, for each package. */
export function messageModules(files: readonly FileDescriptor[]): Map<string, string> {
  const places = indexTypes(files);
  const out = new Map<string, string>();
  for (const pkg of new Set(files.map((file) => file.package))) {
    out.set(`${moduleOf(pkg)}.gen.ts`, new PackageWriter(pkg, places).text());
  }
  return out;
}

/** A type that maps service and method names to their messages. */
export function servicesModule(files: readonly FileDescriptor[]): string {
  const places = indexTypes(files);
  const lines: string[] = [HEADER, ""];
  const aliases = new Map<string, string>();
  const alias = (pkg: string): string => {
    const name = camel(moduleOf(pkg).replaceAll("-", "_"));
    aliases.set(name, `import type * as ${name} from "./${moduleOf(pkg)}.gen.ts";`);
    return name;
  };
  const typeText = (typeName: string): string => {
    const place = places.get(typeName);
    if (place === undefined) throw new Error(`unknown type ${typeName}`);
    return `${alias(place.pkg)}.${place.tsName}`;
  };
  lines.push("/** Messages of each method: `request` and `response` as received, `…Input` as sent. */");
  lines.push("export interface ServiceTypes {");
  for (const file of files) {
    for (const service of file.service ?? []) {
      lines.push(`  "${file.package}.${service.name}": {`);
      for (const method of service.method ?? []) {
        const request = typeText(method.inputType);
        const response = typeText(method.outputType);
        lines.push(
          `    ${method.name[0]?.toLowerCase()}${method.name.slice(1)}: {`,
          `      request: ${request};`,
          `      requestInput: ${request}Input;`,
          `      response: ${response};`,
          `      responseInput: ${response}Input;`,
          `      requestStream: ${method.clientStreaming === true};`,
          `      responseStream: ${method.serverStreaming === true};`,
          "    };",
        );
      }
      lines.push("  };");
    }
  }
  lines.push("}", "", "export type ServiceName = keyof ServiceTypes;", "");
  return [HEADER, [...aliases.values()].toSorted().join("\n"), ...lines.slice(1)].join("\n");
}

/** All names that a client may ask reflection for. */
function symbolsOf(file: FileDescriptor): string[] {
  const out: string[] = [];
  const visit = (prefix: string, message: Message): void => {
    const name = `${prefix}.${message.name}`;
    out.push(name, ...(message.field ?? []).map((field) => `${name}.${field.name}`));
    out.push(...(message.enumType ?? []).map((item) => `${name}.${item.name}`));
    for (const nested of message.nestedType ?? []) visit(name, nested);
  };
  for (const message of file.messageType ?? []) visit(file.package, message);
  out.push(...(file.enumType ?? []).map((item) => `${file.package}.${item.name}`));
  for (const service of file.service ?? []) {
    const name = `${file.package}.${service.name}`;
    out.push(name, ...(service.method ?? []).map((method) => `${name}.${method.name}`));
  }
  return out;
}

/** Splits an encoded FileDescriptorSet (only field 1, length-delimited) into its files. */
function splitSet(set: Buffer): Buffer[] {
  const out: Buffer[] = [];
  let at = 0;
  while (at < set.length) {
    if (set[at] !== 0x0a) throw new Error(`FileDescriptorSet: unexpected tag ${set[at]} at ${at}`);
    at++;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = set[at++];
      if (byte === undefined) throw new Error("FileDescriptorSet: truncated");
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    out.push(set.subarray(at, at + length));
    at += length;
  }
  return out;
}

/** The encoded descriptors with an index for reflection. `set` is the same set as `files`, encoded. */
export function descriptorModule(files: readonly FileDescriptor[], set: Buffer): string {
  const encoded = splitSet(set);
  const entries = files.map((file, index) => ({
    name: file.name,
    package: file.package,
    dependencies: file.dependency ?? [],
    services: (file.service ?? []).map((service) => `${file.package}.${service.name}`),
    symbols: symbolsOf(file),
    descriptor: encoded[index]?.toString("base64"),
  }));
  return [
    HEADER,
    "export interface EncodedFile {",
    "  readonly name: string;",
    "  readonly package: string;",
    "  readonly dependencies: readonly string[];",
    "  /** Fully qualified. */",
    "  readonly services: readonly string[];",
    "  readonly symbols: readonly string[];",
    "  /** A FileDescriptorProto without source text, base64. */",
    "  readonly descriptor: string;",
    "}",
    "",
    `export const encodedFiles: readonly EncodedFile[] = ${JSON.stringify(entries, undefined, 1)};`,
    "",
  ].join("\n");
}
