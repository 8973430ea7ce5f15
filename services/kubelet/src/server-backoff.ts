// When writes to an api-server that takes none may be tried again. Guarantees:
// - Pauses are doubled from one failure to the next up to a limit, with jitter; what fails together counts once.
// - The log has one line when the server stops taking writes and one when it takes them again, however many fail meanwhile.
import { StatusError } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";

const FIRST_MS = 1_000;
const MOST_MS = 10_000;
const FOR_ALL: ReadonlySet<string> = new Set(["ServiceUnavailable", "Timeout", "ServerTimeout", "TooManyRequests"]);

/** True where a write failed for the server's sake, not for its own: others would fare no better now. */
export function failsForAll(error: unknown): boolean {
  return !(error instanceof StatusError) || FOR_ALL.has(error.reason);
}

export class ServerBackoff {
  readonly #env: Env;
  readonly #logger: Logger;
  readonly #what: string;
  #round = 0;
  #pauseMs = FIRST_MS;
  #untilMs = -Infinity;
  #awaySinceMs: number | undefined;
  #failed = 0;

  /** `what` is written, in the words of the log: "statuses of pods". */
  constructor(env: Env, logger: Logger, what: string) {
    this.#env = env;
    this.#logger = logger;
    this.#what = what;
  }

  /** True until a write succeeds again: what is tried meanwhile should be little. */
  get away(): boolean {
    return this.#awaySinceMs !== undefined;
  }

  /** How long nothing should be tried, ms; 0: now. */
  get waitMs(): number {
    return Math.max(0, this.#untilMs - this.#env.clock.monotonic());
  }

  /** Changes with every failure that counts, and when the server is back; writes remember the one in which they began. */
  get round(): number {
    return this.#round;
  }

  /** `count` writes that began in `round` failed; `partly`: others beside them succeeded, so the server is only slow. */
  failed(round: number, count: number, error: Error, partly = false): void {
    const { clock, random } = this.#env;
    if (this.#awaySinceMs !== undefined) this.#failed += count;
    // It began before what is known of the server now.
    if (round !== this.#round) return;
    if (this.#awaySinceMs === undefined) {
      this.#awaySinceMs = clock.monotonic();
      this.#failed = count;
      this.#logger.warn({ failed: count, err: error }, `the api-server takes no ${this.#what} now, trying again`);
    }
    this.#round++;
    if (partly) this.#pauseMs = FIRST_MS;
    this.#untilMs = clock.monotonic() + this.#pauseMs * (0.5 + random.float());
    this.#pauseMs = Math.min(2 * this.#pauseMs, MOST_MS);
  }

  /** The server has taken a write. */
  succeeded(): void {
    if (this.#awaySinceMs === undefined) return;
    const forMs = Math.round(this.#env.clock.monotonic() - this.#awaySinceMs);
    this.#logger.info({ failed: this.#failed, forMs }, `the api-server takes ${this.#what} again`);
    this.#awaySinceMs = undefined;
    this.#untilMs = -Infinity;
    this.#pauseMs = FIRST_MS;
    this.#round++;
  }
}
