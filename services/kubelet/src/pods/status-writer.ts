// Writes pod statuses, many in one batch. Guarantees:
// - One write a pod at a time, always of its newest status; nothing is written where the server has it already.
// - A write never touches another pod of the same name: it carries the uid.
// - Failures are tried again until they succeed or the pod is gone.
// - No more are on their way at once than a server soon answers: the others wait here, where what happens to a pod meanwhile
//   costs no write of its own. A server that takes none is asked with one batch, after pauses, until it does, however many wait.
import type { Pod } from "@coxswain/api";
import { PODS } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import { batchOutcomes, type BatchOperation, type BatchOutcome, type ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import type { Env, TimerHandle } from "@coxswain/env";
import { failsForAll, ServerBackoff } from "../server-backoff.ts";

/** The server's answer; `error` is one that will not go away: the pod is gone, or another has its name. */
export type WriteOutcome = { readonly pod: Pod | undefined; readonly deleted: boolean } | { readonly error: Error };

/** What wants its pod written. */
export interface StatusSource {
  readonly key: string;
  /** The write that is due now; undefined where the server has everything. */
  nextWrite(): BatchOperation | undefined;
  written(outcome: WriteOutcome): void;
}

const MAX_BATCH = 200;
/** On their way at once; the client sends half of them, and has the others ready when the server answers. */
const MAX_BUSY = 1_000;
/** Before a write is tried again that the server refuses for its own sake; doubled each time. */
const FIRST_RETRY_MS = 1_000;
const MOST_RETRY_MS = 60_000;

export class StatusWriter {
  readonly #env: Env;
  readonly #client: ResourceClient;
  readonly #logger: Logger;
  readonly #dirty = new Set<StatusSource>();
  readonly #busy = new Set<StatusSource>();
  readonly #server: ServerBackoff;
  /** Refused for their own sake: how, and how long they wait. */
  readonly #refused = new Map<StatusSource, { readonly message: string; readonly retryMs: number }>();
  #scheduled = false;
  #pause: TimerHandle | undefined;
  #stopped = false;

  constructor(env: Env, client: ResourceClient, logger: Logger) {
    this.#env = env;
    this.#client = client;
    this.#logger = logger;
    this.#server = new ServerBackoff(env, logger, "statuses of pods");
  }

  /** The source may have something to write. */
  touch(source: StatusSource): void {
    this.#dirty.add(source);
    this.#schedule();
  }

  forget(source: StatusSource): void {
    this.#dirty.delete(source);
    this.#refused.delete(source);
  }

  stop(): void {
    this.#stopped = true;
    this.#dirty.clear();
    this.#refused.clear();
    this.#env.timers.clear(this.#pause);
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped || this.#pause !== undefined) return;
    const { waitMs } = this.#server;
    if (waitMs > 0) {
      this.#pause = this.#env.timers.setTimeout(() => {
        this.#pause = undefined;
        this.#schedule();
      }, waitMs);
      return;
    }
    this.#scheduled = true;
    this.#env.timers.defer(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #room(): number {
    if (!this.#server.away) return MAX_BUSY - this.#busy.size;
    return this.#server.waitMs > 0 || this.#busy.size > 0 ? 0 : MAX_BATCH;
  }

  #flush(): void {
    let room = this.#room();
    let sources: StatusSource[] = [];
    let operations: BatchOperation[] = [];
    const send = (): void => {
      if (sources.length > 0) void this.#send(sources, operations);
      sources = [];
      operations = [];
    };
    for (const source of this.#dirty) {
      if (room <= 0) break;
      if (this.#busy.has(source)) continue;
      this.#dirty.delete(source);
      const operation = source.nextWrite();
      if (operation === undefined) continue;
      room--;
      this.#busy.add(source);
      sources.push(source);
      operations.push(operation);
      if (sources.length >= MAX_BATCH) send();
    }
    send();
  }

  async #send(sources: readonly StatusSource[], operations: readonly BatchOperation[]): Promise<void> {
    const { round } = this.#server;
    const outcomes = await batchOutcomes<Pod>(this.#client, operations);
    if (this.#stopped) return;
    const failures: Error[] = [];
    for (const [at, source] of sources.entries()) {
      this.#busy.delete(source);
      const outcome = outcomes[at] ?? { ok: false, error: new Error("the batch gave no answer") };
      const failure = this.#settle(source, operations[at]?.op === "delete", outcome);
      if (failure !== undefined) failures.push(failure);
    }
    const [first] = failures;
    if (first === undefined) this.#server.succeeded();
    else this.#server.failed(round, failures.length, first, failures.length < sources.length);
    if (this.#dirty.size > 0) this.#schedule();
  }

  /** Gives the error where the write failed for the server's sake; it is to be tried again then. */
  #settle(source: StatusSource, deleted: boolean, outcome: BatchOutcome<Pod>): Error | undefined {
    if (outcome.ok) {
      this.#refused.delete(source);
      source.written({ pod: outcome.object, deleted });
      return undefined;
    }
    const { error } = outcome;
    // A Conflict of a write without a version: the name belongs to another pod now.
    if (isReason(error, "NotFound", "Conflict")) {
      this.#refused.delete(source);
      source.written({ error });
      return undefined;
    }
    if (!failsForAll(error)) {
      this.#retryRefused(source, error);
      return undefined;
    }
    this.#dirty.add(source);
    return error;
  }

  #retryRefused(source: StatusSource, error: Error): void {
    const before = this.#refused.get(source);
    const retryMs = before === undefined ? FIRST_RETRY_MS : Math.min(2 * before.retryMs, MOST_RETRY_MS);
    this.#refused.set(source, { message: error.message, retryMs });
    if (before?.message !== error.message) {
      this.#logger.warn(
        { pod: source.key, err: error, resource: PODS.resource },
        "could not write a pod's status, trying again",
      );
    }
    const again = (): void => {
      // It has been forgotten, or has succeeded with other news meanwhile.
      if (this.#refused.has(source)) this.touch(source);
    };
    this.#env.timers.setTimeout(again, retryMs * (0.5 + this.#env.random.float()));
  }
}
