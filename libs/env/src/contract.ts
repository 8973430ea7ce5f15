// What nondeterminism looks like to the rest of the code base.

/** Time. All values are milliseconds. */
export interface Clock {
  /** Wall-clock time, ms since the Unix epoch. */
  now(): number;
  /** Monotonic time, ms with fractions; only differences mean anything. */
  monotonic(): number;
}

/** Opaque handle of a pending timer. */
export type TimerHandle = { readonly timer: unknown };

export interface Timers {
  /** Runs once, after `ms`: below 0 is 0, and months are months. */
  setTimeout(run: () => void, ms: number): TimerHandle;
  setInterval(run: () => void, ms: number): TimerHandle;
  /** Cancels a timer; harmless on one that has fired. */
  clear(handle: TimerHandle | undefined): void;
  /** Resolves after `ms`; rejects with AbortError when `signal` aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Runs soon, after pending I/O callbacks: `setImmediate`. */
  defer(run: () => void): void;
  /** A signal that aborts after `ms`, and with `parent` if given. */
  timeoutSignal(ms: number, parent?: AbortSignal): AbortSignal;
}

export interface Random {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform integer in [0, maxExclusive). */
  int(maxExclusive: number): number;
  bytes(length: number): Buffer;
  /** RFC 9562 version 4. */
  uuid(): string;
  /** `length` characters of Kubernetes' name alphabet (bcdfghjklmnpqrstvwxz2456789). */
  nameSuffix(length: number): string;
}

export type FaultAction = "error" | "delay" | "crash";

export interface FaultSpec {
  readonly id: string;
  readonly failpoint: string;
  readonly action: FaultAction;
  readonly delayMs: number;
  /** In [0, 1]. */
  readonly probability: number;
  /** Fires this often, then heals itself; 0 means no limit. */
  readonly count: number;
  readonly fired: number;
}

export interface Failpoints {
  /** Passes, throws FailpointError, or delays, as armed. Names are dotted: "storage.commit". */
  hit(name: string): Promise<void>;
  /** True where something is armed at `name`; lets hot paths skip `hit`. */
  armed(name: string): boolean;
  inject(fault: Omit<FaultSpec, "fired">): FaultSpec;
  heal(id?: string): FaultSpec[];
  list(): FaultSpec[];
  /** Names hit or declared so far. */
  known(): string[];
}

export interface Env {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly failpoints: Failpoints;
}

export class AbortError extends Error {
  override readonly name = "AbortError";
  constructor(message = "aborted", options?: ErrorOptions) {
    super(message, options);
  }
}

export class FailpointError extends Error {
  override readonly name = "FailpointError";
  readonly failpoint: string;
  constructor(failpoint: string) {
    super(`injected failure at ${failpoint}`);
    this.failpoint = failpoint;
  }
}

/** True for our AbortError and for the DOMException that platform APIs throw. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
