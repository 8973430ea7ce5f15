// The Table and PartialObjectMetadata forms of objects and lists. Pure. https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
import type { KindDefinition } from "@coxswain/api";
import type { ListMeta, ObjectMeta } from "@coxswain/apimachinery";
import type { VersionedObject } from "../pipeline/contract.ts";

export type IncludeObject = "None" | "Metadata" | "Object";

/** What of an object a row carries, as the query asks; its metadata where it does not. */
export function includeOf(query: URLSearchParams): IncludeObject {
  const value = query.get("includeObject");
  return value === "None" || value === "Object" ? value : "Metadata";
}

const META_VERSION = "meta.k8s.io/v1";

interface TableRow {
  cells: unknown[];
  object?: unknown;
}

export interface Table {
  kind: "Table";
  apiVersion: string;
  metadata: ListMeta;
  columnDefinitions: unknown[] | null;
  rows: TableRow[];
}

export function partialMetadata(metadata: ObjectMeta | undefined): object {
  return { kind: "PartialObjectMetadata", apiVersion: META_VERSION, metadata: metadata ?? {} };
}

export function partialMetadataList(items: readonly VersionedObject[], metadata: ListMeta): object {
  return {
    kind: "PartialObjectMetadataList",
    apiVersion: META_VERSION,
    metadata,
    items: items.map((item) => partialMetadata(item.object.metadata)),
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

function rowOf(kind: KindDefinition, item: VersionedObject, nowMs: number, include: IncludeObject): TableRow {
  const cells = kind.row(item.object, { nowMs });
  if (include === "None") return { cells };
  return { cells, object: include === "Object" ? item.object : partialMetadata(item.object.metadata) };
}

export interface TableOptions {
  readonly nowMs: number;
  readonly include: IncludeObject;
  /** False for every watch event but the first. */
  readonly withColumns: boolean;
}

export function tableOf(
  kind: KindDefinition,
  items: readonly VersionedObject[],
  metadata: ListMeta,
  options: TableOptions,
): Table {
  return {
    kind: "Table",
    apiVersion: META_VERSION,
    metadata,
    columnDefinitions: options.withColumns ? columnDefinitions(kind) : null,
    rows: items.map((item) => rowOf(kind, item, options.nowMs, options.include)),
  };
}
