// The order of a merged list: elements that the patch orders come in its order, all others stay where the server had them
// relative to those.
import { deepEqual, isJsonObject } from "../deep.ts";

/** `merged` reordered. With a merge key, elements of `order` and `before` are matched by it, else by value. */
export function normalizeOrder(
  merged: readonly unknown[],
  order: readonly unknown[],
  before: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  const placeIn = (list: readonly unknown[], element: unknown): number =>
    list.findIndex((each) => deepEqual(idOf(each, mergeKey), idOf(element, mergeKey)));
  const ranked = merged.map((element) => ({
    element,
    patchPlace: placeIn(order, element),
    serverPlace: placeIn(before, element),
  }));
  const patched = ranked.filter((each) => each.patchPlace >= 0).toSorted((a, b) => a.patchPlace - b.patchPlace);
  const serverOnly = ranked.filter((each) => each.patchPlace < 0).toSorted((a, b) => a.serverPlace - b.serverPlace);
  const result: unknown[] = [];
  let next = 0;
  for (const each of patched) {
    // A server-only element goes first only where the server had it before this one.
    for (let other = serverOnly[next]; other !== undefined; other = serverOnly[++next]) {
      const before = other.serverPlace >= 0 && each.serverPlace >= 0 && other.serverPlace < each.serverPlace;
      if (!before) break;
      result.push(other.element);
    }
    result.push(each.element);
  }
  return [...result, ...serverOnly.slice(next).map((each) => each.element)];
}

function idOf(element: unknown, mergeKey: string | undefined): unknown {
  return mergeKey !== undefined && isJsonObject(element) ? element[mergeKey] : element;
}
