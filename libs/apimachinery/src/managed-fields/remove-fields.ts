// Takes fields out of objects, and completes sets with the fields on the way to their members.
import { isJsonObject, setOwn } from "../deep.ts";
import { type FieldSet, type FieldSetBuilder, isEmptySet, isMember, LEAF, makeNode, SELF } from "./field-set.ts";
import { fieldElement, itemElement } from "./path-element.ts";
import { kindOf, type ListSchema, type MapSchema, memberType, type TypeSchema } from "./type-schema.ts";

/** The object without the fields of the set. Shares what stays as it is. */
export function removeFields(value: unknown, set: FieldSet, type: TypeSchema): unknown {
  return isEmptySet(set) ? value : removeIn(value, set, type);
}

/** undefined where nothing is left. */
function removeIn(value: unknown, set: FieldSet, type: TypeSchema): unknown {
  const kind = kindOf(type, value);
  if (kind === "map" && isJsonObject(value)) {
    if (Object.keys(value).length === 0) return value;
    return type.map!.atomic ? undefined : removeMembers(value, set, type.map!);
  }
  if (kind === "list" && Array.isArray(value)) {
    if (value.length === 0) return value;
    return type.list!.relationship === "atomic" ? undefined : removeItems(value, set, type.list!);
  }
  return value;
}

function removeMembers(value: Record<string, unknown>, set: FieldSet, map: MapSchema): unknown {
  const out: Record<string, unknown> = {};
  for (const name of Object.keys(value)) {
    const element = fieldElement(name);
    const node = Object.hasOwn(set, element) ? set[element]! : undefined;
    if (node !== undefined && isMember(node)) continue;
    const left = node === undefined ? value[name] : removeIn(value[name], node, memberType(map, name));
    if (left !== undefined) setOwn(out, name, left);
  }
  return Object.keys(out).length === 0 ? undefined : out;
}

function removeItems(items: readonly unknown[], set: FieldSet, list: ListSchema): unknown {
  const out: unknown[] = [];
  for (const item of items) {
    const element = itemElement(list, item);
    const node = element !== undefined && Object.hasOwn(set, element) ? set[element]! : undefined;
    if (node !== undefined && isMember(node)) continue;
    const left = node === undefined ? item : removeIn(item, node, list.element());
    if (left !== undefined) out.push(left);
  }
  return out.length === 0 ? undefined : out;
}

/** The set with every declared field on the way to a member as a member too: who owns part of a struct owns that it is there. */
export function withNamedParents(set: FieldSet, type: TypeSchema): FieldSet {
  const out: FieldSetBuilder = {};
  for (const element of Object.keys(set)) {
    if (element === SELF) {
      out[SELF] = LEAF;
      continue;
    }
    const node = set[element]!;
    const below = withNamedParents(node, elementType(type, element));
    const named = element.startsWith("f:") && type.map?.field(element.slice(2)) !== undefined;
    const { [SELF]: _self, ...rest } = below;
    out[element] = makeNode(named || isMember(node), rest) ?? LEAF;
  }
  return out;
}

function elementType(type: TypeSchema, element: string): TypeSchema {
  if (element.startsWith("f:")) return type.map === undefined ? {} : memberType(type.map, element.slice(2));
  return type.list?.element() ?? {};
}

/** The set after its type has become atomic in places: what was below such a place is the place now. */
export function atomicAsOne(set: FieldSet, type: TypeSchema): FieldSet {
  const out: FieldSetBuilder = {};
  for (const element of Object.keys(set)) {
    const node = set[element]!;
    const below = element === SELF ? {} : elementType(type, element);
    const whole = isAtomic(below) && !isEmptySet(node);
    out[element] = whole ? LEAF : isEmptySet(node) ? node : atomicAsOne(node, below);
  }
  return out;
}

function isAtomic(type: TypeSchema): boolean {
  const map = type.map === undefined || type.map.atomic;
  const list = type.list === undefined || type.list.relationship === "atomic";
  return (type.map !== undefined || type.list !== undefined) && map && list;
}
