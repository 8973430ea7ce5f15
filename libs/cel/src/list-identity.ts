// Lists whose items have an identity: sets, and lists of objects that are told apart by keys. Their order means nothing to
// equality, and adding to them joins. Guarantee: what is not marked is a plain list.
// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules

/** How items are told apart: by their value, or by the members of these names. */
export type ListIdentity = { readonly by: "value" } | { readonly by: "keys"; readonly keys: readonly string[] };

const identities = new WeakMap<readonly unknown[], ListIdentity>();

/** Marks the list and returns it. */
export function withIdentity<T extends readonly unknown[]>(list: T, identity: ListIdentity | undefined): T {
  if (identity !== undefined) identities.set(list, identity);
  return list;
}

type Same = (a: unknown, b: unknown) => boolean;

function memberOf(item: unknown, key: string): unknown {
  if (item instanceof Map) return item.get(key);
  return typeof item === "object" && item !== null && Object.hasOwn(item, key)
    ? (item as Record<string, unknown>)[key]
    : undefined;
}

function sameItem(identity: ListIdentity, a: unknown, b: unknown, same: Same): boolean {
  if (identity.by === "value") return same(a, b);
  return identity.keys.every((key) => {
    const [left, right] = [memberOf(a, key), memberOf(b, key)];
    return left === undefined || right === undefined ? left === right : same(left, right);
  });
}

/** Lists of the same length: the first one says what its order means. */
export function sameItems(a: readonly unknown[], b: readonly unknown[], same: Same): boolean {
  const identity = identities.get(a);
  if (identity === undefined) return a.every((each, at) => same(each, b[at]));
  return a.every((each) => {
    const other = b.find((one) => sameItem(identity, each, one, same));
    return other !== undefined && same(each, other);
  });
}

/** The first list with the items of the second: what both have stands where the first has it, as the second says it. */
export function joinLists(a: readonly unknown[], b: readonly unknown[], same: Same): unknown[] {
  const identity = identities.get(a);
  if (identity === undefined) return [...a, ...b];
  const joined = [...a];
  for (const each of b) {
    const at = joined.findIndex((one) => sameItem(identity, one, each, same));
    if (at < 0) joined.push(each);
    else if (identity.by === "keys") joined[at] = each;
  }
  return withIdentity(joined, identity);
}
