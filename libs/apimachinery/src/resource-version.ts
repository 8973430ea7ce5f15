// resourceVersion = etcd revision × 1024 + place in its commit. Always BigInt or digits, never Number arithmetic.

const PLACES = 1024n;

export function makeResourceVersion(revision: bigint, place: number): bigint {
  if (place < 0 || place >= 1024) throw new RangeError(`place ${place} is not in 0..1023`);
  return revision * PLACES + BigInt(place);
}

export function revisionOf(resourceVersion: bigint): bigint {
  return resourceVersion / PLACES;
}

export function placeOf(resourceVersion: bigint): number {
  return Number(resourceVersion % PLACES);
}

/** The version that covers all of a revision: what lists and bookmarks carry. */
export function endOfRevision(revision: bigint): bigint {
  return revision * PLACES + 1023n;
}

/** Parses digits as they come from a client; undefined where they are not a version. */
export function parseResourceVersion(text: string): bigint | undefined {
  return /^\d{1,30}$/.test(text) ? BigInt(text) : undefined;
}

/** Negative, zero or positive, as `a` is older, the same or newer than `b`. Digits without leading zeros. */
export function compareResourceVersions(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}
