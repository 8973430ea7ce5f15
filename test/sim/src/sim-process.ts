// A process of the simulation: an Env and a ResourceClient of its own that stop for good when it is killed. As after
// `kill -9`, nothing that belongs to a dead process runs again: its timers never fire, its calls never answer.
import { AbortError, type Env, type TimerHandle, type Timers } from "@coxswain/env";

export class SimProcess {
  readonly name: string;
  readonly env: Env;
  readonly #controller = new AbortController();
  readonly #base: Env;
  #frozen = false;
  /** What came due while the process was frozen, in order. */
  #held: (() => void)[] = [];

  constructor(name: string, base: Env) {
    this.name = name;
    this.#base = base;
    this.env = { clock: base.clock, random: base.random, failpoints: base.failpoints, timers: this.#timers() };
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }
  get alive(): boolean {
    return !this.#controller.signal.aborted;
  }
  get frozen(): boolean {
    return this.#frozen;
  }

  kill(): void {
    this.#held = [];
    this.#controller.abort(new AbortError(`${this.name} was killed`));
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    const held = this.#held;
    this.#held = [];
    for (const run of held) this.deliver(run);
  }

  /** Runs `run` as this process: at once, after a thaw, or never. */
  deliver(run: () => void): void {
    if (!this.alive) return;
    if (this.#frozen) this.#held.push(run);
    else run();
  }

  /** Resolves as `promise` does, but only while this process runs; a dead process waits for ever. */
  carry<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      promise.then(
        (value) => this.deliver(() => resolve(value)),
        (error: unknown) => this.deliver(() => reject(error as Error)),
      );
    });
  }

  #timers(): Timers {
    const { timers } = this.#base;
    const guarded = (run: () => void) => (): void => this.deliver(run);
    return {
      setTimeout: (run, ms) => timers.setTimeout(guarded(run), ms),
      setInterval: (run, ms) => timers.setInterval(guarded(run), ms),
      clear: (handle: TimerHandle | undefined) => timers.clear(handle),
      defer: (run) => timers.defer(guarded(run)),
      sleep: (ms, signal) => this.carry(timers.sleep(ms, signal)),
      timeoutSignal: (ms, parent) => timers.timeoutSignal(ms, parent),
    };
  }
}
