// Score: nodes whose resources would be used to the same degree. Pods that request nothing are left out, or they would all go
// to one node.
import { MAX_NODE_SCORE, type Plugin } from "../framework/contract.ts";
import { DerivedColumn, ShapeCache } from "../snapshot/derived-column.ts";
import { checkStrategy, DEFAULT_RESOURCES, sharesOf, type ResourceWeight, type Share } from "./resource-scores.ts";

export interface BalancedAllocationArgs {
  /** cpu and memory where unset. */
  readonly resources?: readonly ResourceWeight[];
}

function fraction({ used, want, capacity }: Share, row: number): number {
  return Math.min(1, (used[row]! + want) / capacity[row]!);
}

/** The standard deviation of the used fractions; with one resource or none there is nothing to balance. */
function deviation(shares: readonly Share[], row: number): number {
  if (shares.length === 2 && shares[0]!.capacity[row] !== 0 && shares[1]!.capacity[row] !== 0) {
    return Math.abs(fraction(shares[0]!, row) - fraction(shares[1]!, row)) / 2;
  }
  const fractions: number[] = [];
  for (const share of shares) if (share.capacity[row] !== 0) fractions.push(fraction(share, row));
  if (fractions.length < 2) return 0;
  if (fractions.length === 2) return Math.abs(fractions[0]! - fractions[1]!) / 2;
  const mean = fractions.reduce((sum, one) => sum + one, 0) / fractions.length;
  return Math.sqrt(fractions.reduce((sum, one) => sum + (one - mean) ** 2, 0) / fractions.length);
}

/** Throws RangeError where a weight is out of range. */
export function createBalancedAllocation(args: BalancedAllocationArgs = {}): Plugin {
  const resources = args.resources ?? DEFAULT_RESOURCES;
  checkStrategy({ type: "LeastAllocated", resources });
  const cache = new ShapeCache(() => new DerivedColumn());
  return {
    name: "NodeResourcesBalancedAllocation",
    preScore({ info }) {
      return resources.every(({ name }) => (info.requests.get(name) ?? 0) === 0) ? "skip" : undefined;
    },
    scoreKey: ({ shape }) => shape,
    score({ info, snapshot }, rows, count, scores) {
      const shares = sharesOf(info, snapshot, resources, false);
      const compute = (row: number): number => Math.trunc((1 - deviation(shares, row)) * MAX_NODE_SCORE);
      if (count === 1) {
        scores[0] = compute(rows[0]!);
        return;
      }
      const kept = cache.get(snapshot, info.shape)?.refresh(snapshot, compute);
      if (kept === undefined) for (let at = 0; at < count; at++) scores[at] = compute(rows[at]!);
      else for (let at = 0; at < count; at++) scores[at] = kept[rows[at]!]!;
    },
  };
}

export const nodeResourcesBalancedAllocation = createBalancedAllocation();
