// What a customer has lived through: pure counting.

export interface Report {
  /** Since the start. */
  readonly served: number;
  readonly failed: number;
  /** Served by each version of the shop. */
  readonly versions: Readonly<Record<string, number>>;
  /** The latest failure. */
  readonly lastFailure?: string;
}

export class Tally {
  #served = 0;
  #failed = 0;
  #lastFailure: string | undefined;
  readonly #versions = new Map<string, number>();

  served(version: string): void {
    this.#served++;
    this.#versions.set(version, (this.#versions.get(version) ?? 0) + 1);
  }

  failed(why: string): void {
    this.#failed++;
    this.#lastFailure = why;
  }

  report(): Report {
    const versions = Object.fromEntries(this.#versions);
    const last = this.#lastFailure === undefined ? {} : { lastFailure: this.#lastFailure };
    return { served: this.#served, failed: this.#failed, versions, ...last };
  }
}

/** The newest report among log lines of a customer; undefined where there is none yet. */
export function lastReport(log: string): Report | undefined {
  for (const line of log.trimEnd().split("\n").toReversed()) {
    if (line.startsWith('{"served"')) return JSON.parse(line) as Report;
  }
  return undefined;
}
