// Storage in etcd: the truth. Reads and commits reject within a bounded time while etcd is away, and watches and
// elections resume by themselves when it is back.
import { endOfRevision, revisionOf } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import { AbortError, FailpointError, type Env } from "@coxswain/env";
import type { Candidate, ListPage, Storage, StoredValue, WatchHandler } from "../contract.ts";
import { checkTransaction } from "../transaction.ts";
import { Committer } from "./committer.ts";
import { Connection, type EtcdTls, unreachable } from "./connection.ts";
import { createCandidate } from "./election.ts";
import { createKeyspace, decodeStored, type Keyspace } from "./encoding.ts";
import { Fences } from "./fences.ts";
import { COMPACT, RANGE, type RangeResponse } from "./rpc.ts";
import { SharedReads } from "./shared-reads.ts";
import { Watcher } from "./watcher.ts";

const ANY_KEY = Buffer.from([0]);
/** How long a storage that closes waits for etcd to take its leases back, so that another leads at once. */
const RESIGN_MS = 500;

export interface EtcdStorageOptions {
  readonly env: Env;
  readonly logger: Logger;
  /** "http://127.0.0.1:2379", or without the scheme, or "unix:/path" of a socket. */
  readonly endpoints: readonly string[];
  /** PEM. Absent: plain text, for loopback and sockets only. */
  readonly tls?: EtcdTls;
  /** In front of every key. */
  readonly prefix?: string;
  readonly groupCommit?: boolean;
  /** The longest that a read or a commit takes; 5,000 where unset. */
  readonly deadlineMs?: number;
}

/** A client of etcd. Connects on first use. Failpoints: storage.commit, storage.read. */
export function createEtcdStorage(options: EtcdStorageOptions): Storage {
  return new EtcdStorage(options);
}

/** The first key after all that start with `prefix`; all keys where there is none. */
function prefixEnd(prefix: Buffer): Buffer {
  for (let at = prefix.length - 1; at >= 0; at--) {
    if (prefix[at]! < 0xff) {
      const end = Buffer.from(prefix.subarray(0, at + 1));
      end[at] = prefix[at]! + 1;
      return end;
    }
  }
  return ANY_KEY;
}

class EtcdStorage implements Storage {
  readonly #env: Env;
  readonly #logger: Logger;
  readonly #keyspace: Keyspace;
  readonly #connection: Connection;
  readonly #committer: Committer;
  readonly #fences: Fences;
  readonly #resigning = new Set<Promise<void>>();
  readonly #closed = new AbortController();
  readonly #watches = new Set<Promise<void>>();
  readonly #revisions: SharedReads<bigint>;

  constructor(options: EtcdStorageOptions) {
    const { env, tls, endpoints } = options;
    const deadlineMs = options.deadlineMs ?? 5_000;
    this.#env = env;
    this.#logger = options.logger;
    this.#keyspace = createKeyspace(options.prefix ?? "");
    this.#connection = new Connection({ env, endpoints, tls, deadlineMs });
    const { groupCommit: grouping = true } = options;
    this.#committer = new Committer({ env, connection: this.#connection, keyspace: this.#keyspace, grouping });
    this.#revisions = new SharedReads(env, () => this.#readRevision());
    this.#fences = new Fences((key) => this.get(key));
  }

  /** Undefined where there is nothing to wait for. @throws StatusError ServiceUnavailable where the storage is closed */
  #hit(failpoint: string): Promise<void> | undefined {
    if (this.#closed.signal.aborted) throw unreachable(new Error("the storage is closed"));
    return this.#env.failpoints.armed(failpoint) ? this.#injected(failpoint) : undefined;
  }

