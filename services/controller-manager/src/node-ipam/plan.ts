// Which range of pod addresses a node gets. Pure; IPv4. Guarantee: a range that is handed out overlaps none in use.
export interface Range {
  /** The first address as a number. */
  readonly start: number;
  /** As in /24. */
  readonly prefix: number;
}

const LARGEST_PREFIX = 30;
const sizeOf = (prefix: number): number => 2 ** (32 - prefix);

/** Undefined where the text is not an IPv4 CIDR whose address is the first of its range. */
export function parseRange(text: string): Range | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (match === null) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, prefix = 33] = match.slice(1).map(Number);
  if ([a, b, c, d].some((byte) => byte > 255) || prefix > 32) return undefined;
  const start = ((a * 256 + b) * 256 + c) * 256 + d;
  return start % sizeOf(prefix) === 0 ? { start, prefix } : undefined;
}

export function formatRange({ start, prefix }: Range): string {
  const bytes = [24, 16, 8, 0].map((shift) => Math.floor(start / 2 ** shift) % 256);
  return `${bytes.join(".")}/${prefix}`;
}

/** /24 where that does for all nodes, else the largest range that as many nodes can have. */
export function nodePrefix(pool: Range, nodes: number): number {
  const needed = pool.prefix + Math.ceil(Math.log2(Math.max(1, nodes)));
  return Math.min(LARGEST_PREFIX, Math.max(pool.prefix, 24, needed));
}

/**
 * The first free range of `prefix`, or of the next smaller size that still fits; undefined where the pool is full. With
 * `exact`, no smaller one.
 */
export function planPodCidr(pool: Range, used: readonly Range[], prefix: number, exact: boolean): Range | undefined {
  const taken = used.toSorted((a, b) => a.start - b.start);
  const end = pool.start + sizeOf(pool.prefix);
  for (let size = prefix; size <= (exact ? prefix : LARGEST_PREFIX); size++) {
    const step = sizeOf(size);
    let start = pool.start;
    for (const range of taken) {
      if (range.start >= start + step) break;
      const after = range.start + sizeOf(range.prefix);
      if (after > start) start = Math.ceil(after / step) * step;
    }
    if (start + step <= end) return { start, prefix: size };
  }
  return undefined;
}
