// Audit events that are sent in batches. Guarantees: a request never waits for them; a batch goes when it is full, or when its
// time has passed; not more batches a second than allowed; what comes while the buffer is full is lost and counted. Closing
// sends what is left.
// https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#batching
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { AuditBackend } from "./auditor.ts";
import type { Deliver } from "./delivery.ts";

export interface BatchOptions {
  /** Events that wait at most. */
  readonly bufferSize: number;
  /** Events of one batch at most. */
  readonly maxSize: number;
  /** How long an event waits for its batch to fill. */
  readonly maxWaitMs: number;
  /** Batches a second, and how many at once after a pause; undefined: no limit. */
  readonly throttle: { readonly qps: number; readonly burst: number } | undefined;
  /** A batch waits until the one before it has arrived. */
  readonly ordered: boolean;
}

export class AuditBatches implements AuditBackend {
  readonly waits = false;
  readonly #options: BatchOptions;
  readonly #deliver: Deliver;
  readonly #env: Env;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  readonly #sending = new Set<Promise<void>>();
  readonly #running: Promise<void>;
  #buffer: string[] = [];
  #dropped = 0;
  #wake: (() => void) | undefined;
  /** Batches that may go now, as far as the throttle is concerned, and when that was so. */
  #allowed: { readonly count: number; readonly atMs: number };

  constructor(options: BatchOptions, deliver: Deliver, env: Env, logger: Logger) {
    this.#options = options;
    this.#deliver = deliver;
    this.#env = env;
    this.#logger = logger;
    this.#allowed = { count: options.throttle?.burst ?? 0, atMs: env.clock.monotonic() };
    this.#running = this.#run();
  }

  write(event: string): undefined {
    if (this.#closing.signal.aborted || this.#buffer.length >= this.#options.bufferSize) {
      this.#dropped++;
      return;
    }
    this.#buffer.push(event);
    if (this.#buffer.length === 1 || this.#buffer.length >= this.#options.maxSize) this.#wake?.();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake?.();
    await this.#running;
    await Promise.all(this.#sending);
    this.#tellDropped();
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      await this.#awaitBatch();
      await this.#sendSome();
    }
    while (this.#buffer.length > 0) await this.#sendSome();
  }

  /** Until a batch is full, or its time has passed since there was something to send. */
  async #awaitBatch(): Promise<void> {
    const { maxSize, maxWaitMs } = this.#options;
    if (this.#buffer.length === 0 && !this.#closing.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#buffer.length < maxSize && !this.#closing.signal.aborted) {
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      await this.#sleep(maxWaitMs, woken.signal);
    }
    this.#wake = undefined;
  }

  async #sendSome(): Promise<void> {
    this.#tellDropped();
    if (this.#buffer.length === 0) return;
    await this.#awaitTurn();
    const batch = this.#buffer.slice(0, this.#options.maxSize);
    this.#buffer = this.#buffer.slice(batch.length);
    const sending = this.#deliver(batch, this.#closing.signal)
      // Who delivers has told why.
      .catch(() => undefined)
      .finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
    // Others go while this one is on its way, where order does not matter.
    if (this.#options.ordered) await sending;
  }

  /** A token bucket. */
  async #awaitTurn(): Promise<void> {
    const { throttle } = this.#options;
    if (throttle === undefined) return;
    const nowMs = this.#env.clock.monotonic();
    const grown = this.#allowed.count + ((nowMs - this.#allowed.atMs) * throttle.qps) / 1_000;
    const count = Math.min(grown, throttle.burst) - 1;
    this.#allowed = { count, atMs: nowMs };
    if (count < 0) await this.#sleep((-count / throttle.qps) * 1_000, this.#closing.signal);
  }

  #tellDropped(): void {
    if (this.#dropped === 0) return;
    this.#logger.error({ dropped: this.#dropped }, "audit events were lost: audit buffer queue blocked");
    this.#dropped = 0;
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#env.timers.sleep(ms, signal).catch((error: unknown) => {
      if (!isAbort(error)) throw error;
    });
  }
}
