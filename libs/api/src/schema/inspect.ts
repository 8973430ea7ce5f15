// One quick look at a decoded object before anything is said of it. Guarantees: "clean" means that checkTypes and
// walkUnknownFields find nothing and pruneUnknown changes nothing; "prunable" that only pruneUnknown may have something to
// do; all else is "odd", and those three decide. No path is made and nothing is changed.
import { isJsonObject } from "@coxswain/apimachinery";
import { JSON_SCHEMA_PROPS } from "../apiextensions-v1/model.ts";
import { type ModelField, modelType, referenceOf } from "./model.ts";
import { scalarProblem } from "./scalars.ts";

export type Form = "clean" | "prunable" | "odd";

/** A field with all that is asked of it per value worked out once. */
interface FieldForm {
  readonly shape: "one" | "list" | "map";
  readonly type: string;
  /** Where the values are structures. */
  readonly structure: (() => TypeForm) | undefined;
  /** A structure that may have another form too. */
  readonly loose: boolean;
  /** Empty means absent. */
  readonly omitted: boolean;
}

type TypeForm = ReadonlyMap<string, FieldForm>;

const forms = new Map<string, TypeForm>();

function formFor(schemaName: string): TypeForm {
  let form = forms.get(schemaName);
  if (form === undefined) {
    form = new Map([...modelType(schemaName).fields].map(([name, field]) => [name, fieldForm(field)]));
    forms.set(schemaName, form);
  }
  return form;
}

function fieldForm(field: ModelField): FieldForm {
  const loose = field.t.startsWith("schema-or-");
  const reference = loose ? JSON_SCHEMA_PROPS : referenceOf(field);
  let known: TypeForm | undefined;
  return {
    shape: field.l ?? "one",
    type: field.t,
    // On demand, since types may hold themselves.
    structure: reference === undefined ? undefined : () => (known ??= formFor(reference)),
    loose,
    omitted: field.o === 1 && field.p !== 1 && field.t !== "int-or-string",
  };
}

export function inspect(object: unknown, schemaName: string): Form {
  return isJsonObject(object) ? inspectObject(object, formFor(schemaName)) : "odd";
}

function worse(a: Form, b: Form): Form {
  return a === "clean" ? b : a;
}

function inspectObject(object: Record<string, unknown>, type: TypeForm): Form {
  let form: Form = "clean";
  for (const key of Object.keys(object)) {
    const field = type.get(key);
    if (field === undefined) return "odd";
    const found = inspectField(object[key], field);
    if (found === "odd") return found;
    form = worse(form, found);
  }
  return form;
}

function inspectField(value: unknown, field: FieldForm): Form {
  if (value === null) return "prunable";
  if (field.shape === "one") return inspectOne(value, field);
  const items = field.shape === "list" ? value : mapItems(value);
  if (!Array.isArray(items)) return "odd";
  let form: Form = items.length === 0 && field.omitted ? "prunable" : "clean";
  for (const item of items as unknown[]) {
    const found = item === null ? "prunable" : inspectItem(item, field);
    if (found === "odd") return found;
    form = worse(form, found);
  }
  return form;
}

function mapItems(value: unknown): unknown[] | undefined {
  return isJsonObject(value) ? Object.values(value) : undefined;
}

function inspectItem(value: unknown, field: FieldForm): Form {
  if (field.structure !== undefined) {
    if (isJsonObject(value)) return inspectObject(value, field.structure());
    return field.loose ? "prunable" : "odd";
  }
  return scalarProblem(value, field.type) === undefined ? "clean" : "odd";
}

function inspectOne(value: unknown, field: FieldForm): Form {
  const form = inspectItem(value, field);
  if (form !== "clean" || !field.omitted) return form;
  return value === "" || value === 0 || value === false ? "prunable" : form;
}
