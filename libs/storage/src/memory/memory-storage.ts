// Storage in memory: one client's handle on a MemoryStore. The fast double of etcd for tests and the simulator.
// Failpoints: storage.commit (fails before anything is written), storage.commit.reply (written, but the answer is lost:
// Timeout), storage.read, storage.watch (an error cuts the watch for a moment, a delay holds its batches back).
import { AbortError, FailpointError, type Env, type TimerHandle } from "@coxswain/env";
import { endOfRevision, StatusError } from "@coxswain/apimachinery";
import type { Candidate, Storage, WatchHandler } from "../contract.ts";
import { checkTransaction } from "../transaction.ts";
import type { Contender } from "./elections.ts";
import { MemoryStore, unavailable } from "./memory-store.ts";

const WATCH_RETRY_MS = 50;

/** A Storage with a cable that can be pulled, for this client alone. */
export interface MemoryStorage extends Storage {
  readonly store: MemoryStore;
  readonly connected: boolean;
  disconnect(): void;
  reconnect(): void;
}

/**
 * A client of `store`, or of a new store of its own, which begins at `firstRevision`.
 * `disconnect()` on the handle cuts this client off; on the store, everyone.
 */
export function createMemoryStorage(options: { env: Env; store?: MemoryStore; firstRevision?: bigint }): MemoryStorage {
  return new MemoryClient(options.env, options.store ?? new MemoryStore(options));
}

class MemoryClient implements MemoryStorage {
  readonly store: MemoryStore;
  readonly #env: Env;
  readonly #closed = new AbortController();
  #plugged = true;

  constructor(env: Env, store: MemoryStore) {
    this.#env = env;
    this.store = store;
  }

  get connected(): boolean {
    return this.#plugged && this.store.connected && !this.#closed.signal.aborted;
  }

  disconnect(): void {
    this.#plugged = false;
    this.store.notify();
  }

  reconnect(): void {
    this.#plugged = true;
    this.store.notify();
    this.store.elections.electAll();
  }

  async #hit(failpoint: string): Promise<void> {
    try {
      await this.#env.failpoints.hit(failpoint);
    } catch (error) {
      if (error instanceof FailpointError) throw unavailable();
      throw error;
    }
    if (!this.connected) throw unavailable();
  }

  async get(key: string): ReturnType<Storage["get"]> {
    await this.#hit("storage.read");
    return this.store.history.get(key);
  }

  async list(options: Parameters<Storage["list"]>[0]): ReturnType<Storage["list"]> {
    await this.#hit("storage.read");
    return this.store.history.list(options);
  }

  async commit(transaction: Parameters<Storage["commit"]>[0]): ReturnType<Storage["commit"]> {
    const bytes = checkTransaction(transaction);
    await this.#hit("storage.commit");
    const result = await this.store.enqueue(transaction, bytes);
    try {
      await this.#env.failpoints.hit("storage.commit.reply");
    } catch (error) {
      if (!(error instanceof FailpointError)) throw error;
      throw new StatusError("Timeout", 504, "the store did not answer in time; the write may have landed");
    }
    // A cable pulled between the write and its answer.
    if (!this.connected) {
      throw new StatusError("Timeout", 504, "the store was lost before it answered; the write may have landed");
    }
    return result;
  }

  async currentRv(): Promise<bigint> {
    await this.#hit("storage.read");
    return endOfRevision(this.store.history.revision);
  }

  async compact(rv: bigint): Promise<void> {
    await this.#hit("storage.commit");
    this.store.history.compact(rv);
  }

  async ping(): Promise<void> {
    await this.#hit("storage.read");
  }

  async close(): Promise<void> {
    this.#closed.abort(new AbortError("the storage was closed"));
    this.store.notify();
    await Promise.resolve();
  }

  async watch(sinceRv: bigint, handler: WatchHandler, signal: AbortSignal): Promise<void> {
    const ended = AbortSignal.any([signal, this.#closed.signal]);
    let rv = sinceRv;
    let wasConnected = true;
    while (!ended.aborted) {
      const up = this.connected && (await this.#passes());
      if (ended.aborted) return;
      if (up !== wasConnected) {
        wasConnected = up;
        handler.onConnection?.(up);
      }
      if (!up && this.connected) {
        await this.#env.timers.sleep(WATCH_RETRY_MS, ended).catch(ignoreAbort);
        continue;
      }
      const batch = up && this.connected ? this.store.history.after(rv) : undefined;
      if (batch === undefined) {
        // Nothing new since the check above: it ran in this same turn of the loop.
        if (up === this.connected) await this.#change(ended);
        continue;
      }
      rv = batch.throughRv;
      handler.onBatch(batch);
    }
  }

  /** False where a fault cuts the watch. */
  async #passes(): Promise<boolean> {
    try {
      await this.#env.failpoints.hit("storage.watch");
      return true;
    } catch (error) {
      if (error instanceof FailpointError) return false;
      throw error;
    }
  }

  #change(ended: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        stop();
        ended.removeEventListener("abort", done);
        resolve();
      };
      const stop = this.store.onChange(done);
      ended.addEventListener("abort", done, { once: true });
    });
  }

  candidate(name: string, id: string, ttlMs: number): Candidate {
    return { campaign: (signal) => this.#campaign(name, id, ttlMs, signal) };
  }

  #campaign(name: string, id: string, ttlMs: number, signal: AbortSignal): ReturnType<Candidate["campaign"]> {
    const { elections } = this.store;
    return new Promise((resolve, reject) => {
      const ended = AbortSignal.any([signal, this.#closed.signal]);
      const contender: Contender = {
        id,
        reachable: () => this.connected,
        elected: (term) => {
          ended.removeEventListener("abort", abandon);
          resolve(this.#lead(name, contender, ttlMs, term));
        },
      };
      const abandon = (): void => {
        elections.leave(name, contender);
        reject(new AbortError());
      };
      if (ended.aborted) {
        reject(new AbortError());
        return;
      }
      ended.addEventListener("abort", abandon, { once: true });
      elections.join(name, contender, ttlMs);
    });
  }

  #lead(name: string, contender: Contender, ttlMs: number, term: bigint): Awaited<ReturnType<Candidate["campaign"]>> {
    const { timers } = this.#env;
    const lost = new AbortController();
    let deadline: TimerHandle | undefined;
    const end = (): void => {
      timers.clear(deadline);
      timers.clear(renewals);
      this.#closed.signal.removeEventListener("abort", resign);
      lost.abort(new AbortError("the lease was lost"));
    };
    const arm = (): void => {
      timers.clear(deadline);
      // Before the store's own deadline: two never believe that they lead.
      deadline = timers.setTimeout(end, ttlMs - Math.max(1, Math.floor(ttlMs / 10)));
    };
    const renew = (): void => {
      if (!this.connected) return;
      if (this.store.elections.renew(name, contender)) arm();
      else end();
    };
    const resign = (): void => {
      end();
      this.store.elections.leave(name, contender);
    };
    const renewals = timers.setInterval(renew, Math.max(1, Math.floor(ttlMs / 3)));
    arm();
    this.#closed.signal.addEventListener("abort", resign, { once: true });
    return {
      lost: lost.signal,
      term,
      resign: async () => {
        resign();
        await Promise.resolve();
      },
    };
  }
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof AbortError)) throw error;
}
