// Reads that many ask for at once, sent once for all. Guarantee: a read is sent after everybody who shares it has asked, so
// that each sees what was there when it asked.
import type { Timers } from "@coxswain/env";

/** Two: what one answers is worked on while etcd works on the other. */
const IN_FLIGHT = 2;

export class SharedReads<T> {
  readonly #timers: Pick<Timers, "defer">;
  readonly #read: () => Promise<T>;
  /** Not sent yet. */
  #next: PromiseWithResolvers<T> | undefined;
  #inFlight = 0;
  #scheduled = false;

  constructor(timers: Pick<Timers, "defer">, read: () => Promise<T>) {
    this.#timers = timers;
    this.#read = read;
  }

  /** Rejects as the read does. */
  ask(): Promise<T> {
    this.#next ??= Promise.withResolvers();
    this.#schedule();
    return this.#next.promise;
  }

  /** Those who ask in the same turn of the loop share one. */
  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= IN_FLIGHT || this.#next === undefined) return;
    this.#scheduled = true;
    this.#timers.defer(() => {
      this.#scheduled = false;
      void this.#send();
    });
  }

  async #send(): Promise<void> {
    const asked = this.#next!;
    this.#next = undefined;
    this.#inFlight++;
    try {
      asked.resolve(await this.#read());
    } catch (error) {
      asked.reject(error);
    } finally {
      this.#inFlight--;
      this.#schedule();
    }
  }
}
