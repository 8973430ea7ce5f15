// What fields an object holds, as sets: those that an applier claims by its configuration, and those that come into being
// when a whole value does.
import { isJsonObject } from "../deep.ts";
import { type FieldSet, type FieldSetBuilder, LEAF, EMPTY_SET, makeNode } from "./field-set.ts";
import { fieldElement, itemElement } from "./path-element.ts";
import { type ListSchema, type MapSchema, kindOf, memberType, type TypeSchema } from "./type-schema.ts";

/** The fields that whoever applies `config` owns: leaves, list items, members of maps, and what is explicitly empty. */
export function ownedFields(config: unknown, type: TypeSchema): FieldSet {
  return ownedNode(config, type) ?? EMPTY_SET;
}

function ownedNode(value: unknown, type: TypeSchema): FieldSet | undefined {
  const kind = kindOf(type, value);
  if (kind === "scalar") return LEAF;
  if (kind === "map") {
    if (type.map!.atomic) return LEAF;
    return isJsonObject(value) ? makeNode(false, ownedMembers(value, type.map!)) : undefined;
  }
  if (type.list!.relationship === "atomic") return LEAF;
  return Array.isArray(value) ? makeNode(false, ownedItems(value, type.list!)) : undefined;
}

function ownedMembers(value: Record<string, unknown>, map: MapSchema): FieldSetBuilder {
  const out: FieldSetBuilder = {};
  for (const name of Object.keys(value)) {
    const member = value[name];
    const below = ownedNode(member, memberType(map, name));
    const empty = member === null || (isJsonObject(member) && Object.keys(member).length === 0);
    const node = empty || map.field(name) === undefined ? asMember(below) : below;
    if (node !== undefined) out[fieldElement(name)] = node;
  }
  return out;
}

function ownedItems(items: readonly unknown[], list: ListSchema): FieldSetBuilder {
  const out: FieldSetBuilder = {};
  const seen = new Set<string>();
  for (const item of items) {
    const element = itemElement(list, item);
    if (element === undefined) continue;
    // Who is one of several with the same key owns the place, not what is in it.
    out[element] = seen.has(element) ? LEAF : asMember(ownedNode(item, list.element()));
    seen.add(element);
  }
  return out;
}

function asMember(node: FieldSet | undefined): FieldSet {
  if (node === undefined) return LEAF;
  return makeNode(true, withoutSelf(node)) ?? LEAF;
}

function withoutSelf(node: FieldSet): FieldSetBuilder {
  if (!Object.hasOwn(node, ".")) return node;
  const { ["."]: _self, ...rest } = node;
  return rest;
}

/** All fields of a value that is there and was not, or the reverse: every node on the way is a member. */
export function wholeValue(value: unknown, type: TypeSchema): FieldSet {
  const kind = kindOf(type, value);
  if (kind === "scalar") return LEAF;
  const out: FieldSetBuilder = { ".": LEAF };
  if (kind === "map") {
    if (type.map!.atomic || !isJsonObject(value)) return LEAF;
    let any = false;
    for (const name of Object.keys(value)) {
      if (value[name] === undefined) continue;
      const field = type.map!.field(name);
      out[field?.key ?? fieldElement(name)] = wholeValue(value[name], field?.type ?? memberType(type.map!, name));
      any = true;
    }
    return any ? out : LEAF;
  }
  if (type.list!.relationship === "atomic" || !Array.isArray(value) || value.length === 0) return LEAF;
  const seen = new Set<string>();
  for (const item of value) {
    const element = itemElement(type.list!, item);
    if (element === undefined) continue;
    out[element] = seen.has(element) ? LEAF : wholeValue(item, type.list!.element());
    seen.add(element);
  }
  return out;
}
