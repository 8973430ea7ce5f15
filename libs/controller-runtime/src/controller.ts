// Runs one controller's reconcile over its queue of keys. Guarantees:
// - A key is never reconciled twice at once; a failure requeues it with backoff, a success forgets its failures.
// - Paused, nothing is reconciled except by `step`; keys go on being collected.
// - It may run again after it was stopped: keys that are open then are kept.
// - `run` settles only when every reconcile that it started has settled.
import { createWorkQueue, type WorkQueue } from "@coxswain/client";
import { noMetrics } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import type { Controller, ControllerDeps, ControllerSpec, ControllerState } from "./contract.ts";

/** Seconds, as upstream's work queues have them. */
const DURATION_BUCKETS = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10];

/** What is counted of one queue. https://kubernetes.io/docs/reference/instrumentation/metrics/ */
function queueMetrics({ metrics = noMetrics }: ControllerDeps) {
  const labels = ["name"];
  const worked = "How long a key was worked on, seconds.";
  return {
    adds: metrics.counter("workqueue_adds_total", "Keys that were put into the queue.", labels),
    retries: metrics.counter("workqueue_retries_total", "Keys that were put back after a failure.", labels),
    work: metrics.histogram("workqueue_work_duration_seconds", worked, DURATION_BUCKETS, labels),
  };
}

class RunningController implements Controller {
  readonly name: string;
  readonly #spec: ControllerSpec;
  readonly #deps: ControllerDeps;
  readonly #metrics: ReturnType<typeof queueMetrics>;
  #queue: WorkQueue;
  #resumed: { promise: Promise<void>; resolve: () => void } | undefined;
  #reconciles = 0;
  #errors = 0;
  #lastError = "";
  #signal = new AbortController().signal;

  constructor(spec: ControllerSpec, deps: ControllerDeps) {
    this.name = spec.name;
    this.#spec = spec;
    this.#deps = { ...deps, logger: deps.logger.child({ controller: spec.name }) };
    this.#metrics = queueMetrics(deps);
    this.#queue = createWorkQueue({ env: deps.env, name: spec.name });
  }

  enqueue(key: string): void {
    const before = this.#queue.length;
    this.#queue.add(key);
    if (this.#queue.length > before) this.#metrics.adds.inc({ name: this.name });
  }

  enqueueAfter(key: string, ms: number): void {
    this.#queue.addAfter(key, ms);
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    const queue = this.#queue;
    const stop = (): void => {
      this.#handOver(queue);
      queue.shutDown();
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    await Promise.all(Array.from({ length: this.#spec.workers ?? 1 }, () => this.#work(queue, signal)));
  }

  /** Keeps all keys for the next run: a process that loses leadership and wins it again must not forget any. */
  #handOver(old: WorkQueue): void {
    const { keys, processing } = old.snapshot();
    this.#queue = createWorkQueue({ env: this.#deps.env, name: this.name });
    this.#held.length = 0;
    for (const key of [...processing, ...keys.map((entry) => entry.key)]) this.#queue.add(key);
    const waiting = this.#resumed;
    if (waiting === undefined) return;
    this.#resumed = Promise.withResolvers<void>();
    waiting.resolve();
  }

  pause(): void {
    this.#resumed ??= Promise.withResolvers<void>();
  }

  resume(): void {
    this.#resumed?.resolve();
    this.#resumed = undefined;
  }

  async step(): Promise<{ key: string; error: string }> {
    if (this.#resumed === undefined) throw new Error(`controller ${this.name} is not paused`);
    const queue = this.#queue;
    const key = this.#held.shift() ?? (queue.length > 0 ? await queue.get() : undefined);
    if (key === undefined) return { key: "", error: "" };
    return { key, error: await this.#reconcile(queue, key, this.#signal) };
  }

  state(): ControllerState {
    return {
      name: this.name,
      paused: this.#resumed !== undefined,
      queueDepth: this.#queue.length + this.#held.length,
      reconciles: this.#reconciles,
      errors: this.#errors,
      lastError: this.#lastError,
    };
  }

  queue(): ReturnType<Controller["queue"]> {
    const { keys, processing } = this.#queue.snapshot();
    const held = this.#held.map((key) => ({ key, requeues: this.#queue.numRequeues(key), readyInMs: 0 }));
    const waiting = new Set(this.#held);
    return { keys: [...held, ...keys], processing: processing.filter((key) => !waiting.has(key)) };
  }

  // Keys that a worker had taken when the pause began: they wait here, where `step` finds them.
  readonly #held: string[] = [];

  async #work(queue: WorkQueue, signal: AbortSignal): Promise<void> {
    for (;;) {
      while (this.#resumed !== undefined && !signal.aborted) await this.#resumed.promise;
      const key = (signal.aborted ? undefined : this.#held.shift()) ?? (await queue.get());
      if (key === undefined) return;
      if (signal.aborted) queue.done(key);
      else if (this.#resumed === undefined) await this.#reconcile(queue, key, signal);
      else this.#held.push(key);
    }
  }

  /** The error's text, or "". */
  async #reconcile(queue: WorkQueue, key: string, signal: AbortSignal): Promise<string> {
    this.#reconciles++;
    const startedMs = this.#deps.env.clock.monotonic();
    let failure = "";
    try {
      const result = await this.#spec.reconcile(key, signal);
      queue.forget(key);
      const after = result?.requeueAfterMs;
      if (after !== undefined) queue.addAfter(key, after);
    } catch (error) {
      if (!(signal.aborted && isAbort(error))) failure = this.#noteFailure(queue, key, error);
    } finally {
      queue.done(key);
      this.#metrics.work.observe((this.#deps.env.clock.monotonic() - startedMs) / 1_000, { name: this.name });
    }
    return failure;
  }

  #noteFailure(queue: WorkQueue, key: string, error: unknown): string {
    this.#errors++;
    this.#lastError = error instanceof Error ? error.message : String(error);
    this.#deps.logger.warn({ key, err: error, requeues: queue.numRequeues(key) }, "reconcile failed");
    queue.addRateLimited(key);
    this.#metrics.retries.inc({ name: this.name });
    return this.#lastError;
  }
}

/** A controller that is not running yet. */
export function createController(spec: ControllerSpec, deps: ControllerDeps): Controller {
  return new RunningController(spec, deps);
}
