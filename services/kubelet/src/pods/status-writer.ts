// Writes pod statuses, many in one batch. Guarantees:
// - One write a pod at a time, always of its newest status; nothing is written where the server has it already.
// - A write never touches another pod of the same name: it carries the uid.
// - Failures are tried again until they succeed or the pod is gone.
import type { Pod } from "@coxswain/api";
import { PODS } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import type { BatchOperation, BatchOutcome, ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";

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
const RETRY_MS = 1_000;

export class StatusWriter {
  readonly #env: Env;
  readonly #client: ResourceClient;
  readonly #logger: Logger;
  readonly #dirty = new Set<StatusSource>();
  readonly #busy = new Set<StatusSource>();
  #scheduled = false;
  #stopped = false;

  constructor(env: Env, client: ResourceClient, logger: Logger) {
    this.#env = env;
    this.#client = client;
    this.#logger = logger;
  }

  /** The source may have something to write. */
  touch(source: StatusSource): void {
    this.#dirty.add(source);
    this.#schedule();
  }

  forget(source: StatusSource): void {
    this.#dirty.delete(source);
  }

  stop(): void {
    this.#stopped = true;
    this.#dirty.clear();
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    this.#env.timers.defer(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    let sources: StatusSource[] = [];
    let operations: BatchOperation[] = [];
    const send = (): void => {
      if (sources.length > 0) void this.#send(sources, operations);
      sources = [];
      operations = [];
    };
    for (const source of this.#dirty) {
      if (this.#busy.has(source)) continue;
      this.#dirty.delete(source);
      const operation = source.nextWrite();
      if (operation === undefined) continue;
      this.#busy.add(source);
      sources.push(source);
      operations.push(operation);
      if (sources.length >= MAX_BATCH) send();
    }
    send();
  }

  async #send(sources: readonly StatusSource[], operations: readonly BatchOperation[]): Promise<void> {
    let outcomes: readonly BatchOutcome<Pod>[];
    try {
      outcomes = await this.#client.batch<Pod>(operations);
    } catch (error) {
      outcomes = operations.map(() => ({ ok: false, error: error as Error }));
    }
    for (const [at, source] of sources.entries()) {
      this.#busy.delete(source);
      this.#settle(
        source,
        operations[at]?.op === "delete",
        outcomes[at] ?? { ok: false, error: new Error("the batch gave no answer") },
      );
    }
    if (this.#dirty.size > 0) this.#schedule();
  }

  #settle(source: StatusSource, deleted: boolean, outcome: BatchOutcome<Pod>): void {
    if (this.#stopped) return;
    if (outcome.ok) source.written({ pod: outcome.object, deleted });
    // A Conflict of a write without a version: the name belongs to another pod now.
    else if (isReason(outcome.error, "NotFound", "Conflict")) source.written({ error: outcome.error });
    else {
      this.#logger.warn(
        { pod: source.key, err: outcome.error, resource: PODS.resource },
        "could not write a pod's status",
      );
      this.#env.timers.setTimeout(() => this.touch(source), RETRY_MS * (0.5 + this.#env.random.float()));
    }
  }
}
