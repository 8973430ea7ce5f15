// What a customer has lived through: pure counting.

export interface Report {
  /** Which report of this customer it is, from 1. */
  readonly number: number;
  /** Since the start. */
  readonly served: number;
  readonly failed: number;
  /** Served by each version of the shop. */
  readonly versions: Readonly<Record<string, number>>;
  /** Requests that each shopper has brought to an end, well or badly. */
  readonly rounds: readonly number[];
  /** The latest failure. */
  readonly lastFailure?: string;
}

export class Tally {
  #served = 0;
  #failed = 0;
  #lastFailure: string | undefined;
  readonly #versions = new Map<string, number>();
  readonly #rounds: number[];
  #reports = 0;

  constructor(shoppers: number) {
    this.#rounds = Array.from({ length: shoppers }, () => 0);
  }

  served(shopper: number, version: string): void {
    this.#served++;
    this.#ended(shopper);
    this.#versions.set(version, (this.#versions.get(version) ?? 0) + 1);
  }

  failed(shopper: number, why: string): void {
    this.#failed++;
    this.#ended(shopper);
    this.#lastFailure = why;
  }

  report(): Report {
    const versions = Object.fromEntries(this.#versions);
    const last = this.#lastFailure === undefined ? {} : { lastFailure: this.#lastFailure };
    const rounds = [...this.#rounds];
    return { number: ++this.#reports, served: this.#served, failed: this.#failed, versions, rounds, ...last };
  }

  #ended(shopper: number): void {
    this.#rounds[shopper] = (this.#rounds[shopper] ?? 0) + 1;
  }
}

/**
 * Whether every request that was under way at the time of `before` has ended by the time of `after`: each shopper has ended
 * two since, of which the second began later.
 */
export function allBegunSince(before: Report, after: Report): boolean {
  return before.rounds.every((rounds, shopper) => (after.rounds[shopper] ?? 0) >= rounds + 2);
}

/** The newest report among log lines of a customer; undefined where there is none yet. */
export function lastReport(log: string): Report | undefined {
  for (const line of log.trimEnd().split("\n").toReversed()) {
    if (line.startsWith('{"number"')) return JSON.parse(line) as Report;
  }
  return undefined;
}
