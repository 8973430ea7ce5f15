// The columns and cells that `kubectl get` shows, as far as kinds share them. Column names are upstream's.
import type { KubeObject } from "@coxswain/apimachinery";
import { humanDuration, labelSelectorAsSelector, parseTime } from "@coxswain/apimachinery";
import type { ColumnDefinition, PrintContext } from "./kind.ts";
import type { Container, LabelSelector } from "./types.gen.ts";

/** A column that always shows. */
export function column(name: string, description: string, type: ColumnDefinition["type"] = "string"): ColumnDefinition {
  return { name, type, description, priority: 0 };
}

/** A column that shows with `-o wide`. */
export function wide(name: string, description: string, type: ColumnDefinition["type"] = "string"): ColumnDefinition {
  return { name, type, description, priority: 1 };
}

export const NAME: ColumnDefinition = {
  name: "Name",
  type: "string",
  format: "name",
  description: "The name of the object, unique in its namespace and kind.",
  priority: 0,
};
export const AGE = column("Age", "The time since the object was created.");
export const CONTAINERS: readonly ColumnDefinition[] = [
  wide("Containers", "The names of the containers in the template."),
  wide("Images", "The images of the containers in the template."),
];

/** The cells for CONTAINERS. */
export function containerCells(containers: readonly Container[] | undefined): [string, string] {
  const all = containers ?? [];
  return [all.map((c) => c.name).join(","), all.map((c) => c.image ?? "").join(",")];
}

/** The time since an RFC 3339 timestamp in kubectl's short form ("5m3s"), `<unknown>` where it is absent. */
export function since(timestamp: string | null | undefined, context: PrintContext): string {
  if (!timestamp) return "<unknown>";
  const at = parseTime(timestamp);
  return at === undefined ? "<unknown>" : humanDuration(context.nowMs - at);
}

export function age(object: KubeObject, context: PrintContext): string {
  return since(object.metadata?.creationTimestamp, context);
}

export function nameOf(object: KubeObject): string {
  return object.metadata?.name ?? "";
}

/** "a=1,b=2" in order of the keys, `<none>` for no labels. */
export function formatLabels(labels: Record<string, string> | undefined): string {
  const pairs = Object.entries(labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .toSorted();
  return pairs.length === 0 ? "<none>" : pairs.join(",");
}

/** A label selector as text; `<none>` where it is absent or empty, `<invalid>` where it does not parse. */
export function formatSelector(selector: LabelSelector | undefined, empty = "<none>"): string {
  if (!selector) return "<none>";
  try {
    const text = labelSelectorAsSelector(selector).toString();
    return text === "" ? empty : text;
  } catch {
    return "<invalid>";
  }
}

/** The first three of a list, then how many more there are; `<unset>` for none. */
export function firstThree(list: readonly string[]): string {
  if (list.length === 0) return "<unset>";
  const shown = list.slice(0, 3).join(",");
  return list.length > 3 ? `${shown} + ${list.length - 3} more...` : shown === "" ? "<unset>" : shown;
}

/** A boolean as upstream prints it; `<unset>` where it is absent. */
export function flag(value: boolean | undefined): string {
  return value === undefined ? "<unset>" : value ? "True" : "False";
}

const ACCESS_MODES: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};

/** Access modes in their short forms, each once, in upstream's order. */
export function accessModes(modes: readonly string[] | undefined): string {
  return Object.entries(ACCESS_MODES)
    .filter(([mode]) => modes?.includes(mode))
    .map(([, short]) => short)
    .join(",");
}

/** What kinds without columns of their own show. */
export const nameAndCreated = {
  columns: [NAME, column("Created At", "When the object was created.", "date")] as readonly ColumnDefinition[],
  row: (object: KubeObject): unknown[] => [nameOf(object), object.metadata?.creationTimestamp ?? "<unknown>"],
};
