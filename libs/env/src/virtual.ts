// Virtual time: timers fire in (due time, order of creation), the clock jumps between them, and everything random comes
// from one seed. The same seed and the same code give the same run.
import {
  AbortError,
  type Clock,
  type Env,
  type Failpoints,
  type Random,
  type TimerHandle,
  type Timers,
} from "./contract.ts";
import { createFailpoints } from "./failpoints.ts";
import { Heap } from "./heap.ts";
import { createSeededRandom } from "./seeded-random.ts";

interface Entry {
  dueMs: number;
  order: number;
  run: () => void;
  everyMs: number | undefined;
  cancelled: boolean;
}

function before(a: Entry, b: Entry): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}

export interface VirtualEnvOptions {
  readonly seed: number;
  /** Wall-clock time at the start, ms since the epoch. */
  readonly startMs?: number;
  /** What a `crash` failpoint does; throws where unset. */
  readonly onCrash?: (failpoint: string) => void;
}

export class VirtualEnv implements Env {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly failpoints: Failpoints;
  readonly #heap = new Heap(before);
  readonly #startMs: number;
  #nowMs = 0;
  #order = 0;
  #steps = 0;

  constructor(options: VirtualEnvOptions) {
    this.#startMs = options.startMs ?? Date.UTC(2026, 0, 1);
    this.random = createSeededRandom(options.seed);
    this.clock = { now: () => this.#startMs + Math.floor(this.#nowMs), monotonic: () => this.#nowMs };
    this.timers = this.#makeTimers();
    const crash =
      options.onCrash ??
      ((failpoint: string) => {
        throw new Error(`crash at ${failpoint}, and nobody handles crashes`);
      });
    this.failpoints = createFailpoints({ random: this.random, timers: this.timers, clock: this.clock, crash });
  }

  /** Virtual ms since the start. */
  get elapsedMs(): number {
    return this.#nowMs;
  }
  /** Timers fired so far. */
  get steps(): number {
    return this.#steps;
  }

  /**
   * Lets all pending promise callbacks run, then fires the next timer that is due by `untilMs`.
   * Returns false when none is: the clock then stands at `untilMs`.
   */
  async step(untilMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    await settle();
    for (;;) {
      const next = this.#heap.peek();
      if (next === undefined || next.dueMs > untilMs) {
        if (Number.isFinite(untilMs)) this.#nowMs = Math.max(this.#nowMs, untilMs);
        return false;
      }
      this.#heap.pop();
      if (next.cancelled) continue;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      if (next.everyMs !== undefined) {
        next.dueMs = this.#nowMs + next.everyMs;
        next.order = this.#order++;
        this.#heap.push(next);
      }
      this.#steps++;
      next.run();
      await settle();
      return true;
    }
  }

  /** Runs until `done()` holds or `untilMs` of virtual time have passed since the start; says whether `done()` held. */
  async runUntil(done: () => boolean, untilMs: number): Promise<boolean> {
    await settle();
    while (!done()) {
      if (!(await this.step(untilMs))) return done();
    }
    return true;
  }

  /** Advances virtual time by `ms`, firing all that comes due. */
  async advance(ms: number): Promise<void> {
    const until = this.#nowMs + ms;
    while (await this.step(until));
  }

  #add(run: () => void, ms: number, everyMs?: number): TimerHandle {
    const entry: Entry = {
      dueMs: this.#nowMs + Math.max(0, ms),
      order: this.#order++,
      run,
      everyMs,
      cancelled: false,
    };
    this.#heap.push(entry);
    return { timer: entry };
  }

  #makeTimers(): Timers {
    const clear = (handle: TimerHandle | undefined): void => {
      if (handle !== undefined) (handle.timer as Entry).cancelled = true;
    };
    return {
      setTimeout: (run, ms) => this.#add(run, ms),
      setInterval: (run, ms) => this.#add(run, ms, Math.max(1, ms)),
      clear,
      defer: (run) => void this.#add(run, 0),
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          if (signal?.aborted) {
            reject(new AbortError());
            return;
          }
          const onAbort = (): void => {
            clear(handle);
            reject(new AbortError());
          };
          const handle = this.#add(() => {
            signal?.removeEventListener("abort", onAbort);
            resolve();
          }, ms);
          signal?.addEventListener("abort", onAbort, { once: true });
        }),
      timeoutSignal: (ms, parent) => {
        const controller = new AbortController();
        const abort = (): void => {
          clear(handle);
          controller.abort(new AbortError("timed out"));
        };
        const handle = this.#add(abort, ms);
        if (parent?.aborted) abort();
        else parent?.addEventListener("abort", abort, { once: true });
        return controller.signal;
      },
    };
  }
}

/** One turn of the event loop drains the whole queue of promise callbacks. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
