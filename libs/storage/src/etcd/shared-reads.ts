// Reads that many ask for at once, sent once for all. Guarantee: a read is sent after everybody who shares it has asked, so
// that each sees what was there when it asked.
import type { Env, Timers } from "@coxswain/env";

/** Two: what one answers is worked on while etcd works on the other. */
const IN_FLIGHT = 2;
/** As many who share a read make a crowd, in which others are worth waiting for. */
const CROWD = 4;
/** The least time between two reads of a crowd, ms: a read costs etcd and its client as much as answering a few who share it. */
const GATHER_MS = 2;

interface SharedReadsEnv extends Pick<Env, "clock"> {
  readonly timers: Pick<Timers, "defer" | "setTimeout">;
}

export class SharedReads<T> {
  readonly #env: SharedReadsEnv;
  readonly #read: () => Promise<T>;
  /** Not sent yet. */
  #next: PromiseWithResolvers<T> | undefined;
  #asking = 0;
  #inFlight = 0;
  #scheduled = false;
  /** No read is sent before, ms. */
  #notBeforeMs = 0;

  constructor(env: SharedReadsEnv, read: () => Promise<T>) {
    this.#env = env;
    this.#read = read;
  }

  /** Rejects as the read does. */
  ask(): Promise<T> {
    this.#next ??= Promise.withResolvers();
    this.#asking++;
    this.#schedule();
    return this.#next.promise;
  }

  /** Those who ask in the same turn of the loop share one. */
  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= IN_FLIGHT || this.#next === undefined) return;
    this.#scheduled = true;
    const { clock, timers } = this.#env;
    const send = (): void => {
      this.#scheduled = false;
      void this.#send();
    };
    const waitMs = this.#notBeforeMs - clock.monotonic();
    if (waitMs > 0) timers.setTimeout(send, waitMs);
    else timers.defer(send);
  }

  async #send(): Promise<void> {
    const asked = this.#next!;
    this.#next = undefined;
    this.#notBeforeMs = this.#asking < CROWD ? 0 : this.#env.clock.monotonic() + GATHER_MS;
    this.#asking = 0;
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
