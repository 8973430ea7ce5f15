// Elections among api-servers: whoever puts the election's key under a lease of its own leads.
// `lost` aborts, by this process's own monotonic clock, before etcd can give the lease's key to another.
import type { Etcd3, Lease } from "etcd3";
import { AbortError, type Env, type TimerHandle } from "@coxswain/env";
import type { Logger } from "@coxswain/component-base";
import type { Candidate } from "../contract.ts";

const POLL_MS = 250;

export interface ElectionDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly etcd: Etcd3;
  /** Aborts when the storage closes. */
  readonly closed: AbortSignal;
}

type Leadership = Awaited<ReturnType<Candidate["campaign"]>>;

export function createCandidate(deps: ElectionDeps, key: string, id: string, ttlMs: number): Candidate {
  return {
    async campaign(signal) {
      const ended = AbortSignal.any([signal, deps.closed]);
      while (!ended.aborted) {
        try {
          const leadership = await tryLead(deps, key, id, ttlMs);
          if (leadership !== undefined) {
            if (!ended.aborted) return leadership;
            await leadership.resign();
            break;
          }
        } catch (error) {
          deps.logger.debug({ key, error: String(error) }, "campaign failed, trying again");
        }
        await deps.env.timers.sleep(POLL_MS * (0.75 + deps.env.random.float() / 2), ended);
      }
      throw new AbortError();
    },
  };
}

async function tryLead(deps: ElectionDeps, key: string, id: string, ttlMs: number): Promise<Leadership | undefined> {
  const { etcd } = deps;
  if ((await etcd.get(key).string()) !== null) return undefined;
  const lease = etcd.lease(Math.max(1, Math.ceil(ttlMs / 1000)));
  const keeper = keepLease(deps, lease, ttlMs);
  try {
    const won = await etcd
      .if(key, "Create", "==", 0)
      .then(
        etcd
          .put(key)
          .value(id)
          .lease(await lease.grant()),
      )
      .commit();
    if (won.succeeded && !keeper.lost.aborted) {
      return { lost: keeper.lost, term: BigInt(won.header.revision), resign: () => keeper.resign() };
    }
  } catch (error) {
    await keeper.resign();
    throw error;
  }
  await keeper.resign();
  return undefined;
}

/** Watches a lease's keep-alives: a lease is held until `ttlMs` after the last request that etcd answered was *sent*. */
function keepLease(
  { env, closed }: ElectionDeps,
  lease: Lease,
  ttlMs: number,
): { readonly lost: AbortSignal; readonly resign: () => Promise<void> } {
  const lost = new AbortController();
  const sent: number[] = [];
  let deadline: TimerHandle | undefined;
  const end = (): void => {
    env.timers.clear(deadline);
    closed.removeEventListener("abort", onClosed);
    lost.abort(new AbortError("the lease was lost"));
    lease.release();
  };
  const holdFrom = (sentMs: number): void => {
    env.timers.clear(deadline);
    deadline = env.timers.setTimeout(end, sentMs + ttlMs - env.clock.monotonic());
  };
  const resign = async (): Promise<void> => {
    end();
    // Without an answer the lease runs out by itself.
    await lease.revoke().catch(() => undefined);
  };
  const onClosed = (): void => void resign();
  closed.addEventListener("abort", onClosed, { once: true });
  lease.on("keepaliveFired", () => void sent.push(env.clock.monotonic()));
  lease.on("keepaliveSucceeded", () => {
    const sentMs = sent.shift();
    if (sentMs !== undefined && !lost.signal.aborted) holdFrom(sentMs);
  });
  lease.on("keepaliveFailed", () => void sent.splice(0));
  lease.on("lost", end);
  holdFrom(env.clock.monotonic());
  return { lost: lost.signal, resign };
}
