// The elements of field paths in their FieldsV1 form: f:<name>, k:<keys of a list item>, v:<value of a set's item>, i:<index>.
// Guarantee: equal elements have equal text, so that text is all the algorithms compare.
import { jsonOrNothing } from "../json-or-nothing.ts";
import type { ListSchema } from "./type-schema.ts";

const fieldElements = new Map<string, string>();
/** Names of fields repeat without end, names of map members may not: memory stays bounded. */
const MAX_REMEMBERED = 4096;

/** f:<name> */
export function fieldElement(name: string): string {
  let element = fieldElements.get(name);
  if (element === undefined) {
    element = `f:${name}`;
    if (fieldElements.size < MAX_REMEMBERED) fieldElements.set(name, element);
  }
  return element;
}

/** The element of an item of a set or map list; undefined where the item cannot be one. */
export function itemElement(list: ListSchema, item: unknown): string | undefined {
  if (list.relationship === "set") {
    return typeof item === "object" || item === undefined ? undefined : `v:${JSON.stringify(item)}`;
  }
  if (typeof item !== "object" || item === null || Array.isArray(item)) return undefined;
  let text = "";
  for (const key of list.keys) {
    const own = Object.hasOwn(item, key) ? (item as Record<string, unknown>)[key] : undefined;
    const value = own ?? list.keyDefaults[key];
    if (value !== undefined) text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${JSON.stringify(value)}`;
  }
  return text === "" ? undefined : `k:{${text}}`;
}

/** The element with the canonical text; undefined where it is none. */
export function canonicalElement(text: string): string | undefined {
  const body = text.slice(2);
  switch (text.slice(0, 2)) {
    case "f:":
      return text;
    case "i:":
      return /^-?\d+$/.test(body) ? `i:${Number(body)}` : undefined;
    case "v:": {
      const value = jsonOrNothing(body);
      return value === undefined ? undefined : `v:${JSON.stringify(value)}`;
    }
    case "k:": {
      const keys = jsonOrNothing(body);
      if (typeof keys !== "object" || keys === null || Array.isArray(keys)) return undefined;
      const sorted = Object.entries(keys).toSorted(([a], [b]) => (a < b ? -1 : 1));
      const members = sorted.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
      return `k:{${members.join(",")}}`;
    }
    default:
      return undefined;
  }
}

/** As messages show it: .name, [key="value"], [="value"], [3]. */
export function showElement(element: string): string {
  const body = element.slice(2);
  switch (element.slice(0, 2)) {
    case "f:":
      return `.${body}`;
    case "v:":
      return `[=${body}]`;
    case "k:": {
      const keys = JSON.parse(body) as Record<string, unknown>;
      return `[${Object.entries(keys)
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
        .join(",")}]`;
    }
    default:
      return `[${body}]`;
  }
}

const RANKS = "fkvi";

/**
 * Fields first, then keys, values and indexes; by what they hold within. What stands for the node itself comes before all.
 * The order of structured-merge-diff, in which FieldsV1 is written.
 */
export function compareElements(a: string, b: string): number {
  const ranks = RANKS.indexOf(a[0] ?? "") - RANKS.indexOf(b[0] ?? "");
  if (ranks !== 0 || a === b) return ranks;
  switch (a.slice(0, 1)) {
    case "k":
      return compareKeys(JSON.parse(a.slice(2)) as object, JSON.parse(b.slice(2)) as object);
    case "v":
      return compareValues(JSON.parse(a.slice(2)), JSON.parse(b.slice(2)));
    case "i":
      return Number(a.slice(2)) - Number(b.slice(2));
    default:
      return a < b ? -1 : 1;
  }
}

function compareKeys(a: object, b: object): number {
  const [left, right] = [Object.entries(a), Object.entries(b)];
  for (const [at, [name, value]] of left.entries()) {
    const other = right[at];
    if (other === undefined) return 1;
    const order = compareValues(name, other[0]) || compareValues(value, other[1]);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

const TYPES = ["number", "string", "boolean", "object"];

/** Numbers, then strings, then what is true or false, then the rest. */
function compareValues(a: unknown, b: unknown): number {
  const types = TYPES.indexOf(typeof a) - TYPES.indexOf(typeof b);
  if (types !== 0) return types;
  if (typeof a === "number") return a - (b as number);
  const [left, right] = typeof a === "string" ? [a, b as string] : [JSON.stringify(a), JSON.stringify(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
