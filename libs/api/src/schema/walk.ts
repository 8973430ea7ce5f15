// Walks an object along its schema: finds unknown fields, takes them out, and finds values of the wrong JSON type.
import { isJsonObject, quote } from "@coxswain/apimachinery";
import { JSON_SCHEMA_PROPS } from "../apiextensions-v1/model.ts";
import { type ModelField, type ModelType, modelType, referenceOf } from "./model.ts";
import { jsonKind, scalarProblem } from "./scalars.ts";

const child = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);

/** Upstream's strict errors, as in `unknown field "spec.foo"`, in the order of the object. */
export function walkUnknownFields(object: unknown, schemaName: string): string[] {
  const found: string[] = [];
  eachUnknown(object, modelType(schemaName), "", (_parent, _key, path) => found.push(`unknown field ${quote(path)}`));
  return found;
}

/**
 * Takes out, in place, what the schema doesn't know, known fields that are null, and empty values of fields that are left
 * out of JSON where empty (omitempty without a pointer): all of these mean absent. A null inside a list or map becomes the
 * element type's zero value, as in Go's decoder.
 */
export function pruneUnknown(object: unknown, schemaName: string): void {
  eachUnknown(object, modelType(schemaName), undefined, (parent, key) => delete parent[key]);
}

type Visit = (parent: Record<string, unknown>, key: string, path: string) => void;

/** Without a path (undefined) nothing is spent on making paths, and null members are visited too. */
function eachUnknown(value: unknown, type: ModelType, path: string | undefined, visit: Visit): void {
  if (!isJsonObject(value)) return;
  for (const key of Object.keys(value)) {
    const field = type.fields.get(key);
    const at = path === undefined ? undefined : child(path, key);
    const member = value[key];
    if (field === undefined || (member === null && path === undefined)) visit(value, key, at ?? "");
    else {
      if (path === undefined && field.l !== undefined) fillNulls(member, field);
      if (field.t.startsWith("#")) eachUnknownIn(member, field, at, visit);
      else if (mayBeSchema(field)) eachUnknownIn(member, { ...field, t: `#${JSON_SCHEMA_PROPS}` }, at, visit);
      if (path === undefined && meansAbsent(member, field)) visit(value, key, "");
    }
  }
}

/** A schema of a custom resource, or what may stand in its place. */
function mayBeSchema(field: ModelField): boolean {
  return field.t.startsWith("schema-or-");
}

function fillNulls(value: unknown, field: ModelField): void {
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) if (value[index] === null) value[index] = zeroOf(field.t);
  } else if (isJsonObject(value)) {
    for (const key of Object.keys(value)) if (value[key] === null) value[key] = zeroOf(field.t);
  }
}

/** A value that any JSON fits stays null. */
function zeroOf(type: string): unknown {
  if (type.startsWith("#")) return {};
  switch (type) {
    case "string":
    case "bytes":
      return "";
    case "bool":
      return false;
    case "int32":
    case "int64":
    case "double":
    case "int-or-string":
      return 0;
    case "quantity":
      return "0";
    case "string-list":
      return [];
    default:
      return null;
  }
}

/** A structure is never left out for being empty: {} says something, as in emptyDir. */
function meansAbsent(value: unknown, field: ModelField): boolean {
  if (field.o !== 1 || field.p === 1 || field.t === "int-or-string") return false;
  if (field.l === "list") return Array.isArray(value) && value.length === 0;
  if (field.l === "map") return isJsonObject(value) && Object.keys(value).length === 0;
  return value === "" || value === 0 || value === false;
}

function eachUnknownIn(value: unknown, field: ModelField, path: string | undefined, visit: Visit): void {
  const type = modelType(field.t.slice(1));
  if (field.l === "list") {
    if (!Array.isArray(value)) return;
    for (let index = 0; index < value.length; index++) {
      eachUnknown(value[index], type, path === undefined ? undefined : `${path}[${index}]`, visit);
    }
  } else if (field.l === "map") {
    if (!isJsonObject(value)) return;
    for (const key of Object.keys(value)) {
      eachUnknown(value[key], type, path === undefined ? undefined : child(path, key), visit);
    }
  } else {
    eachUnknown(value, type, path, visit);
  }
}

/** What stands where something else is wanted, said by one of upstream's two ways to make an object of JSON. */
export type TypeComplaint = (found: Misplaced) => string;

interface Misplaced {
  readonly value: unknown;
  /** What Go makes of the field. */
  readonly shape: "map" | "slice" | "struct" | "scalar";
  readonly goType: string;
  /** What is wrong with a scalar: a JSON kind, or ! and a whole message. */
  readonly problem?: string;
  readonly owner: ModelType;
  readonly path: string;
}

