// The Table and PartialObjectMetadata forms of objects and lists. Pure. https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
import type { KindDefinition, RowCondition } from "@coxswain/api";
import { newBadRequest, quote, type ListMeta, type ObjectMeta } from "@coxswain/apimachinery";
import type { VersionedObject } from "../pipeline/contract.ts";
import type { Negotiated, TransformVersion } from "./negotiate.ts";

export type IncludeObject = "None" | "Metadata" | "Object";

/**
 * What of an object a row carries, as the query asks; its metadata where it does not.
 * @throws StatusError BadRequest where a Table is wanted and the query asks for something else
 */
export function includeOf(query: URLSearchParams, form: Negotiated): IncludeObject {
  const value = query.get("includeObject") ?? "";
  if (value === "None" || value === "Object") return value;
  if (value !== "" && value !== "Metadata" && form.as === "Table") {
    const why = `includeObject: Invalid value: ${quote(value)}: must be 'Metadata', 'Object', 'None', or empty`;
    throw newBadRequest(`Unable to convert to Table as requested: ${why}`);
  }
  return "Metadata";
}

const metaVersion = (version: TransformVersion = "v1"): string => `meta.k8s.io/${version}`;

interface TableRow {
  cells: unknown[];
  conditions?: readonly RowCondition[];
  /** Null where none is asked for. */
  object: unknown;
}

export interface Table {
  kind: "Table";
  apiVersion: string;
  metadata: ListMeta;
  columnDefinitions: unknown[] | null;
  rows: TableRow[];
}

export function partialMetadata(metadata: ObjectMeta | undefined, version?: TransformVersion): object {
  return { kind: "PartialObjectMetadata", apiVersion: metaVersion(version), metadata: metadata ?? {} };
}

export function partialMetadataList(
  items: readonly VersionedObject[],
  metadata: ListMeta,
  version?: TransformVersion,
): object {
  return {
    kind: "PartialObjectMetadataList",
    apiVersion: metaVersion(version),
    metadata,
    items: items.map((item) => partialMetadata(item.object.metadata, version)),
  };
}

function columnDefinitions(kind: KindDefinition): unknown[] {
  return kind.columns.map((column) => ({
    name: column.name,
    type: column.type,
    format: column.format ?? "",
    description: column.description,
    priority: column.priority,
  }));
}

function rowOf(kind: KindDefinition, item: Printed, { nowMs, include, version }: TableOptions): TableRow {
  const cells = kind.row(item.object, { nowMs });
  const conditions = kind.rowConditions?.(item.object);
  const row = conditions === undefined ? { cells } : { cells, conditions };
  if (include === "None") return { ...row, object: null };
  return { ...row, object: include === "Object" ? item.object : partialMetadata(item.object.metadata, version) };
}

/** Of what is answered without being stored, there is no more. */
type Printed = Pick<VersionedObject, "object">;

export interface TableOptions {
  readonly nowMs: number;
  readonly include: IncludeObject;
  /** False for every watch event but the first. */
  readonly withColumns: boolean;
  readonly version?: TransformVersion | undefined;
}

function inOrder(kind: KindDefinition, items: readonly Printed[]): readonly Printed[] {
  if (!kind.tableOrder) return items;
  return items.toSorted((a, b) => kind.tableOrder?.(a.object, b.object) ?? 0);
}

export function tableOf(
  kind: KindDefinition,
  items: readonly Printed[],
  metadata: ListMeta,
  options: TableOptions,
): Table {
  return {
    kind: "Table",
    apiVersion: metaVersion(options.version),
    metadata,
    columnDefinitions: options.withColumns ? columnDefinitions(kind) : null,
    rows: inOrder(kind, items).map((item) => rowOf(kind, item, options)),
  };
}
