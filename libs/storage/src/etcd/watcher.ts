// The watch loop over etcd's whole keyspace. Guarantee: every event after `sinceRv` once, in order, in whole revisions,
// however often the stream breaks. It resumes after the last revision that it has delivered, never at what a header says,
// because a header may be ahead of the events.
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { endOfRevision, placeOf, revisionOf } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import { CompactedError, type StorageEvent, type WatchHandler } from "../contract.ts";
import type { Connection } from "./connection.ts";
import { decodeRevision, type Keyspace, type RawEvent } from "./encoding.ts";
import { RANGE, type WatchRequest } from "./rpc.ts";
import { WATCH_CHANGES, type WatchAnswer } from "./watch-message.ts";

/** After this long without a message etcd is asked for one; after twice as long the stream counts as dead. */
const SILENCE_MS = 5_000;
const BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 1_000;
const EVERYTHING = Buffer.from([0]);

export interface WatcherDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly connection: Connection;
  readonly keyspace: Keyspace;
}

/** The revision at which etcd has to start so that nothing after `sinceRv` is missed. An empty etcd is at 1. */
export function startRevision(sinceRv: bigint): bigint {
  const revision = placeOf(sinceRv) === 1023 ? revisionOf(sinceRv) + 1n : revisionOf(sinceRv);
  return revision < 2n ? 2n : revision;
}

export class Watcher {
  readonly #deps: WatcherDeps;
  readonly #handler: WatchHandler;
  readonly #signal: AbortSignal;
  #rv: bigint;
  #connected = true;
  #attempt = 0;
  /** Of a revision of which more may come in the stream's next response. */
  #held: readonly RawEvent[] = [];

  constructor(deps: WatcherDeps, sinceRv: bigint, handler: WatchHandler, signal: AbortSignal) {
    this.#deps = deps;
    this.#rv = sinceRv;
    this.#handler = handler;
    this.#signal = signal;
  }

  /** Resolves on abort, rejects with CompactedError, or with what the handler throws. */
  async run(): Promise<void> {
    const { env, logger } = this.#deps;
    while (!this.#signal.aborted) {
      const failure = await this.#follow();
      if (this.#signal.aborted) return;
      if (failure instanceof CompactedError || failure instanceof HandlerError) {
        throw failure instanceof HandlerError ? failure.cause : failure;
      }
      this.#setConnected(false);
      logger.warn({ error: failure.message, rv: String(this.#rv) }, "etcd watch was cut, resuming");
      const backoff = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** Math.min(10, this.#attempt++));
      await env.timers.sleep(backoff * (0.5 + env.random.float() / 2), this.#signal).catch(() => undefined);
    }
  }

  #setConnected(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    this.#handler.onConnection?.(connected);
  }

  /** One stream, from opening to its end; resolves with the reason. */
  async #follow(): Promise<Error> {
    let stream: ClientDuplexStream<WatchRequest, WatchAnswer>;
    try {
      stream = await this.#deps.connection.stream(WATCH_CHANGES);
    } catch (error) {
      return error as Error;
    }
    if (this.#signal.aborted) {
      stream.on("error", () => undefined);
      stream.cancel();
      return new Error("aborted");
    }
    this.#held = [];
    return new Promise((resolve) => {
      let ended = false;
      const end = (reason: Error): void => {
        if (ended) return;
        ended = true;
        this.#deps.env.timers.clear(silence);
        this.#signal.removeEventListener("abort", onAbort);
        stream.cancel();
        resolve(reason);
      };
      const onAbort = (): void => end(new Error("aborted"));
      let quietTurns = 0;
      const silence = this.#deps.env.timers.setInterval(() => {
        quietTurns++;
        if (quietTurns > 2) end(new Error(`no message for ${quietTurns * SILENCE_MS} ms`));
        else stream.write({ progress_request: {} });
      }, SILENCE_MS);
      this.#signal.addEventListener("abort", onAbort, { once: true });
      stream.on("error", end);
      stream.on("end", () => end(new Error("the stream ended")));
      stream.on("data", (response: WatchAnswer) => {
        quietTurns = 0;
        if (ended) return;
        const failure = this.#take(response, end);
        if (failure !== undefined) end(failure);
      });
      stream.write({
        create_request: {
          key: EVERYTHING,
          range_end: EVERYTHING,
          start_revision: String(startRevision(this.#rv)),
          // Else a reader that is behind gets up to a thousand revisions in one response, hundreds of megabytes.
          fragment: true,
        },
      });
    });
  }

  #take(response: WatchAnswer, end: (reason: Error) => void): Error | undefined {
    if (response.compactRevision !== 0n) return new CompactedError(endOfRevision(response.compactRevision));
    if (response.canceled) return new Error(`etcd cancelled the watch: ${response.cancelReason}`);
    if (response.created) {
      void this.#established(end);
      return undefined;
    }
    if (response.events.length === 0) return undefined;
    try {
      this.#deliver(this.#whole(response));
      return undefined;
    } catch (error) {
      return new HandlerError(error);
    }
  }

  /** The events of the revisions that the response completes. */
  #whole({ events, fragment }: WatchAnswer): readonly RawEvent[] {
    const all = this.#held.length === 0 ? events : [...this.#held, ...events];
    this.#held = [];
    if (!fragment) return all;
    const last = all.at(-1)!.revision;
    let to = all.length;
    while (to > 0 && all[to - 1]!.revision === last) to--;
    this.#held = all.slice(to);
    return all.slice(0, to);
  }

  async #established(end: (reason: Error) => void): Promise<void> {
    try {
      await this.#checkHistory(startRevision(this.#rv));
      this.#attempt = 0;
      this.#setConnected(true);
    } catch (error) {
      end(error as Error);
    }
  }

  /** etcd starts without a word at the compacted revision itself, whose deletes are gone: the revision before must be there. */
  async #checkHistory(start: bigint): Promise<void> {
    const revision = start - 1n;
    try {
      await this.#deps.connection.read(
        RANGE,
        { key: EVERYTHING, count_only: true, serializable: true, revision: String(revision) },
        revision,
      );
    } catch (error) {
      // A member that lags behind does not know the revision yet: it has not compacted it either.
      if (error instanceof Error && error.message.startsWith("Too large resource version")) return;
      throw error;
    }
  }

  #deliver(raw: readonly RawEvent[]): void {
    const events: StorageEvent[] = [];
    let through = 0n;
    for (let from = 0; from < raw.length;) {
      const revision = raw[from]!.revision;
      let to = from + 1;
      while (to < raw.length && raw[to]!.revision === revision) to++;
      const decoded = decodeRevision(this.#deps.keyspace, raw.slice(from, to), (key) =>
        this.#deps.logger.warn({ key }, "etcd holds a value that this store did not write; it is left out"),
      );
      for (const event of decoded) if (event.rv > this.#rv) events.push(event);
      through = endOfRevision(revision);
      from = to;
    }
    if (through <= this.#rv) return;
    this.#rv = through;
    this.#handler.onBatch({ events, throughRv: through });
  }
}

/** Tells a handler's own failure, which ends the watch, from the stream's. */
class HandlerError extends Error {
  constructor(cause: unknown) {
    super("the watch handler failed", { cause });
  }
}
