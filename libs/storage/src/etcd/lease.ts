// A lease of etcd's that is kept alive. `lost` aborts, by this process's own monotonic clock, before etcd can take the lease
// away: a lease is held until `ttlMs` after the last request that etcd answered was *sent*.
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { AbortError, isAbort, type Env, type TimerHandle } from "@coxswain/env";
import type { Logger } from "@coxswain/component-base";
import type { Connection } from "./connection.ts";
import { LEASE_GRANT, LEASE_KEEP_ALIVE, LEASE_REVOKE, type KeepAliveRequest, type KeepAliveResponse } from "./rpc.ts";

/** After a stream of keep-alives broke. */
const RECONNECT_MS = 100;

export interface LeaseDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly connection: Pick<Connection, "read" | "stream" | "write">;
}

export interface HeldLease {
  /** As etcd names it: digits. */
  readonly id: string;
  readonly lost: AbortSignal;
  /** Gives it back, with all keys under it. Never rejects: without an answer the lease runs out by itself. */
  resign(): Promise<void>;
}

type KeepAlives = ClientDuplexStream<KeepAliveRequest, KeepAliveResponse>;

/** A new lease. @throws StatusError where etcd gives none in time */
export async function grantLease(deps: LeaseDeps, ttlMs: number): Promise<HeldLease> {
  const { env, connection } = deps;
  const lost = new AbortController();
  let deadline: TimerHandle | undefined;
  const end = (): void => {
    env.timers.clear(deadline);
    lost.abort(new AbortError("the lease was lost"));
  };
  const holdFrom = (sentMs: number): void => {
    env.timers.clear(deadline);
    if (!lost.signal.aborted) deadline = env.timers.setTimeout(end, sentMs + ttlMs - env.clock.monotonic());
  };
  const askedMs = env.clock.monotonic();
  const { ID: id } = await connection.write(LEASE_GRANT, { TTL: String(Math.max(1, Math.ceil(ttlMs / 1000))) });
  holdFrom(askedMs);
  void keepAlive(deps, id, ttlMs / 3, { renewed: holdFrom, gone: end, ended: lost.signal });
  return {
    id,
    lost: lost.signal,
    async resign() {
      end();
      try {
        await connection.write(LEASE_REVOKE, { ID: id });
      } catch (error) {
        deps.logger.debug({ lease: id, error: String(error) }, "a lease was not given back");
      }
    },
  };
}

interface Keeping {
  /** etcd has answered a request that was sent then. */
  renewed(sentMs: number): void;
  /** etcd knows the lease no more. */
  gone(): void;
  readonly ended: AbortSignal;
}

/** Asks for more time, again and again, over new streams where one breaks, until `ended` aborts. Never rejects. */
async function keepAlive(deps: LeaseDeps, id: string, everyMs: number, keeping: Keeping): Promise<void> {
  const { env, logger, connection } = deps;
  const { ended } = keeping;
  try {
    // The grant itself holds for as long as a renewal would.
    for (let waitMs = everyMs; ; waitMs = RECONNECT_MS) {
      await env.timers.sleep(waitMs, ended);
      try {
        const stream = await connection.stream(LEASE_KEEP_ALIVE);
        await follow(env, stream, id, everyMs, keeping);
      } catch (error) {
        logger.debug({ lease: id, error: String(error) }, "no way to keep a lease alive, trying again");
      }
    }
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
}

/** Resolves when the stream has ended, or `ended` aborts. */
function follow(env: Env, stream: KeepAlives, id: string, everyMs: number, keeping: Keeping): Promise<void> {
  const { clock, timers } = env;
  /** When each request was sent that has no answer yet: answers come in order. */
  const sent: number[] = [];
  return new Promise((resolve) => {
    const send = (): void => {
      sent.push(clock.monotonic());
      stream.write({ ID: id });
    };
    const tick = timers.setInterval(send, everyMs);
    const finish = (): void => {
      timers.clear(tick);
      keeping.ended.removeEventListener("abort", finish);
      stream.cancel();
      resolve();
    };
    stream.on("data", ({ TTL }: KeepAliveResponse) => {
      const sentMs = sent.shift();
      if (TTL === "0") keeping.gone();
      else if (sentMs !== undefined) keeping.renewed(sentMs);
    });
    // A cancelled stream ends with an error too.
    stream.on("error", finish);
    stream.once("end", finish);
    keeping.ended.addEventListener("abort", finish, { once: true });
    if (keeping.ended.aborted) finish();
    else send();
  });
}
