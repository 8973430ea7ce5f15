// A queue of distinct keys for workers. Guarantees:
// - A key waits at most once, however often it is added, and never is with two workers at once.
// - A key that is added while it is being processed is handed out again once it is done.
// - Keys come out in the order they became ready. After shutDown, what is ready still comes out; delayed keys are dropped.
import type { Env, TimerHandle } from "@coxswain/env";
import { Heap } from "@coxswain/env/heap";
import type { WorkQueue } from "./runtime-contract.ts";

const BASE_DELAY_MS = 5;
const MAX_DELAY_MS = 1_000_000;

interface Delayed {
  readonly key: string;
  readonly readyAtMs: number;
  readonly order: number;
}

const before = (a: Delayed, b: Delayed): boolean =>
  a.readyAtMs < b.readyAtMs || (a.readyAtMs === b.readyAtMs && a.order < b.order);

class Queue implements WorkQueue {
  readonly #env: Env;
  // A Set keeps the order of insertion: the waiting keys, first in first out.
  readonly #ready = new Set<string>();
  readonly #processing = new Set<string>();
  readonly #again = new Set<string>();
  readonly #heap = new Heap(before);
  /** The earliest time that each delayed key is due; entries of the heap that differ are outdated. */
  readonly #dueAt = new Map<string, number>();
  readonly #requeues = new Map<string, number>();
  readonly #waiters: ((key: string | undefined) => void)[] = [];
  #order = 0;
  #timer: TimerHandle | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #down = false;

  constructor(env: Env) {
    this.#env = env;
  }

  get length(): number {
    return this.#ready.size;
  }

  add(key: string): void {
    if (this.#down) return;
    if (this.#processing.has(key)) {
      this.#again.add(key);
      return;
    }
    this.#ready.add(key);
    this.#handOut();
  }

  addAfter(key: string, ms: number): void {
    if (this.#down) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const readyAtMs = this.#env.clock.monotonic() + ms;
    const due = this.#dueAt.get(key);
    if (due !== undefined && due <= readyAtMs) return;
    this.#dueAt.set(key, readyAtMs);
    this.#heap.push({ key, readyAtMs, order: this.#order++ });
    this.#arm();
  }

  addRateLimited(key: string): void {
    const failures = this.#requeues.get(key) ?? 0;
    this.#requeues.set(key, failures + 1);
    this.addAfter(key, Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** failures));
  }

  forget(key: string): void {
    this.#requeues.delete(key);
  }

  numRequeues(key: string): number {
    return this.#requeues.get(key) ?? 0;
  }

  get(): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      this.#handOut();
    });
  }

  done(key: string): void {
    if (!this.#processing.delete(key)) return;
    if (this.#again.delete(key)) {
      this.#ready.add(key);
      this.#handOut();
    }
  }

  shutDown(): void {
    this.#down = true;
    this.#env.timers.clear(this.#timer);
    this.#dueAt.clear();
    this.#handOut();
  }

  snapshot(): ReturnType<WorkQueue["snapshot"]> {
    const now = this.#env.clock.monotonic();
    const keys = [...this.#ready].map((key) => ({ key, requeues: this.numRequeues(key), readyInMs: 0 }));
    const delayed = [...this.#dueAt]
      .toSorted((a, b) => a[1] - b[1])
      .map(([key, dueMs]) => ({ key, requeues: this.numRequeues(key), readyInMs: Math.max(0, dueMs - now) }));
    return { keys: [...keys, ...delayed], processing: [...this.#processing] };
  }

  #handOut(): void {
    while (this.#waiters.length > 0) {
      const [key] = this.#ready;
      if (key === undefined) break;
      this.#ready.delete(key);
      this.#processing.add(key);
      this.#waiters.shift()?.(key);
    }
    if (!this.#down || this.#ready.size > 0) return;
    for (const resolve of this.#waiters.splice(0)) resolve(undefined);
  }

  #arm(): void {
    const next = this.#heap.peek();
    if (next === undefined || next.readyAtMs >= this.#timerAtMs) return;
    this.#env.timers.clear(this.#timer);
    this.#timerAtMs = next.readyAtMs;
    this.#timer = this.#env.timers.setTimeout(() => this.#release(), next.readyAtMs - this.#env.clock.monotonic());
  }

  #release(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const now = this.#env.clock.monotonic();
    for (let next = this.#heap.peek(); next !== undefined; next = this.#heap.peek()) {
      const current = this.#dueAt.get(next.key) === next.readyAtMs;
      if (current && next.readyAtMs > now) break;
      this.#heap.pop();
      if (!current) continue;
      this.#dueAt.delete(next.key);
      this.add(next.key);
    }
    this.#arm();
  }
}

/** An empty queue; `name` labels what is said about it. */
export function createWorkQueue(deps: { readonly env: Env; readonly name: string }): WorkQueue {
  return new Queue(deps.env);
}
