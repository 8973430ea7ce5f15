// Sizes and costs between a least and a most. Guarantee: nothing overflows; what is unbounded stays at the largest 64-bit
// number, as the reference implementation has it, so that nothing times unbounded is nothing.

export interface Range {
  readonly min: number;
  readonly max: number;
}

/** As near to the largest unsigned 64-bit number as a double comes. */
const MOST = 2 ** 64;

const within = (value: number): number => Math.min(value, MOST);

export const fixed = (value: number): Range => ({ min: value, max: value });
export const UNKNOWN: Range = { min: 0, max: MOST };

export function add(...ranges: readonly Range[]): Range {
  let [min, max] = [0, 0];
  for (const range of ranges) [min, max] = [within(min + range.min), within(max + range.max)];
  return { min, max };
}

export const multiply = (a: Range, b: Range): Range => ({ min: within(a.min * b.min), max: within(a.max * b.max) });

/** Rounded up. */
export const times = (range: Range, factor: number): Range => ({
  min: within(Math.ceil(range.min * factor)),
  max: within(Math.ceil(range.max * factor)),
});

/** What covers both. */
export const union = (a: Range, b: Range): Range => ({ min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) });
