// How full a node would be with a pod on it, as a score. https://kubernetes.io/docs/concepts/scheduling-eviction/resource-bin-packing/
import { MAX_NODE_SCORE } from "../framework/contract.ts";
import type { PodInfo } from "../pod-info.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";

export interface ResourceWeight {
  readonly name: string;
  /** 1..100. */
  readonly weight: number;
}

export interface UtilizationPoint {
  /** Percent. */
  readonly utilization: number;
  /** 0..10. */
  readonly score: number;
}

export type ScoringStrategy =
  | { readonly type: "LeastAllocated" | "MostAllocated"; readonly resources?: readonly ResourceWeight[] }
  | {
      readonly type: "RequestedToCapacityRatio";
      readonly resources?: readonly ResourceWeight[];
      readonly requestedToCapacityRatio: { readonly shape: readonly UtilizationPoint[] };
    };

export const DEFAULT_RESOURCES: readonly ResourceWeight[] = [
  { name: "cpu", weight: 1 },
  { name: "memory", weight: 1 },
];

/** One resource of the nodes, and what would be used of it. */
export interface Share {
  readonly capacity: Float64Array;
  readonly used: Float64Array;
  readonly want: number;
  readonly weight: number;
}

/** Resources that every node has by nature; a pod that asks for none of another is not judged by it. */
const NATIVE: ReadonlySet<string> = new Set(["cpu", "memory", "ephemeral-storage"]);

/** `nonZero`: count defaults for containers that request no cpu or memory. */
export function sharesOf(
  info: PodInfo,
  snapshot: ClusterSnapshot,
  resources: readonly ResourceWeight[],
  nonZero: boolean,
): Share[] {
  const shares: Share[] = [];
  for (const { name, weight } of resources) {
    const columns = snapshot.resource(name);
    const asked = info.requests.get(name) ?? 0;
    if (columns === undefined || (asked === 0 && !NATIVE.has(name))) continue;
    const capacity = columns.allocatable;
    if (nonZero && name === "cpu") {
      shares.push({ capacity, used: snapshot.nonZeroCpu.values, want: info.nonZeroCpu, weight });
    } else if (nonZero && name === "memory") {
      shares.push({ capacity, used: snapshot.nonZeroMemory.values, want: info.nonZeroMemory, weight });
    } else shares.push({ capacity, used: columns.requested, want: asked, weight });
  }
  return shares;
}

/** The score of one resource, from what would be used and what there is. */
type Rate = (used: number, capacity: number) => number;

const least: Rate = (used, capacity) =>
  used > capacity ? 0 : Math.trunc(((capacity - used) * MAX_NODE_SCORE) / capacity);
const most: Rate = (used, capacity) => Math.trunc((Math.min(used, capacity) * MAX_NODE_SCORE) / capacity);

/** Straight lines between the points, which go from 0..10. */
function byShape(shape: readonly UtilizationPoint[]): Rate {
  const points = shape.map(({ utilization, score }) => ({ utilization, score: score * (MAX_NODE_SCORE / 10) }));
  const at = (percent: number): number => {
    const next = points.findIndex((point) => percent <= point.utilization);
    if (next < 0) return points.at(-1)!.score;
    if (next === 0) return points[0]!.score;
    const [from, to] = [points[next - 1]!, points[next]!];
    const part = (to.score - from.score) * (percent - from.utilization);
    return from.score + Math.trunc(part / (to.utilization - from.utilization));
  };
  return (used, capacity) => at(used > capacity ? 100 : Math.trunc((used * 100) / capacity));
}

export type RowScore = (shares: readonly Share[], row: number) => number;

/** The weighted mean over the resources that a node has. `skipZero`: resources that score nothing do not count. */
function mean(rate: Rate, skipZero: boolean, round: (value: number) => number): RowScore {
  return (shares, row) => {
    let sum = 0;
    let weights = 0;
    for (let at = 0; at < shares.length; at++) {
      const share = shares[at]!;
      const capacity = share.capacity[row]!;
      if (capacity === 0) continue;
      const score = rate(share.used[row]! + share.want, capacity);
      if (skipZero && score <= 0) continue;
      sum += score * share.weight;
      weights += share.weight;
    }
    return weights === 0 ? 0 : round(sum / weights);
  };
}

/** Throws RangeError, naming the field, where the strategy makes no sense. */
export function checkStrategy(strategy: ScoringStrategy): void {
  for (const [at, { weight }] of (strategy.resources ?? []).entries()) {
    if (!Number.isInteger(weight) || weight < 1 || weight > 100) {
      const path = `scoringStrategy.resources[${at}].weight`;
      throw new RangeError(`${path}: Invalid value: ${weight}: resource weight should be in a range [1, 100]`);
    }
  }
  if (strategy.type !== "RequestedToCapacityRatio") return;
  const { shape } = strategy.requestedToCapacityRatio;
  const path = "scoringStrategy.requestedToCapacityRatio.shape";
  if (shape.length === 0) throw new RangeError(`${path}: Required value: at least one point must be specified`);
  for (const [at, { utilization, score }] of shape.entries()) {
    const range = (field: string, value: number, limit: number): void => {
      if (value >= 0 && value <= limit) return;
      throw new RangeError(`${path}[${at}].${field}: Invalid value: ${value}: not in valid range [0-${limit}]`);
    };
    range("utilization", utilization, 100);
    range("score", score, 10);
    if (at > 0 && utilization <= shape[at - 1]!.utilization) {
      throw new RangeError(
        `${path}[${at}].utilization: Invalid value: ${utilization}: values must be sorted in increasing order`,
      );
    }
  }
}

export function rowScoreOf(strategy: ScoringStrategy): RowScore {
  if (strategy.type !== "RequestedToCapacityRatio") {
    return mean(strategy.type === "LeastAllocated" ? least : most, false, Math.trunc);
  }
  return mean(byShape(strategy.requestedToCapacityRatio.shape), true, Math.round);
}
