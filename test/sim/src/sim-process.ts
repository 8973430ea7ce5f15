// A process of the simulation: an Env of its own that stops for good when it is killed. Guarantees:
// - As after `kill -9`, nothing that belongs to a dead process runs again: its timers never fire, its calls never settle.
// - A frozen process does nothing; what came for it meanwhile it gets, in order, when it is thawed. The clock goes on.
// Everything that reaches a process must come through `deliver`, `carry` or its Env.
import type { Env, TimerHandle, Timers } from "@coxswain/env";
import { AbortError } from "@coxswain/env";

export class SimProcess {
  readonly name: string;
  readonly env: Env;
  readonly #base: Env;
  readonly #intervals = new Set<TimerHandle>();
  readonly #onDeath: (() => void)[] = [];
  #alive = true;
  #frozen = false;
  /** What came while the process was frozen, in order. */
  #held: (() => void)[] = [];

  constructor(name: string, base: Env) {
    this.name = name;
    this.#base = base;
    this.env = { clock: base.clock, random: base.random, failpoints: base.failpoints, timers: this.#timers() };
  }

  get alive(): boolean {
    return this.#alive;
  }
  get frozen(): boolean {
    return this.#frozen;
  }

  /** Called in the world outside, once the process is dead: the kernel closes what it held open. */
  onDeath(run: () => void): void {
    this.#onDeath.push(run);
  }

  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#held = [];
    for (const handle of this.#intervals) this.#base.timers.clear(handle);
    this.#intervals.clear();
    for (const run of this.#onDeath) run();
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
    if (!this.#alive) return;
    if (this.#frozen) this.#held.push(run);
    else run();
  }

  /** Settles as `promise` does, but only while this process runs; a dead process waits for ever. */
  carry<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      promise.then(
        (value) => this.deliver(() => resolve(value)),
        (error: unknown) => this.deliver(() => reject(error)),
      );
    });
  }

  /** Lets this process do something that somebody else asks of it, and settles as that does. */
  perform<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.deliver(() => void work().then(resolve, reject));
    });
  }

  #timers(): Timers {
    const { timers } = this.#base;
    const setTimeout = (run: () => void, ms: number): TimerHandle => timers.setTimeout(() => this.deliver(run), ms);
    return {
      setTimeout,
      setInterval: (run, ms) => this.#interval(run, ms),
      clear: (handle) => {
        timers.clear(handle);
        if (handle !== undefined) this.#intervals.delete(handle);
      },
      defer: (run) => timers.defer(() => this.deliver(run)),
      sleep: (ms, signal) => this.carry(timers.sleep(ms, signal)),
      timeoutSignal: (ms, parent) => {
        const controller = new AbortController();
        const abort = (): void => {
          timers.clear(handle);
          controller.abort(new AbortError("timed out"));
        };
        const handle = setTimeout(abort, ms);
        if (parent?.aborted) abort();
        else parent?.addEventListener("abort", abort, { once: true });
        return controller.signal;
      },
    };
  }

  /** However long the process was frozen, an interval is due once when it wakes. */
  #interval(run: () => void, ms: number): TimerHandle {
    let waiting = false;
    const handle = this.#base.timers.setInterval(() => {
      if (waiting) return;
      waiting = true;
      this.deliver(() => {
        waiting = false;
        if (this.#intervals.has(handle)) run();
      });
    }, ms);
    this.#intervals.add(handle);
    return handle;
  }
}

/**
 * `target` as a process reaches it: its promises settle only while the process runs. What `target` itself does goes on
 * without the process, as a container runtime and the kernel's tables do.
 */
export function carried<T extends object>(process: SimProcess, target: T): T {
  return new Proxy(target, {
    get(object, property) {
      const value: unknown = Reflect.get(object, property);
      if (typeof value !== "function") return value;
      return (...given: unknown[]): unknown => {
        const result: unknown = Reflect.apply(value, object, given);
        return result instanceof Promise ? process.carry(result) : result;
      };
    },
  });
}
