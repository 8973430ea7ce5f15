// Builds the compact model of the API (libs/api/src/schema/model.gen.ts) from Kubernetes' own type declarations: names,
// types, protobuf numbers, patch and list rules, enums. Only such facts are taken, no text.
import { execFileSync } from "node:child_process";
import { type GoField, type GoFile, parseGoTypes } from "./go-types.ts";
import { KIND_ROOTS, PACKAGES, type Package, type Repo } from "./roots.ts";

/** Kept in step with libs/api/src/schema/model.ts, which reads it. */
interface ModelField {
  t: string;
  l?: "list" | "map";
  n?: number;
  /** A pointer: zero is a value of its own. */
  p?: 1;
  /** Left out of JSON where empty. */
  o?: 1;
  r?: 1;
  s?: string[];
  k?: string;
  lt?: string;
  mk?: string[];
  e?: string[];
  d?: unknown;
}
interface ModelType {
  f: Record<string, ModelField>;
  i?: [number, string][];
  g?: [string, string, string];
}

const SCALARS: Record<string, string> = {
  string: "string",
  bool: "bool",
  int: "int64",
  int32: "int32",
  int64: "int64",
  uint32: "int64",
  float64: "double",
  "types.UID": "string",
  "types.NodeName": "string",
  "resource.Quantity": "quantity",
  "intstr.IntOrString": "int-or-string",
  "runtime.RawExtension": "raw",
  Time: "time",
  MicroTime: "micro-time",
  FieldsV1: "fields",
  Duration: "duration",
};

/** Where each repository is (a git directory), and the branch to read. */
export interface Declarations {
  readonly repos: Readonly<Record<Repo, string>>;
  readonly branch: string;
}

/** The text of a file of a package. */
export function readDeclaration({ repos, branch }: Declarations, each: Package, file: string): string {
  const git = ["-C", repos[each.repo], "show", `${branch}:${each.path}/${file}`];
  return execFileSync("git", git, { encoding: "utf8", maxBuffer: 1 << 26 });
}

/** Reads the declarations and returns the model by OpenAPI name. */
export function buildModel(declarations: Declarations): Record<string, ModelType> {
  const files = new Map<string, GoFile>();
  for (const each of PACKAGES) {
    files.set(each.name, parseGoTypes(readDeclaration(declarations, each, "types.go")));
  }
  const builder = new ModelBuilder(files);
  for (const [packageName, kinds] of Object.entries(KIND_ROOTS)) {
    for (const kind of kinds) builder.addRoot(packageName, kind);
  }
  return Object.fromEntries([...builder.types].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

class ModelBuilder {
  readonly types = new Map<string, ModelType>();
  private readonly files: ReadonlyMap<string, GoFile>;

  constructor(files: ReadonlyMap<string, GoFile>) {
    this.files = files;
  }

  addRoot(packageName: string, kind: string): void {
    const { group, version } = packageOf(packageName);
    const name = this.add(packageName, kind);
    (this.types.get(name) as ModelType).g = [group, version, kind];
  }

  /** Adds a struct and all it refers to; returns its OpenAPI name. */
  private add(packageName: string, struct: string): string {
    const name = `${packageOf(packageName).prefix}.${struct}`;
    if (this.types.has(name)) return name;
    const fields = this.files.get(packageName)?.structs.get(struct);
    if (fields === undefined) throw new Error(`no struct ${struct} in ${packageName}`);
    const type: ModelType = { f: {} };
    this.types.set(name, type);
    for (const field of fields) this.addField(packageName, type, field);
    return name;
  }

  private addField(packageName: string, type: ModelType, field: GoField): void {
    const resolved = this.resolve(packageName, field.type);
    if (field.json === undefined) {
      (type.i ??= []).push([field.number ?? 0, resolved.t.slice(1)]);
      return;
    }
    const entry: ModelField = resolved;
    if (field.number !== undefined) entry.n = field.number;
    if (field.omitEmpty) entry.o = 1;
    const optional = field.markers.has("optional") || (field.omitEmpty && !field.markers.has("required"));
    if (!optional) entry.r = 1;
    if (field.strategies.length > 0) entry.s = field.strategies;
    if (field.mergeKey !== undefined) entry.k = field.mergeKey;
    const listType = field.markers.get("listType")?.[0];
    if (listType !== undefined) entry.lt = listType;
    const keys = field.markers.get("listMapKey");
    if (keys !== undefined) entry.mk = keys;
    const mapType = field.markers.get("structType")?.[0];
    if (mapType !== undefined) entry.lt = mapType;
    const fallback = field.markers.get("default")?.[0];
    if (fallback !== undefined && /^["\d]/.test(fallback)) entry.d = JSON.parse(fallback) as unknown;
    type.f[field.json] = entry;
  }

  private resolve(packageName: string, goType: string): ModelField {
    if (goType.startsWith("*")) return { ...this.resolve(packageName, goType.slice(1)), p: 1 };
    if (goType === "[]byte") return { t: "bytes" };
    if (goType.startsWith("[]")) return { ...this.resolve(packageName, goType.slice(2)), l: "list" };
    const map = /^map\[[\w.]+\](.+)$/.exec(goType);
    if (map !== null) {
      const value = this.resolve(packageName, map[1] as string);
      return value.l === "list" ? { t: "string-list", l: "map" } : { ...value, l: "map" };
    }
    return this.resolveName(packageName, goType);
  }

  private resolveName(packageName: string, goType: string): ModelField {
    const dotted = /^(\w+)\.(\w+)$/.exec(goType);
    const qualified = SCALARS[goType];
    if (qualified !== undefined && (dotted !== null || packageName === "meta" || !/^[A-Z]/.test(goType))) {
      return { t: qualified };
    }
    if (dotted !== null) {
      const path = this.files.get(packageName)?.imports.get(dotted[1] as string);
      const target = PACKAGES.find((each) => each.importPath === path);
      if (target === undefined) throw new Error(`unknown package in ${goType}`);
      return this.resolve(target.name, dotted[2] as string);
    }
    const file = this.files.get(packageName) as GoFile;
    const other = file.named.get(goType);
    if (other === undefined) return { t: `#${this.add(packageName, goType)}` };
    const resolved = this.resolve(packageName, other);
    const values = file.enums.has(goType) ? file.constants.get(goType) : undefined;
    return values === undefined ? resolved : { ...resolved, e: values.toSorted() };
  }
}

function packageOf(name: string): Package {
  const found = PACKAGES.find((each) => each.name === name);
  if (found === undefined) throw new Error(`unknown package ${name}`);
  return found;
}
