// Puts an applied configuration over a live object. Guarantees: what the configuration does not name stays as it is; atomic
// values are replaced whole; items of set and map lists keep the configuration's order among themselves.
import { isJsonObject, setOwn } from "../deep.ts";
import { itemElement } from "./path-element.ts";
import { kindOf, type ListSchema, type MapSchema, memberType, type TypeSchema } from "./type-schema.ts";

/** The merged object, of which parts may be shared with both. Both fit `type` (see checkTyped). */
export function mergeObjects(live: unknown, config: unknown, type: TypeSchema): unknown {
  return mergeValues(live, config, type);
}

/** undefined stands for absent, on both sides and as the result. */
function mergeValues(live: unknown, config: unknown, type: TypeSchema): unknown {
  if (config === undefined) return live;
  if (live === undefined || (live !== null && config !== null && kindOf(type, live) !== kindOf(type, config)))
    return config;
  const kind = kindOf(type, config === null ? live : config);
  if (kind === "map" && !type.map!.atomic) {
    const [left, right] = [asMap(live), asMap(config)];
    const hollow = Object.keys(left).length === 0 && Object.keys(right).length === 0;
    return hollow ? config : mergeMaps(left, right, type.map!);
  }
  if (kind === "list" && type.list!.relationship !== "atomic") {
    const [left, right] = [asList(live), asList(config)];
    return left.length === 0 && right.length === 0 ? config : mergeLists(left, right, type.list!);
  }
  return config;
}

function asMap(value: unknown): Record<string, unknown> {
  return isJsonObject(value) ? value : {};
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function mergeMaps(live: Record<string, unknown>, config: Record<string, unknown>, map: MapSchema): unknown {
  const out: Record<string, unknown> = {};
  for (const name of new Set([...Object.keys(live), ...Object.keys(config)])) {
    const left = Object.hasOwn(live, name) ? live[name] : undefined;
    const right = Object.hasOwn(config, name) ? config[name] : undefined;
    const merged = mergeValues(left, right, memberType(map, name));
    if (merged !== undefined) setOwn(out, name, merged);
  }
  return out;
}

interface Item {
  readonly element: string;
  readonly value: unknown;
}

function mergeLists(live: readonly unknown[], config: readonly unknown[], list: ListSchema): unknown[] {
  const left = itemsOf(live, list);
  const right = itemsOf(config, list);
  const wanted = new Set(right.map((item) => item.element));
  const present = occurrences(left);
  const type = list.element();
  const out: unknown[] = [];
  const done = new Set<string>();
  const take = (item: Item): void => {
    done.add(item.element);
    // Of several live items with this key none is the one that the configuration speaks of: it takes their place.
    const match = present.get(item.element);
    out.push(match?.count === 1 ? mergeValues(match.value, item.value, type) : item.value);
  };
  let next = 0;
  for (const item of left) {
    if (!wanted.has(item.element)) {
      out.push(item.value);
      continue;
    }
    // What both have comes in the configuration's order, and new items come right before the shared one they precede.
    if (done.has(item.element) || !sharedNext(right, next, present, item.element)) continue;
    while (right[next]!.element !== item.element) take(right[next++]!);
    take(right[next++]!);
  }
  while (next < right.length) take(right[next++]!);
  return out;
}

/** True where the first item from `at` on that the live list has too is `element`. */
function sharedNext(
  config: readonly Item[],
  at: number,
  present: ReadonlyMap<string, unknown>,
  element: string,
): boolean {
  for (let index = at; index < config.length; index++) {
    if (present.has(config[index]!.element)) return config[index]!.element === element;
  }
  return false;
}

function itemsOf(values: readonly unknown[], list: ListSchema): Item[] {
  return values.flatMap((value) => {
    const element = itemElement(list, value);
    return element === undefined ? [] : [{ element, value }];
  });
}

function occurrences(items: readonly Item[]): Map<string, { count: number; readonly value: unknown }> {
  const seen = new Map<string, { count: number; readonly value: unknown }>();
  for (const { element, value } of items) {
    const known = seen.get(element);
    if (known === undefined) seen.set(element, { count: 1, value });
    else known.count++;
  }
  return seen;
}
