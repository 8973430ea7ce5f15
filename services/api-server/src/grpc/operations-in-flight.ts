// The operations of one Batch stream that run at once. Guarantees: no more than `limit` run; one that the server refuses because
// it has too much to do waits while others of its stream run, since those may be what it has to do, and is refused for good
// where none does; each end of an operation costs the same, however many run or wait.
import { TooBusyError } from "../flow-control/too-busy.ts";

export class OperationsInFlight {
  readonly #limit: number;
  /** In the order in which they get their turn, one a finished operation. */
  readonly #waiting: (() => void)[] = [];
  readonly #idle: (() => void)[] = [];
  #running = 0;
  /** Of those that run, the ones that wait to be tried again. */
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Resolves when one more may start. For one caller, that starts one afterwards. */
  async room(): Promise<void> {
    while (this.#running >= this.#limit) await this.#nextEnd();
  }

  /** `work` must not reject. */
  start(work: () => Promise<void>): void {
    this.#running++;
    void work().finally(() => this.#ended());
  }

  /** Within an operation that runs: what `attempt` resolves with, tried again where the server was too busy. */
  async admitted<T>(attempt: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof TooBusyError) || this.#running - this.#held <= 1) throw error;
      }
      this.#held++;
      await this.#nextEnd();
      this.#held--;
    }
  }

  /** Resolves when none runs. */
  async settled(): Promise<void> {
    if (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #nextEnd(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #ended(): void {
    this.#running--;
    this.#waiting.shift()?.();
    if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}
