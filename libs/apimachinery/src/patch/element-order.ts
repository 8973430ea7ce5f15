// The order of a merged list: elements that the patch orders come in its order, all others stay where the server had them
// relative to those.
import { deepEqual, isJsonObject } from "../deep.ts";
import { goText } from "../quote.ts";
import { DIRECTIVE } from "./directives.ts";
import { newUnnamedRefusal } from "../status-factories.ts";

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

/**
 * The order that the server's elements have once a patch has deleted some: new elements take the places that became free at
 * the end, and so come to be ordered against the server's own. Upstream's lists do so in memory, and clients see it.
 */
export function serverOrder(
  before: readonly unknown[],
  merged: readonly unknown[],
  patch: readonly unknown[],
  mergeKey: string,
): unknown[] {
  const isIn = (list: readonly unknown[], element: unknown): boolean =>
    list.some((each) => deepEqual(idOf(each, mergeKey), idOf(element, mergeKey)));
  const kept = before.filter((element) => isIn(merged, element));
  const added = patch.filter((element) => isIn(merged, element) && !isIn(before, element));
  return [...kept, ...added].slice(0, before.length);
}

/** Throws where the elements of `patch` that are not deleted are not in the order given. */
export function checkOrder(order: readonly unknown[], patch: readonly unknown[], mergeKey: string | undefined): void {
  if (order.length === 0) return;
  let at = 0;
  for (const element of patch) {
    if (isJsonObject(element) && element[DIRECTIVE] !== undefined) continue;
    while (at < order.length && !deepEqual(idOf(order[at], mergeKey), idOf(element, mergeKey))) at++;
    if (at++ >= order.length) {
      const [given, wanted] = [goText(patch), goText(order)];
      throw newUnnamedRefusal(`The order in patch list:\n${given}\n doesn't match $setElementOrder list:\n${wanted}\n`);
    }
  }
}

function idOf(element: unknown, mergeKey: string | undefined): unknown {
  return mergeKey !== undefined && isJsonObject(element) ? element[mergeKey] : element;
}
