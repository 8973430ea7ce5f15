// Audit events that are sent in batches. Guarantees: a request never waits for them; a batch goes when it is full, or when its
// time has passed; not more batches a second than allowed; a batch that is not taken is sent again, later each time, and is
// lost after the last attempt; what comes while the buffer is full is lost and counted. Closing sends what is left.
// https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#batching
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { AuditBackend } from "./auditor.ts";

export interface BatchOptions {
  /** Events that wait at most. */
  readonly bufferSize: number;
  /** Events of one batch at most. */
  readonly maxSize: number;
  /** How long an event waits for its batch to fill. */
  readonly maxWaitMs: number;
  /** Batches a second, and how many at once after a pause; undefined: no limit. */
  readonly throttle: { readonly qps: number; readonly burst: number } | undefined;
  /** Before the second attempt; each further one waits half as long again. */
  readonly initialBackoffMs: number;
}

/** Sends one batch of JSON texts. Rejects where it was not taken. */
export type SendBatch = (events: readonly string[]) => Promise<void>;

const ATTEMPTS = 5;
const BACKOFF_FACTOR = 1.5;
const BACKOFF_JITTER = 0.2;

export class AuditBatches implements AuditBackend {
  readonly #options: BatchOptions;
  readonly #send: SendBatch;
  readonly #env: Env;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  readonly #sending = new Set<Promise<void>>();
  readonly #running: Promise<void>;
  #buffer: string[] = [];
  #dropped = 0;
  #full: (() => void) | undefined;
  /** Batches that may go now, as far as the throttle is concerned, and when that was so. */
  #allowed: { readonly count: number; readonly atMs: number };

  constructor(options: BatchOptions, send: SendBatch, env: Env, logger: Logger) {
    this.#options = options;
    this.#send = send;
    this.#env = env;
    this.#logger = logger;
    this.#allowed = { count: options.throttle?.burst ?? 0, atMs: env.clock.monotonic() };
    this.#running = this.#run();
  }

  write(event: string): void {
    if (this.#closing.signal.aborted || this.#buffer.length >= this.#options.bufferSize) {
      this.#dropped++;
      return;
    }
    this.#buffer.push(event);
    if (this.#buffer.length >= this.#options.maxSize) this.#full?.();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#full?.();
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

  /** Until a batch is full or its time has passed. */
  async #awaitBatch(): Promise<void> {
    const { maxSize, maxWaitMs } = this.#options;
    if (this.#buffer.length >= maxSize || this.#closing.signal.aborted) return;
    const woken = new AbortController();
    this.#full = () => woken.abort();
    await this.#sleep(maxWaitMs, woken.signal);
    this.#full = undefined;
  }

  async #sendSome(): Promise<void> {
    this.#tellDropped();
    if (this.#buffer.length === 0) return;
    await this.#awaitTurn();
    const batch = this.#buffer.slice(0, this.#options.maxSize);
    this.#buffer = this.#buffer.slice(batch.length);
    // Others go while this one is on its way.
    const sending = this.#deliver(batch).finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
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

  async #deliver(batch: readonly string[]): Promise<void> {
    let waitMs = this.#options.initialBackoffMs;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#send(batch);
        return;
      } catch (error) {
        // Who closes waits for one attempt more, not for all of them.
        const last = attempt >= ATTEMPTS || this.#closing.signal.aborted;
        const told = { error: String(error), events: batch.length, attempt };
        if (last) return this.#logger.error(told, "audit events were lost: the webhook does not take them");
        this.#logger.warn(told, "the audit webhook does not take events, will try again");
      }
      await this.#sleep(waitMs * (1 + this.#env.random.float() * BACKOFF_JITTER), this.#closing.signal);
      waitMs *= BACKOFF_FACTOR;
    }
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
