// Where in a sorted list something begins.

/** Position of the first element, at or after `from`, that is not before what is looked for; those that are come first. */
export function lowerBound<T>(sorted: readonly T[], isBefore: (element: T) => boolean, from = 0): number {
  let low = from;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(sorted[middle]!)) low = middle + 1;
    else high = middle;
  }
  return low;
}
