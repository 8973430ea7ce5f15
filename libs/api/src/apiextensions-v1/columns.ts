// The Table columns of a custom resource, from its definition's JSONPaths.
import { humanDuration, parseTime, type KubeObject } from "@coxswain/apimachinery";
import type { ColumnDefinition, KindDefinition, PrintContext } from "../kind.ts";
import { NAME, nameOf } from "../printing.ts";
import { compileJsonPath, type JsonPath } from "./json-path.ts";
import type { PrinterColumn } from "./types.ts";

const AGE: PrinterColumn = {
  name: "Age",
  type: "date",
  description: "The time since the object was created.",
  jsonPath: ".metadata.creationTimestamp",
};

function definitionOf(column: PrinterColumn): ColumnDefinition {
  const { name, jsonPath, priority = 0 } = column;
  const description = column.description || `Custom resource definition column (in JSONPath format): ${jsonPath}`;
  const type = column.type as ColumnDefinition["type"];
  return { name, type, format: (column.format ?? "") as "name" | "", description, priority };
}

function cell(type: string, value: unknown, context: PrintContext): unknown {
  if (value === null || value === undefined) return null;
  switch (type) {
    case "string":
      return typeof value === "string" ? value : JSON.stringify(value);
    case "integer":
      return typeof value === "number" ? Math.trunc(value) : null;
    case "number":
      return typeof value === "number" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    case "date": {
      const at = typeof value === "string" ? parseTime(value) : undefined;
      if (typeof value !== "string") return null;
      return at === undefined ? "<invalid>" : humanDuration(context.nowMs - at);
    }
    default:
      return null;
  }
}

/** Name first; the age where the definition gives no columns. */
export function customColumns(given: readonly PrinterColumn[] | undefined): Pick<KindDefinition, "columns" | "row"> {
  const printed = given === undefined || given.length === 0 ? [AGE] : given;
  const paths = printed.map((column): JsonPath => compileJsonPath(column.jsonPath) ?? (() => []));
  return {
    columns: [NAME, ...printed.map((column) => definitionOf(column))],
    row: (object: KubeObject, context) => [
      nameOf(object),
      ...printed.map((column, at) => cell(column.type, (paths[at] as JsonPath)(object)[0], context)),
    ],
  };
}
