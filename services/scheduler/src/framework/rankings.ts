// Splits what a profile asks about nodes: what looks at one node at a time is kept in a ranking for pods of the same kind,
// the rest is asked for each pod anew.
import { ShapeCache } from "../snapshot/derived-column.ts";
import type { CycleState, WeightedPlugin } from "./contract.ts";
import { CLOSED, NodeRanking, type RowJudge } from "./node-ranking.ts";
import type { FilterStep } from "./row-probe.ts";
import { RowVerdict, Verdicts } from "./verdicts.ts";

export interface Ranked {
  readonly ranking: NodeRanking;
  /** What the ranking leaves out. */
  readonly filters: readonly FilterStep[];
  readonly scoring: readonly WeightedPlugin[];
}

const NO_ROWS = new Int32Array(0);

/** The steps of one pod that look at one node at a time. */
class Judge implements RowJudge {
  readonly filters: FilterStep[] = [];
  readonly scoring: WeightedPlugin[] = [];
  readonly #cycle: CycleState;
  readonly #verdict = new RowVerdict();
  readonly #row = new Int32Array(1);
  readonly #score = new Float64Array(1);

  constructor(cycle: CycleState) {
    this.#cycle = cycle;
  }

  row(row: number): number {
    this.#verdict.rejection = undefined;
    for (const { plugin } of this.filters) {
      plugin.filter!(this.#cycle, this.#verdict, row, row + 1);
      if (this.#verdict.rejection !== undefined) return CLOSED;
    }
    this.#row[0] = row;
    let total = 0;
    for (const { plugin, weight } of this.scoring) {
      plugin.score!(this.#cycle, this.#row, 1, this.#score);
      total += weight * this.#score[0]!;
    }
    return total;
  }

  all(totals: Float64Array, size: number): void {
    const verdicts = new Verdicts([]);
    verdicts.reset(size);
    for (const { plugin } of this.filters) plugin.filter!(this.#cycle, verdicts, 0, size);
    const rows = Int32Array.from({ length: size }, (_, row) => row).filter((row) => verdicts.open(row));
    const scores = new Float64Array(rows.length);
    totals.fill(CLOSED, 0, size);
    for (const row of rows) totals[row] = 0;
    for (const { plugin, weight } of this.scoring) {
      plugin.score!(this.#cycle, rows, rows.length, scores);
      for (let at = 0; at < rows.length; at++) totals[rows[at]!]! += weight * scores[at]!;
    }
  }
}

export class Rankings {
  readonly #filters: readonly FilterStep[];
  readonly #scoring: readonly WeightedPlugin[];
  readonly #kept = new ShapeCache(() => new NodeRanking());

  constructor(filters: readonly FilterStep[], scoring: readonly WeightedPlugin[]) {
    this.#filters = filters;
    this.#scoring = scoring;
  }

  /** After PreFilter; undefined where it does not pay to keep one. */
  of(cycle: CycleState, skipped: ReadonlySet<string>): Ranked | undefined {
    const { info, snapshot } = cycle;
    const judge = new Judge(cycle);
    const filters: FilterStep[] = [];
    const scoring: WeightedPlugin[] = [];
    let key = "";
    for (const step of this.#filters) {
      if (skipped.has(step.plugin.name)) continue;
      if (step.plugin.filterKey === undefined) {
        filters.push(step);
        continue;
      }
      judge.filters.push(step);
      key += `${step.plugin.name} ${step.plugin.filterKey(info)}\n`;
    }
    for (const one of this.#scoring) {
      const { plugin } = one;
      if (plugin.scoresNothing?.(cycle) === true) continue;
      if (plugin.scoreKey === undefined || plugin.normalizeScore !== undefined) {
        scoring.push(one);
        continue;
      }
      if (plugin.preScore?.(cycle, NO_ROWS, 0) !== undefined) continue;
      judge.scoring.push(one);
      key += `${plugin.name} ${plugin.scoreKey(info)}\n`;
    }
    if (key === "") return undefined;
    const ranking = this.#kept.get(snapshot, key);
    ranking?.refresh(snapshot, judge);
    return ranking && { ranking, filters, scoring };
  }
}