/**
 * What is wrong with the types of the values; by default in the words of upstream's decoder, as in
 * `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`. Upstream reports just
 * the first. null is fine everywhere.
 */
export function checkTypes(object: unknown, schemaName: string, complaint: TypeComplaint = decoderComplaint): string[] {
  const type = modelType(schemaName);
  if (!isJsonObject(object)) {
    return [`json: cannot unmarshal ${jsonKind(object)} into Go value of type ${goName(schemaName)}`];
  }
  const check = new TypeCheck(complaint);
  check.object(object, type, "");
  return check.errors;
}

class TypeCheck {
  readonly errors: string[] = [];
  readonly #complaint: TypeComplaint;

  constructor(complaint: TypeComplaint) {
    this.#complaint = complaint;
  }

  object(object: Record<string, unknown>, type: ModelType, path: string): void {
    for (const key of Object.keys(object)) {
      const field = type.fields.get(key);
      const value = object[key];
      if (field === undefined || value === null || value === undefined) continue;
      this.#field(value, field, type, child(path, key));
    }
  }

  #field(value: unknown, field: ModelField, owner: ModelType, path: string): void {
    if (field.l === "list") {
      if (!Array.isArray(value)) this.#complain({ value, shape: "slice", goType: goTypeOf(field), owner, path });
      else for (const each of value) if (each !== null) this.#value(each, field, owner, path);
    } else if (field.l === "map") {
      if (!isJsonObject(value)) this.#complain({ value, shape: "map", goType: goTypeOf(field), owner, path });
      else for (const key of Object.keys(value)) if (value[key] !== null) this.#value(value[key], field, owner, path);
    } else {
      this.#value(value, field, owner, path);
    }
  }

  #value(value: unknown, field: ModelField, owner: ModelType, path: string): void {
    if (mayBeSchema(field)) {
      if (isJsonObject(value)) this.object(value, modelType(JSON_SCHEMA_PROPS), path);
      return;
    }
    const reference = referenceOf(field);
    if (reference !== undefined) {
      if (isJsonObject(value)) this.object(value, modelType(reference), path);
      else this.#complain({ value, shape: "struct", goType: goName(reference), owner, path });
      return;
    }
    const problem = scalarProblem(value, field.t);
    if (problem !== undefined) {
      this.#complain({ value, shape: "scalar", goType: goScalar(field.t), problem, owner, path });
    }
  }

  #complain(found: Misplaced): void {
    this.errors.push(this.#complaint(found));
  }
}

function decoderComplaint({ value, goType, problem = jsonKind(value), owner, path }: Misplaced): string {
  if (problem.startsWith("!")) return problem.slice(1);
  const struct = owner.name.slice(owner.name.lastIndexOf(".") + 1);
  return `json: cannot unmarshal ${problem} into Go struct field ${struct}.${path} of type ${goType}`;
}

/** In the words of upstream's converter, which makes objects of what a strategic merge patch left. */
export function converterComplaint({ value, shape, goType, problem }: Misplaced): string {
  const found = goKind(value);
  if (shape === "struct") return `cannot restore struct from: ${found}`;
  if (shape !== "scalar") return `cannot restore ${shape} from ${found}`;
  if (problem?.startsWith("!") === true) return problem.slice(1);
  if (goType === "[]uint8" || goType === "[]string") return `cannot restore slice from ${found}`;
  const numbers = typeof value === "number" && /^(int|float)/.test(goType);
  const characters = found === "int64" && goType === "string";
  return numbers || characters ? `cannot convert ${found} to ${goType}` : `unrecognized type: ${goType}`;
}

/** Of Go's value for a JSON value. */
function goKind(value: unknown): string {
  if (Array.isArray(value)) return "slice";
  if (typeof value === "number") return Number.isInteger(value) ? "int64" : "float64";
  if (typeof value === "boolean") return "bool";
  return typeof value === "string" ? "string" : "map";
}

/** "v1.PodSpec" for io.k8s.api.core.v1.PodSpec. */
function goName(schemaName: string): string {
  return schemaName.split(".").slice(-2).join(".");
}

function goTypeOf(field: ModelField): string {
  const reference = referenceOf(field);
  const element = reference === undefined ? goScalar(field.t) : goName(reference);
  return field.l === "list" ? `[]${element}` : `map[string]${element}`;
}

const GO_SCALARS: Readonly<Record<string, string>> = {
  double: "float64",
  bytes: "[]uint8",
  quantity: "resource.Quantity",
  "int-or-string": "int32",
  time: "string",
  "micro-time": "string",
  "string-list": "[]string",
  raw: "runtime.RawExtension",
  fields: "v1.FieldsV1",
};

function goScalar(type: string): string {
  return GO_SCALARS[type] ?? type;
}
