// The fields of an object that comes into being, written as text at once: creation is the hottest of writes, and most
// objects have a set that is known already. Guarantee: the same set as comparing with nothing gives.
import { isJsonObject } from "../deep.ts";
import { itemElement } from "./path-element.ts";
import { kindOf, type ListSchema, type MapSchema, memberType, type TypeSchema } from "./type-schema.ts";

/** Thrown and caught in here only: text is no way to tell items with the same key. */
class SameKeyError extends Error {}

const LEAF = "{}";

/**
 * FieldsV1 of what a creation of `object` changes but for the top-level members `skipped` and those of metadata
 * `skippedMeta`; undefined where it takes a comparison to say.
 */
export function createdFieldsText(
  object: Record<string, unknown>,
  type: TypeSchema,
  skipped: ReadonlySet<string>,
  skippedMeta: ReadonlySet<string>,
): string | undefined {
  if (type.map === undefined || type.map.atomic) return undefined;
  try {
    return membersText(object, type.map, "", (name) => !skipped.has(name), skippedMeta) ?? LEAF;
  } catch (error) {
    if (error instanceof SameKeyError) return undefined;
    throw error;
  }
}

const quotedNames = new Map<string, string>();
const MAX_REMEMBERED = 4096;

/** "f:<name>": */
function quotedField(name: string): string {
  let text = quotedNames.get(name);
  if (text === undefined) {
    text = `${JSON.stringify(`f:${name}`)}:`;
    if (quotedNames.size < MAX_REMEMBERED) quotedNames.set(name, text);
  }
  return text;
}

/** Of a value whose place was there before, empty; undefined where that is what it is still. */
function impliedText(value: unknown, type: TypeSchema): string | undefined {
  const kind = kindOf(type, value);
  if (value === null || kind === "scalar") return LEAF;
  if (kind === "map") {
    if (!isJsonObject(value)) return LEAF;
    if (!type.map!.atomic) return membersText(value, type.map!, "");
    return Object.keys(value).length === 0 ? undefined : LEAF;
  }
  if (!Array.isArray(value)) return LEAF;
  if (value.length === 0) return undefined;
  return type.list!.relationship === "atomic" ? LEAF : itemsText(value, type.list!, "");
}

function membersText(
  value: Record<string, unknown>,
  map: MapSchema,
  start: string,
  takes?: (name: string) => boolean,
  skippedMeta?: ReadonlySet<string>,
): string | undefined {
  let text = start;
  for (const name in value) {
    const member = value[name];
    if (member === undefined || (takes !== undefined && !takes(name))) continue;
    const field = map.field(name);
    const type = field?.type ?? memberType(map, name);
    let below: string | undefined;
    if (skippedMeta !== undefined && name === "metadata" && type.map !== undefined && isJsonObject(member)) {
      below = membersText(member, type.map, "", (each) => !skippedMeta.has(each));
    } else below = field?.implied === true && start === "" ? impliedText(member, type) : wholeText(member, type);
    if (below !== undefined) text += `${text === "" ? "" : ","}${quotedField(name)}${below}`;
  }
  return text === "" ? undefined : `{${text}}`;
}

const SELF = '".":{}';

function wholeText(value: unknown, type: TypeSchema): string {
  const kind = kindOf(type, value);
  if (kind === "scalar") return LEAF;
  if (kind === "map") {
    if (type.map!.atomic || !isJsonObject(value)) return LEAF;
    const text = membersText(value, type.map!, SELF);
    return text === undefined || text.length === SELF.length + 2 ? LEAF : text;
  }
  if (type.list!.relationship === "atomic" || !Array.isArray(value) || value.length === 0) return LEAF;
  return itemsText(value, type.list!, SELF) ?? LEAF;
}

function itemsText(items: readonly unknown[], list: ListSchema, start: string): string | undefined {
  let text = start;
  const seen = items.length > 1 ? new Set<string>() : undefined;
  for (const item of items) {
    const element = quotedItem(list, item);
    if (element === undefined) continue;
    if (seen?.has(element) === true) throw new SameKeyError();
    seen?.add(element);
    text += `${text === "" ? "" : ","}${element}${wholeText(item, list.element())}`;
  }
  return text === start ? undefined : `{${text}}`;
}

const quotedItems = new Map<string, Map<string, string>>();

/** "k:{…}": or "v:…": */
function quotedItem(list: ListSchema, item: unknown): string | undefined {
  const [key] = list.keys;
  const simple = list.keys.length === 1 && isJsonObject(item) ? item[key!] : undefined;
  if (typeof simple !== "string") return quote(itemElement(list, item));
  let byValue = quotedItems.get(key!);
  if (byValue === undefined) {
    byValue = new Map();
    quotedItems.set(key!, byValue);
  }
  let text = byValue.get(simple);
  if (text === undefined) {
    text = quote(itemElement(list, item))!;
    if (byValue.size < MAX_REMEMBERED) byValue.set(simple, text);
  }
  return text;
}

function quote(element: string | undefined): string | undefined {
  return element === undefined ? undefined : `${JSON.stringify(element)}:`;
}
