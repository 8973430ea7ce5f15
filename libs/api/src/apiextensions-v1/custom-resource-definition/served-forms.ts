// The ways in which objects of a version are shown and reached besides themselves: subresources, columns, selectable fields.
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldRequired,
  fieldTooMany,
  indexPath,
  type FieldError,
} from "@coxswain/apimachinery";
import { resolveFieldPath } from "../structural/field-path.ts";
import type { CrdVersion, CustomSubresources, PrinterColumn } from "../types.ts";

const MAX_SELECTABLE_FIELDS = 8;
const COLUMN_TYPES = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

export function validateSubresources(subresources: CustomSubresources | undefined, path: string): FieldError[] {
  const scale = subresources?.scale;
  if (scale === undefined) return [];
  const under = (name: string, value: string, roots: readonly string[], detail: string): FieldError[] => {
    const at = childPath(path, `scale.${name}`);
    const wrong = validateSimplePath(value, at);
    if (wrong.length > 0) return wrong;
    return roots.some((root) => value.startsWith(root)) ? [] : [fieldInvalid(at, value, detail)];
  };
  const required = (name: "specReplicasPath" | "statusReplicasPath", root: string): FieldError[] =>
    scale[name]
      ? under(name, scale[name], [`.${root}.`], `should be a json path under .${root}`)
      : [fieldRequired(childPath(path, `scale.${name}`), "")];
  const selector = scale.labelSelectorPath;
  const either = "should be a json path under either .spec or .status";
  return [
    ...required("specReplicasPath", "spec"),
    ...required("statusReplicasPath", "status"),
    ...(selector ? under("labelSelectorPath", selector, [".spec.", ".status."], either) : []),
  ];
}

function validateSimplePath(text: string, path: string): FieldError[] {
  return text.startsWith(".") ? [] : [fieldInvalid(path, text, "must be a simple json path starting with .")];
}

export function validateColumns(columns: readonly PrinterColumn[] | undefined, path: string): FieldError[] {
  return (columns ?? []).flatMap((column, index) => validateColumn(column, indexPath(path, index)));
}

function validateColumn(column: PrinterColumn, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!column.name) errors.push(fieldRequired(childPath(path, "name"), ""));
  const typeDetail = `must be one of ${COLUMN_TYPES.join(",")}`;
  if (!column.type) errors.push(fieldRequired(childPath(path, "type"), typeDetail));
  else if (!COLUMN_TYPES.includes(column.type)) {
    errors.push(fieldInvalid(childPath(path, "type"), column.type, typeDetail));
  }
  if (column.format && !COLUMN_FORMATS.includes(column.format)) {
    const detail = `must be one of ${COLUMN_FORMATS.join(",")}`;
    errors.push(fieldInvalid(childPath(path, "format"), column.format, detail));
  }
  if (!column.jsonPath) errors.push(fieldRequired(childPath(path, "JSONPath"), ""));
  else errors.push(...validateSimplePath(column.jsonPath, childPath(path, "JSONPath")));
  return errors;
}

export function validateSelectableFields(version: CrdVersion, path: string): FieldError[] {
  const fields = version.selectableFields ?? [];
  const schema = version.schema?.openAPIV3Schema;
  if (fields.length === 0) return [];
  if (schema === undefined) {
    return [fieldInvalid(path, "", "may only be set when `version.schema.openAPIV3Schema` is not included")];
  }
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  fields.forEach(({ jsonPath }, index) => {
    const at = childPath(indexPath(path, index), "jsonPath");
    if (!jsonPath) {
      errors.push(fieldRequired(at, ""));
      return;
    }
    const found = resolveFieldPath(jsonPath, schema, false);
    if ("error" in found) {
      errors.push(fieldInvalid(at, jsonPath, `is an invalid path: ${found.error}`));
      return;
    }
    if (/^metadata(?:\.|$)/.test(found.path)) {
      errors.push(fieldInvalid(at, jsonPath, "must not point to fields in metadata"));
    }
    if (!["string", "boolean", "integer"].includes(found.schema.type ?? "")) {
      const detail =
        "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
      errors.push(fieldInvalid(at, jsonPath, detail));
    }
    if (seen.has(found.path)) errors.push(fieldDuplicate(at, jsonPath));
    seen.add(found.path);
  });
  if (seen.size > MAX_SELECTABLE_FIELDS) errors.push(fieldTooMany(path, seen.size, MAX_SELECTABLE_FIELDS));
  return errors;
}