  async #injected(failpoint: string): Promise<void> {
    try {
      await this.#env.failpoints.hit(failpoint);
    } catch (error) {
      throw error instanceof FailpointError ? unreachable(error) : error;
    }
  }

  async get(key: string): Promise<StoredValue | undefined> {
    await this.#hit("storage.read");
    const { kvs } = await this.#connection.read(RANGE, { key: this.#keyspace.encode(key) });
    return kvs[0] === undefined ? undefined : decodeStored(key, kvs[0].value, BigInt(kvs[0].mod_revision));
  }

  async list(options: Parameters<Storage["list"]>[0]): Promise<ListPage> {
    await this.#hit("storage.read");
    const { prefix, startAfter = "", rv } = options;
    const revision = rv === undefined ? undefined : revisionOf(rv);
    // Internal keys start with NUL: a list of everything begins behind them.
    const first = startAfter >= prefix && startAfter !== "" ? `${startAfter}\0` : prefix === "" ? "\x01" : prefix;
    const answer = await this.#connection.read(
      RANGE,
      {
        key: this.#keyspace.encode(first),
        range_end: prefixEnd(this.#keyspace.encode(prefix)),
        limit: String(options.limit ?? 0),
        revision: String(revision ?? 0n),
      },
      revision,
    );
    const at = revision ?? BigInt(answer.header.revision);
    return { items: this.#decode(answer), rv: endOfRevision(at), more: answer.more };
  }

  #decode(answer: RangeResponse): StoredValue[] {
    const items: StoredValue[] = [];
    for (const kv of answer.kvs) {
      const key = this.#keyspace.decode(kv.key);
      if (key === undefined) continue;
      const stored = decodeStored(key, kv.value, BigInt(kv.mod_revision));
      if (stored === undefined)
        this.#logger.warn({ key }, "etcd holds a value that this store did not write; it is left out");
      else items.push(stored);
    }
    return items;
  }

  async commit(transaction: Parameters<Storage["commit"]>[0]): ReturnType<Storage["commit"]> {
    const injected = this.#hit("storage.commit");
    if (injected !== undefined) await injected;
    // The committer checks what it gets.
    if (!transaction.conditions.some(({ is }) => is === "equal")) return this.#committer.commit(transaction);
    checkTransaction(transaction);
    return this.#fences.commit(transaction, (resolved) => this.#committer.commit(resolved));
  }

  currentRv(): Promise<bigint> {
    return this.#revisions.ask();
  }

  async #readRevision(): Promise<bigint> {
    await this.#hit("storage.read");
    const answer = await this.#connection.read(RANGE, { key: ANY_KEY, count_only: true });
    return endOfRevision(BigInt(answer.header.revision));
  }

  async watch(sinceRv: bigint, handler: WatchHandler, signal: AbortSignal): Promise<void> {
    const deps = { env: this.#env, logger: this.#logger, connection: this.#connection, keyspace: this.#keyspace };
    const ended = AbortSignal.any([signal, this.#closed.signal]);
    const run = new Watcher(deps, sinceRv, handler, ended).run();
    this.#watches.add(run);
    try {
      await run;
    } finally {
      this.#watches.delete(run);
    }
  }

  async compact(rv: bigint): Promise<void> {
    await this.#hit("storage.commit");
    const revision = revisionOf(rv) - 1n;
    if (revision <= 0n) return;
    try {
      await this.#connection.read(COMPACT, { revision: String(revision) }, revision);
    } catch (error) {
      // Compacted further already: what was asked for holds.
      if (!(error instanceof Error && error.name === "CompactedError")) throw error;
    }
  }

  candidate(name: string, id: string, ttlMs: number): Candidate {
    const deps = {
      env: this.#env,
      logger: this.#logger,
      connection: this.#connection,
      closed: this.#closed.signal,
      resigning: this.#resigning,
    };
    return createCandidate(deps, this.#keyspace.election(name), id, ttlMs);
  }

  async ping(): Promise<void> {
    await this.currentRv();
  }

  async close(): Promise<void> {
    this.#closed.abort(new AbortError("the storage was closed"));
    this.#committer.close();
    await Promise.allSettled(this.#watches);
    await Promise.race([Promise.all(this.#resigning), this.#env.timers.sleep(RESIGN_MS)]);
    this.#connection.close();
  }
}
