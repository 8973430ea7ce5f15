// Elections among api-servers: whoever puts the election's key under a lease of its own leads.
import { AbortError } from "@coxswain/env";
import type { Candidate } from "../contract.ts";
import { grantLease, type LeaseDeps } from "./lease.ts";
import { RANGE, TXN } from "./rpc.ts";

const POLL_MS = 250;

export interface ElectionDeps extends LeaseDeps {
  /** Aborts when the storage closes. */
  readonly closed: AbortSignal;
  /** Resignations under way, which the storage waits for when it closes. */
  readonly resigning: Set<Promise<void>>;
}

type Leadership = Awaited<ReturnType<Candidate["campaign"]>>;

export function createCandidate(deps: ElectionDeps, key: Buffer, id: string, ttlMs: number): Candidate {
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
          deps.logger.debug({ key: key.toString(), error: String(error) }, "campaign failed, trying again");
        }
        await deps.env.timers.sleep(POLL_MS * (0.75 + deps.env.random.float() / 2), ended);
      }
      throw new AbortError();
    },
  };
}

async function tryLead(deps: ElectionDeps, key: Buffer, id: string, ttlMs: number): Promise<Leadership | undefined> {
  const { connection, closed, resigning } = deps;
  const { kvs } = await connection.read(RANGE, { key });
  if (kvs.length > 0) return undefined;
  const lease = await grantLease(deps, ttlMs);
  const resign = async (): Promise<void> => {
    closed.removeEventListener("abort", onClosed);
    const given = lease.resign();
    resigning.add(given);
    await given;
    resigning.delete(given);
  };
  const onClosed = (): void => void resign();
  lease.lost.addEventListener("abort", () => closed.removeEventListener("abort", onClosed), { once: true });
  closed.addEventListener("abort", onClosed, { once: true });
  try {
    const won = await connection.write(TXN, {
      compare: [{ result: "Equal", target: "Create", key, create_revision: "0" }],
      success: [{ request_put: { key, value: Buffer.from(id), lease: lease.id } }],
      failure: [],
    });
    if (won.succeeded && !lease.lost.aborted) {
      return { lost: lease.lost, term: BigInt(won.header.revision), resign };
    }
  } catch (error) {
    await resign();
    throw error;
  }
  await resign();
  return undefined;
}
