// Strategic merge patch: like a merge patch, but lists merge by key where the schema says so, and directives in the patch
// ($patch, $retainKeys, $setElementOrder/x, $deleteFromPrimitiveList/x) say what a plain value cannot.
// Neither the document nor the patch is changed; the result shares with the document what the patch leaves as it is.
import { getOwn, isJsonObject, setOwn } from "../deep.ts";
import { newBadRequest } from "../status-factories.ts";
import { mergeLists } from "./list-merge.ts";
import { type PatchField, type PatchSchema, UNKNOWN_PATCH_SCHEMA } from "./patch-schema.ts";
import {
  DELETE_FROM_PRIMITIVE_LIST,
  DIRECTIVE,
  ELEMENT_ORDER,
  directsItself,
  RETAIN_KEYS,
  unknownPatchType,
  withoutDirectives,
  withoutNulls,
  withoutSelfDirected,
} from "./directives.ts";
import { checkOrder, normalizeOrder, serverOrder } from "./element-order.ts";

type JsonObject = Record<string, unknown>;

/** Returns the patched document. Throws a BadRequest StatusError where the patch is malformed. */
export function applyStrategicMergePatch(original: unknown, patch: unknown, schema: PatchSchema): unknown {
  if (!isJsonObject(patch)) throw newBadRequest("the patch is not an object");
  return mergeObjects(isJsonObject(original) ? original : {}, patch, schema);
}

/** `patch` merged into a copy of `original`. */
function mergeObjects(original: JsonObject, patch: JsonObject, schema: PatchSchema): JsonObject {
  const directive = getOwn(patch, DIRECTIVE);
  if (directive === "delete") return {};
  if (directive === "replace") return withoutDirectives(patch) as JsonObject;
  if (directive !== undefined) throw unknownPatchType(directive, patch);
  const result = retained(original, patch);
  const ordered = applyElementOrders(result, patch, schema);
  for (const key of Object.keys(patch)) {
    if (key === DIRECTIVE || key === RETAIN_KEYS || key.startsWith(ELEMENT_ORDER) || ordered.has(key)) continue;
    if (key.startsWith(DELETE_FROM_PRIMITIVE_LIST)) {
      deleteFromPrimitiveList(result, key.slice(DELETE_FROM_PRIMITIVE_LIST.length), patch[key]);
    } else {
      mergeMember(result, key, patch[key], schema.lookup(key));
    }
  }
  return result;
}

/** A copy of `original`, with just the members that $retainKeys names where the patch has it. */
function retained(original: JsonObject, patch: JsonObject): JsonObject {
  const copy = { ...original };
  const keep = getOwn(patch, RETAIN_KEYS);
  if (keep === undefined) return copy;
  if (!Array.isArray(keep)) throw newBadRequest("invalid patch format of retainKeys");
  for (const key of Object.keys(patch)) {
    // What the patch clears need not be named: clearing it and not keeping it are the same.
    if (patch[key] !== null && key !== RETAIN_KEYS && !keep.includes(key) && !key.startsWith("$")) {
      throw newBadRequest("invalid patch format of retainKeys");
    }
  }
  for (const key of Object.keys(copy)) if (!keep.includes(key)) delete copy[key];
  return copy;
}

function mergeMember(result: JsonObject, key: string, value: unknown, field: PatchField | undefined): void {
  if (value === null) {
    delete result[key];
    return;
  }
  const current = getOwn(result, key);
  if (isJsonObject(value) && isJsonObject(current)) {
    const replace = field?.strategies.includes("replace") === true;
    const merged = replace
      ? withoutDirectives(value)
      : mergeObjects(current, value, field?.schema ?? UNKNOWN_PATCH_SCHEMA);
    setOwn(result, key, merged);
  } else if (Array.isArray(value) && Array.isArray(current) && field?.strategies.includes("merge")) {
    setOwn(result, key, mergeLists(current, value, field, mergeObjects));
  } else if (directsItself(value)) {
    delete result[key];
  } else {
    setOwn(result, key, withoutDirectives(withoutSelfDirected(withoutNulls(value))));
  }
}

function deleteFromPrimitiveList(result: JsonObject, key: string, values: unknown): void {
  const current = getOwn(result, key);
  if (!Array.isArray(values)) throw newBadRequest("invalid patch format of primitive list");
  if (Array.isArray(current)) {
    setOwn(
      result,
      key,
      current.filter((each) => !values.includes(each)),
    );
  }
}

/** Handles the lists that $setElementOrder orders; returns their names, which are then done. */
function applyElementOrders(result: JsonObject, patch: JsonObject, schema: PatchSchema): Set<string> {
  const done = new Set<string>();
  for (const directive of Object.keys(patch)) {
    if (!directive.startsWith(ELEMENT_ORDER)) continue;
    const name = directive.slice(ELEMENT_ORDER.length);
    const order = patch[directive];
    if (!Array.isArray(order)) throw newBadRequest("invalid patch format of setElementOrder list");
    const field = schema.lookup(name);
    const current = getOwn(result, name);
    const change = getOwn(patch, name);
    if (current === undefined && change === undefined) continue;
    if (change === null || (change !== undefined && !Array.isArray(change))) continue;
    if (current !== undefined && !Array.isArray(current)) continue;
    const key = field?.mergeKey;
    if (change !== undefined) checkOrder(order, change, key);
    const removed = getOwn(patch, DELETE_FROM_PRIMITIVE_LIST + name);
    const before = Array.isArray(current) ? current : [];
    const merged =
      current === undefined
        ? (withoutDirectives(withoutSelfDirected(withoutNulls(change))) as unknown[])
        : mergeLists(before, change ?? [], field ?? { strategies: [], schema: undefined }, mergeObjects);
    const kept = Array.isArray(removed) ? merged.filter((each) => !removed.includes(each)) : merged;
    const server = key === undefined ? before : serverOrder(before, merged, change ?? [], key);
    setOwn(result, name, normalizeOrder(kept, order, server, key));
    done.add(name);
    done.add(DELETE_FROM_PRIMITIVE_LIST + name);
  }
  return done;
}
