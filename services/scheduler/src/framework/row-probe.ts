// Whether a pod fits on one row, also with other pods than are there now: nominated pods put on, victims taken off.
import type { Random } from "@coxswain/env";
import type { PodInfo } from "../pod-info.ts";
import type { CycleState, Plugin, Probe, Rejection } from "./contract.ts";
import { RowVerdict } from "./verdicts.ts";

/** A Filter plugin. */
export interface FilterStep {
  readonly plugin: Plugin;
  /** Place among all plugins of the profile. */
  readonly at: number;
}

interface Steps {
  readonly filters: readonly FilterStep[];
  readonly aboutPods: readonly FilterStep[];
  readonly followers: readonly Plugin[];
}

function stepsOf(all: readonly FilterStep[], skipped: ReadonlySet<string>): Steps {
  const filters = all.filter(({ plugin }) => !skipped.has(plugin.name));
  const aboutPods = filters.filter(({ plugin }) => plugin.ignoresPods !== true);
  const followers = filters.map(({ plugin }) => plugin).filter((plugin) => plugin.follow !== undefined);
  return { filters, aboutPods, followers };
}

/** For one cycle, after PreFilter. */
export class RowProbe implements Probe {
  readonly random: Random;
  readonly #cycle: CycleState;
  readonly #filters: readonly FilterStep[];
  readonly #skipped: ReadonlySet<string>;
  readonly #verdict = new RowVerdict();
  #made: Steps | undefined;

  constructor(cycle: CycleState, filters: readonly FilterStep[], skipped: ReadonlySet<string>, random: Random) {
    this.#cycle = cycle;
    this.random = random;
    this.#filters = filters;
    this.#skipped = skipped;
  }

  /** Most decisions need no probe. */
  get #steps(): Steps {
    return (this.#made ??= stepsOf(this.#filters, this.#skipped));
  }

  get key(): string | undefined {
    const keys: string[] = [];
    for (const { plugin } of this.#steps.filters) {
      if (plugin.filterKey === undefined) return undefined;
      keys.push(`${plugin.name} ${plugin.filterKey(this.#cycle.info)}`);
    }
    return keys.join("\n");
  }

  /** The place of the plugin that rejected the row last. */
  get plugin(): number {
    return this.#verdict.plugin;
  }

  fits(row: number, again: boolean): Rejection | undefined {
    return this.#run(row, again ? this.#steps.aboutPods : this.#steps.filters) ?? this.withNominated(row);
  }

  /** As `fits`, of a row where the pod fits if nominated pods do not count. Those count that are at least as important. */
  withNominated(row: number): Rejection | undefined {
    const { snapshot, info } = this.#cycle;
    if (snapshot.nominated.values[row] === 0) return undefined;
    const others = snapshot.nominations
      .on(snapshot.names[row]!)
      .filter(
        (other) => other.priority >= info.priority && other.key !== info.key && !snapshot.pods[row]!.has(other.key),
      );
    if (others.length === 0) return undefined;
    for (const other of others) this.put(row, other);
    const rejection = this.#run(row, this.#steps.aboutPods);
    for (const other of others.toReversed()) this.take(row, other);
    return rejection;
  }

  take(row: number, other: PodInfo): void {
    this.#cycle.snapshot.take(row, other);
    for (const plugin of this.#steps.followers) plugin.follow!(this.#cycle, row, other, -1);
  }

  put(row: number, other: PodInfo): void {
    this.#cycle.snapshot.put(row, other);
    for (const plugin of this.#steps.followers) plugin.follow!(this.#cycle, row, other, 1);
  }

  #run(row: number, steps: readonly FilterStep[]): Rejection | undefined {
    const verdict = this.#verdict;
    verdict.rejection = undefined;
    for (const { plugin, at } of steps) {
      verdict.plugin = at;
      plugin.filter!(this.#cycle, verdict, row, row + 1);
      if (verdict.rejection !== undefined) return verdict.rejection;
    }
    return undefined;
  }
}
