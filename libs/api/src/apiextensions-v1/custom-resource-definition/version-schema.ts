// Validates the schema of a version: structural, with rules that the server can follow and defaults that hold.
import { childPath, fieldForbidden, fieldInvalid, type FieldError } from "@coxswain/apimachinery";
import { validateDefaults } from "../structural/validate-defaults.ts";
import { validateOpenApi } from "../structural/validate-open-api.ts";
import { validateRules } from "../structural/validate-rules.ts";
import { structuralSchema } from "../structural/schema.ts";
import { validateStructural } from "../structural/validate-structural.ts";
import { compileValueValidator } from "../structural/validate-values.ts";
import type { CrdVersion, JsonSchemaProps } from "../types.ts";

/** In the names and order that upstream lists them. */
const ROOT_FIELDS = [
  "Description",
  "Type",
  "Format",
  "Title",
  "Maximum",
  "ExclusiveMaximum",
  "Minimum",
  "ExclusiveMinimum",
  "MaxLength",
  "MinLength",
  "Pattern",
  "MaxItems",
  "MinItems",
  "UniqueItems",
  "MultipleOf",
  "Required",
  "Items",
  "Properties",
  "ExternalDocs",
  "Example",
  "XPreserveUnknownFields",
  "XValidations",
];

function goName(field: string): string {
  if (!field.startsWith("x-kubernetes-")) return field.charAt(0).toUpperCase() + field.slice(1);
  return `X${field
    .slice("x-kubernetes-".length)
    .split("-")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("")}`;
}

/** `path` is that of the version's `schema`; `accepted`: it is the schema that the version had before. */
export function validateVersionSchema(
  version: CrdVersion,
  status: boolean,
  path: string,
  accepted = false,
): FieldError[] {
  const schema = version.schema?.openAPIV3Schema;
  if (schema === undefined) return [];
  const at = childPath(path, "openAPIV3Schema");
  const errors = status ? validateRootForStatus(schema, at) : [];
  if (schema.nullable) errors.push(fieldForbidden(childPath(at, "nullable"), "nullable cannot be true at the root"));
  const structural = validateStructural(schema, at);
  errors.push(...structural);
  if (structural.length === 0) errors.push(...validateDefaults(schema, at));
  errors.push(...validateOpenApi(schema, at));
  // Rules are looked at only in schemas that are sound: else their errors would be about the schema.
  if (errors.length === 0) errors.push(...validateRules(structuralSchema(schema), at, { costAccepted: accepted }));
  if (errors.length > 0) return errors;
  try {
    compileValueValidator(schema);
    return [];
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return [fieldInvalid(path, "", `error building validator: ${text}`)];
  }
}

/** The schema of status is taken out of the root's, so the root must say nothing that would be lost by it. */
function validateRootForStatus(schema: JsonSchemaProps, path: string): FieldError[] {
  const detail = `only "object" is allowed as the type at the root of the schema if the status subresource is enabled`;
  if (schema.type !== undefined && schema.type !== "object") {
    return [fieldInvalid(childPath(path, "type"), schema.type, detail)];
  }
  const names = Object.keys(schema).map((field) => goName(field));
  if (names.every((name) => ROOT_FIELDS.includes(name))) return [];
  const allowed = `only [${ROOT_FIELDS.join(" ")}] fields are allowed at the root of the schema if the status subresource is enabled`;
  return [fieldInvalid(path, schema, allowed)];
}
