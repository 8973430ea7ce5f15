// Merges lists in a strategic merge patch: scalars as sets, objects by merge key.
import { deepEqual, isJsonObject } from "../deep.ts";
import { goText } from "../quote.ts";
import { newBadRequest, newUnnamedRefusal } from "../status-factories.ts";
import { DIRECTIVE, unknownPatchType, withoutDirectives, withoutNulls } from "./directives.ts";
import { normalizeOrder } from "./element-order.ts";
import { type PatchField, type PatchSchema, UNKNOWN_PATCH_SCHEMA } from "./patch-schema.ts";

/** How two objects merge; given from outside because objects and lists nest in each other. */
export type MergeObjects = (
  original: Record<string, unknown>,
  patch: Record<string, unknown>,
  schema: PatchSchema,
) => Record<string, unknown>;

/** `patch` merged into `original`; patched elements come in the patch's order, others keep their place. */
export function mergeLists(
  original: readonly unknown[],
  patch: readonly unknown[],
  field: PatchField,
  mergeObjects: MergeObjects,
): unknown[] {
  const first = original[0] ?? patch[0];
  if (first === undefined) return [];
  if (!isJsonObject(first)) {
    const merged = [...original];
    for (const each of patch) if (!merged.some((other) => deepEqual(other, each))) merged.push(each);
    return normalizeOrder(merged, patch, original, undefined);
  }
  const key = field.mergeKey;
  if (key === undefined) throw newBadRequest("cannot merge a list of objects that declares no merge key");
  const { rest, changes } = applyElementDirectives(original, patch, key);
  const merged = [...rest];
  for (const change of changes)
    mergeElement(merged, change, key, (a, b) => mergeObjects(a, b, field.schema ?? UNKNOWN_PATCH_SCHEMA));
  return normalizeOrder(merged, changes, original, key);
}

function mergeElement(
  merged: unknown[],
  change: Record<string, unknown>,
  key: string,
  merge: (a: Record<string, unknown>, b: Record<string, unknown>) => Record<string, unknown>,
): void {
  const id = identity(change, key);
  const at = merged.findIndex((each) => isJsonObject(each) && deepEqual(each[key], id));
  if (at < 0) merged.push(withoutDirectives(withoutNulls(change)));
  else merged[at] = merge(merged[at] as Record<string, unknown>, change);
}

/** Carries out `$patch: delete` and `$patch: replace` of elements; returns what is left and what is still to be merged. */
function applyElementDirectives(
  original: readonly unknown[],
  patch: readonly unknown[],
  key: string,
): { rest: unknown[]; changes: Record<string, unknown>[] } {
  let rest = [...original];
  let replace = false;
  const changes: Record<string, unknown>[] = [];
  for (const element of patch) {
    if (!isJsonObject(element)) throw newBadRequest("expected a list of objects in the patch");
    const directive = element[DIRECTIVE];
    if (directive === undefined) changes.push(element);
    else if (directive === "replace") replace = true;
    else if (directive === "delete") {
      const id = identity(element, key);
      rest = rest.filter((each) => !(isJsonObject(each) && deepEqual(each[key], id)));
    } else if (directive === "merge") throw newUnnamedRefusal("merging lists cannot yet be specified in the patch");
    else throw unknownPatchType(directive, element);
  }
  return { rest: replace ? [] : rest, changes };
}

function identity(element: Record<string, unknown>, key: string): unknown {
  const id = Object.hasOwn(element, key) ? element[key] : undefined;
  if (id === undefined || id === null) {
    throw newUnnamedRefusal(`map: ${goText(element)} does not contain declared merge key: ${key}`);
  }
  return id;
}
