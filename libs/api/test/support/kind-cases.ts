// Runs a kind's functions on objects as the registry does, for tables of cases.
import type { KubeObject } from "@coxswain/apimachinery";
import { deepClone, fieldErrorText } from "@coxswain/apimachinery";
import { kindFor, type KindDefinition } from "../../src/index.ts";

const CONTEXT = { nowMs: Date.UTC(2026, 0, 1) };

/** `name` is a plural resource with its group, as in "jobs.batch"; a version other than v1 comes after a slash. */
export function kindNamed(name: string): KindDefinition {
  const [path = "", version = "v1"] = name.split("/");
  const [resource = "", ...group] = path.split(".");
  const found = kindFor({ group: group.join("."), version, resource });
  if (!found) throw new Error(`no kind ${name}`);
  return found;
}

/** The object as it would be stored. */
export function created<T extends KubeObject>(name: string, object: T): T {
  const kind = kindNamed(name);
  const copy = deepClone(object);
  kind.defaults(copy);
  kind.strategy.prepareForCreate(copy, CONTEXT);
  return copy;
}

/** The errors of a create. */
export function createErrors(name: string, object: KubeObject): string[] {
  return kindNamed(name).validateCreate(created(name, object)).map(fieldErrorText);
}

/** The errors of an update of a stored object by `change`; `stored` says what became of it in between. */
export function updateErrors<T extends KubeObject>(
  name: string,
  good: T,
  change: (object: T) => void,
  stored: (old: T) => void = () => {},
): string[] {
  const kind = kindNamed(name);
  const old = created(name, good);
  stored(old);
  const object = deepClone(old);
  change(object);
  kind.defaults(object);
  kind.strategy.prepareForUpdate(object, old, CONTEXT);
  return kind.validateUpdate(object, old).map(fieldErrorText);
}

/** The errors of an update of the status of an object of which `stored` is the state before. */
export function statusErrors<T extends KubeObject>(name: string, stored: T, change: (object: T) => void): string[] {
  const kind = kindNamed(name);
  const object = deepClone(stored);
  change(object);
  kind.defaults(object);
  kind.strategy.prepareForStatusUpdate?.(object, stored, CONTEXT);
  return (kind.validateStatusUpdate?.(object, stored) ?? []).map(fieldErrorText);
}

/** The cells of the columns that always show, by the columns' names. */
export function cells(name: string, object: KubeObject, nowMs: number): Record<string, unknown> {
  const kind = kindNamed(name);
  const row = kind.row(object, { nowMs });
  const shown = kind.columns.map((column, index) => [column, row[index]] as const);
  return Object.fromEntries(
    shown.filter(([column]) => column.priority === 0).map(([column, cell]) => [column.name, cell]),
  );
}
