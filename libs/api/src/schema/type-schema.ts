// The built-in types as server-side apply sees them: how lists and maps merge, which structures are one value. Made once a
// type, on demand.
import {
  fieldElement,
  type FieldSchema,
  type ListSchema,
  type MapSchema,
  type ScalarType,
  type TypeSchema,
  UNTYPED,
} from "@coxswain/apimachinery/managed-fields/index";
import { type ModelField, type ModelType, modelType, referenceOf } from "./model.ts";

/** Structures that are one value: who sets a part of one sets it whole. The model's fields cannot say so of a type. */
const ATOMIC_TYPES: ReadonlySet<string> = new Set(
  [
    "api.admissionregistration.v1.MatchResources",
    "api.admissionregistration.v1.NamedRuleWithOperations",
    "api.admissionregistration.v1.ParamKind",
    "api.admissionregistration.v1.ParamRef",
    "api.admissionregistration.v1.Variable",
    "api.autoscaling.v1.CrossVersionObjectReference",
    "api.core.v1.ConfigMapKeySelector",
    "api.core.v1.EndpointAddress",
    "api.core.v1.EndpointPort",
    "api.core.v1.FileKeySelector",
    "api.core.v1.LocalObjectReference",
    "api.core.v1.NodeSelector",
    "api.core.v1.NodeSelectorTerm",
    "api.core.v1.ObjectFieldSelector",
    "api.core.v1.ObjectReference",
    "api.core.v1.ResourceFieldSelector",
    "api.core.v1.ScopeSelector",
    "api.core.v1.SecretKeySelector",
    "api.core.v1.SecretReference",
    "api.core.v1.TopologySelectorTerm",
    "api.core.v1.TypedLocalObjectReference",
    "api.discovery.v1.EndpointPort",
    "api.networking.v1.ServiceBackendPort",
    "api.rbac.v1.RoleRef",
    "api.rbac.v1.Subject",
    "apimachinery.pkg.apis.meta.v1.LabelSelector",
    "apimachinery.pkg.apis.meta.v1.OwnerReference",
  ].map((name) => `io.k8s.${name}`),
);

/** Fields that differ from their type: maps that are one value, and one structure that is none here. */
const FIELD_EXCEPTIONS: ReadonlyMap<string, "atomic" | "granular"> = new Map([
  ["io.k8s.api.core.v1.PodSpec.nodeSelector", "atomic"],
  ["io.k8s.api.core.v1.ReplicationControllerSpec.selector", "atomic"],
  ["io.k8s.api.core.v1.ServiceSpec.selector", "atomic"],
  ["io.k8s.api.node.v1.Scheduling.nodeSelector", "atomic"],
  ["io.k8s.api.core.v1.PersistentVolumeSpec.claimRef", "granular"],
]);

const SCALARS: Readonly<Record<string, ScalarType>> = {
  string: "string",
  bytes: "string",
  duration: "string",
  bool: "boolean",
  int32: "numeric",
  int64: "numeric",
  double: "numeric",
  quantity: "untyped",
  "int-or-string": "untyped",
  time: "untyped",
  "micro-time": "untyped",
};

const SCALAR_TYPES: ReadonlyMap<string, TypeSchema> = new Map(
  Object.entries(SCALARS).map(([name, scalar]) => [name, { scalar }]),
);
/** A JSON object of which nothing more is known. */
const OPEN: TypeSchema = { map: { atomic: false, field: () => undefined, element: () => UNTYPED } };

const made = new Map<string, TypeSchema>();

/** The type of that schema name, as in io.k8s.api.core.v1.Pod; throws where there is none. */
export function typeSchemaFor(schemaName: string): TypeSchema {
  let schema = made.get(schemaName);
  if (schema === undefined) {
    schema = { map: new ModelMap(modelType(schemaName), ATOMIC_TYPES.has(schemaName)) };
    made.set(schemaName, schema);
  }
  return schema;
}

class ModelMap implements MapSchema {
  readonly atomic: boolean;
  readonly #type: ModelType;
  readonly #fields = new Map<string, FieldSchema>();

  constructor(type: ModelType, atomic: boolean) {
    this.#type = type;
    this.atomic = atomic;
  }

  field(name: string): FieldSchema | undefined {
    const known = this.#fields.get(name);
    if (known !== undefined) return known;
    const field = this.#type.fields.get(name);
    if (field === undefined) return undefined;
    const type = fieldType(field, FIELD_EXCEPTIONS.get(`${this.#type.name}.${name}`));
    const schema = { type, key: fieldElement(name), implied: isImplied(field) };
    this.#fields.set(name, schema);
    return schema;
  }

  element(): undefined {
    return undefined;
  }
}

function isImplied(field: ModelField): boolean {
  return field.l === undefined ? field.t.startsWith("#") && field.p !== 1 : field.o !== 1;
}

function fieldType(field: ModelField, exception: "atomic" | "granular" | undefined): TypeSchema {
  if (field.l === "list") return { list: listSchema(field) };
  if (field.l === "map") {
    const element = elementType(field);
    return { map: { atomic: exception === "atomic", field: () => undefined, element: () => element } };
  }
  const reference = referenceOf(field);
  if (reference !== undefined && exception === "granular") return { map: new ModelMap(modelType(reference), false) };
  return elementType(field);
}

function elementType(field: ModelField): TypeSchema {
  const reference = referenceOf(field);
  if (reference !== undefined) return typeSchemaFor(reference);
  if (field.t === "string-list") return { list: listSchema({ t: "string" }) };
  return SCALAR_TYPES.get(field.t) ?? (field.t === "raw" || field.t === "fields" ? OPEN : UNTYPED);
}

function listSchema(field: ModelField): ListSchema {
  const merges = field.lt === undefined && field.s?.includes("merge") === true;
  const relationship = merges ? (field.k === undefined ? "set" : "map") : field.lt;
  const keys = merges && field.k !== undefined ? [field.k] : (field.mk ?? []);
  const reference = referenceOf(field);
  const keyDefaults: Record<string, unknown> = {};
  for (const key of keys) {
    const value = reference === undefined ? undefined : keyDefault(modelType(reference).fields.get(key));
    if (value !== undefined) keyDefaults[key] = value;
  }
  let element: TypeSchema | undefined;
  return {
    relationship: relationship === "map" || relationship === "set" ? relationship : "atomic",
    keys: keys.toSorted(),
    keyDefaults,
    element: () => (element ??= elementType(field)),
  };
}

/** What is never left out is its zero value where nothing else is said. */
function keyDefault(field: ModelField | undefined): unknown {
  if (field === undefined || field.d !== undefined) return field?.d;
  if (field.o === 1 || field.p === 1) return undefined;
  return { string: "", numeric: 0, boolean: false, untyped: undefined }[SCALARS[field.t] ?? "untyped"];
}
