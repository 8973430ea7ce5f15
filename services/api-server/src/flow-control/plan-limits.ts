// How many seats each priority level has: its share, and what it borrows of others who need less than theirs. Pure.
// https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#priority-levels
import type { PriorityLevelConfiguration } from "@coxswain/api";

export interface LevelLimits {
  readonly nominal: number;
  readonly lower: number;
  readonly upper: number;
}

/** Seats of each level by its shares. */
export function planNominalLimits(
  levels: readonly PriorityLevelConfiguration[],
  serverLimit: number,
): ReadonlyMap<string, LevelLimits> {
  const sharesOf = ({ spec }: PriorityLevelConfiguration): number =>
    (spec?.type === "Exempt" ? spec.exempt?.nominalConcurrencyShares : spec?.limited?.nominalConcurrencyShares) ?? 0;
  const sum = levels.reduce((total, level) => total + sharesOf(level), 0);
  return new Map(
    levels.map((level) => {
      const { spec, metadata } = level;
      const nominal = sum === 0 ? 0 : Math.ceil((serverLimit * sharesOf(level)) / sum);
      const lendable = spec?.exempt?.lendablePercent ?? spec?.limited?.lendablePercent ?? 0;
      const borrowing = spec?.limited?.borrowingLimitPercent;
      const lower = nominal - Math.round((nominal * lendable) / 100);
      const upper = borrowing === undefined ? serverLimit : nominal + Math.round((nominal * borrowing) / 100);
      return [metadata?.name ?? "", { nominal, lower, upper: Math.max(upper, nominal) }] as const;
    }),
  );
}

/** Seats wanted over the last period: executing and waiting. */
export interface Demand {
  readonly high: number;
  readonly average: number;
  readonly deviation: number;
}

/** What a period's demand makes of the one that is reckoned with: up at once, down slowly. */
export function smoothDemand(before: number, { average, deviation }: Demand): number {
  const KEPT = 0.977;
  const envelope = average + deviation;
  return Math.max(envelope, KEPT * before + (1 - KEPT) * envelope);
}

export interface LevelDemand extends LevelLimits {
  readonly name: string;
  readonly high: number;
  readonly smooth: number;
}

/** Divides the server's seats: each level what it needs within its bounds, the rest in proportion to that. */
export function planCurrentLimits(levels: readonly LevelDemand[], serverLimit: number): ReadonlyMap<string, number> {
  const wanted = levels.map((level) => {
    const floor = Math.max(level.lower, Math.min(level.nominal, level.high));
    return { ...level, floor, target: Math.max(floor, level.smooth) };
  });
  const at = (fraction: number): number[] =>
    wanted.map(({ floor, target, upper }) => Math.min(upper, Math.max(floor, fraction * target)));
  const sumOf = (limits: readonly number[]): number => limits.reduce((sum, limit) => sum + limit, 0);
  let [low, high] = [0, 1];
  while (sumOf(at(high)) < serverLimit && high < 1e6) high *= 2;
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (sumOf(at(middle)) > serverLimit) high = middle;
    else low = middle;
  }
  const limits = at(low);
  return new Map(wanted.map(({ name }, index) => [name, Math.max(1, Math.round(limits[index]!))]));
}
