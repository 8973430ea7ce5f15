// Reads Go's type declarations as Kubernetes writes them: structs with their json, protobuf and patch tags and the
// +markers above a field, named types, and string constants. Understands just that much Go.

export interface GoField {
  /** JSON name; undefined for an embedded (inlined) struct. */
  readonly json: string | undefined;
  readonly type: string;
  readonly omitEmpty: boolean;
  /** Protobuf field number; undefined where the field isn't on the wire. */
  readonly number: number | undefined;
  readonly strategies: string[];
  readonly mergeKey: string | undefined;
  /** `+name=value` markers, "" for those without a value; a repeated marker has several values. */
  readonly markers: ReadonlyMap<string, string[]>;
}

export interface GoFile {
  /** Import paths by the name they have in the file. */
  readonly imports: ReadonlyMap<string, string>;
  readonly structs: ReadonlyMap<string, GoField[]>;
  /** `type Name <other>`. */
  readonly named: ReadonlyMap<string, string>;
  /** Constants by type. */
  readonly constants: ReadonlyMap<string, string[]>;
  /** Named types marked +enum. */
  readonly enums: ReadonlySet<string>;
}

/** Parses the text of one types.go. */
export function parseGoTypes(text: string): GoFile {
  const imports = new Map<string, string>();
  const structs = new Map<string, GoField[]>();
  const named = new Map<string, string>();
  const constants = new Map<string, string[]>();
  const enums = new Set<string>();
  let fields: GoField[] | undefined;
  let comments: string[] = [];
  for (const line of text.split("\n")) {
    const trimmed = line.trim();
    if (trimmed.startsWith("//")) {
      comments.push(trimmed);
      continue;
    }
    const imported = /^(?:import )?\s*(?:(\w+) )?"([\w./-]+)"$/.exec(line);
    const opened = /^type (\w+) struct \{(\})?/.exec(line);
    const alias = /^type (\w+) =?\s*([\w.[\]*]+)$/.exec(line);
    const constant = /^\s+\w+\s+(\w+)\s+=\s+"([^"]*)"/.exec(line);
    if (imported !== null) {
      const path = imported[2] as string;
      imports.set(imported[1] ?? (path.split("/").at(-1) as string), path);
    } else if (opened !== null) {
      const list: GoField[] = [];
      structs.set(opened[1] as string, list);
      fields = opened[2] === undefined ? list : undefined;
    } else if (line.startsWith("}")) {
      fields = undefined;
    } else if (alias !== null) {
      named.set(alias[1] as string, alias[2] as string);
      if (comments.some((comment) => /^\/\/ ?\+enum$/.test(comment))) enums.add(alias[1] as string);
    } else if (fields !== undefined && trimmed.includes("`")) {
      const field = parseField(trimmed, comments);
      if (field !== undefined) fields.push(field);
    } else if (constant !== null) {
      const list = constants.get(constant[1] as string) ?? [];
      constants.set(constant[1] as string, [...list, constant[2] as string]);
    }
    comments = [];
  }
  return { imports, structs, named, constants, enums };
}

function parseField(line: string, comments: readonly string[]): GoField | undefined {
  const match = /^(?:(\w+)\s+)?([\w.[\]*]+)\s+`([^`]*)`/.exec(line);
  if (match === null) return undefined;
  const [, , type = "", tags = ""] = match;
  const json = tag(tags, "json");
  if (json === undefined || json === "-") return undefined;
  const [name = "", ...options] = json.split(",");
  const protobuf = tag(tags, "protobuf");
  const number = protobuf === undefined ? undefined : Number(protobuf.split(",")[1]);
  return {
    json: options.includes("inline") ? undefined : name,
    type,
    omitEmpty: options.includes("omitempty") || options.includes("omitzero"),
    number: Number.isInteger(number) ? number : undefined,
    strategies: tag(tags, "patchStrategy")?.split(",") ?? [],
    mergeKey: tag(tags, "patchMergeKey"),
    markers: markersOf(comments),
  };
}

function tag(tags: string, name: string): string | undefined {
  return new RegExp(`(?:^| )${name}:"([^"]*)"`).exec(tags)?.[1];
}

function markersOf(comments: readonly string[]): Map<string, string[]> {
  const markers = new Map<string, string[]>();
  for (const comment of comments) {
    const match = /^\/\/ ?\+([\w:]+)(?:=(.*))?$/.exec(comment);
    if (match !== null) markers.set(match[1] as string, [...(markers.get(match[1] as string) ?? []), match[2] ?? ""]);
  }
  return markers;
}
