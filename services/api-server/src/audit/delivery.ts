// How a list of audit events gets to where it belongs, and who waits for it. Guarantees: what is not taken is sent again, later
// each time, and is lost after the last attempt, which is told once.
// https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#batching
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { AuditBackend } from "./auditor.ts";

/** Sends one list of JSON texts. Rejects where it was not taken. */
export type SendBatch = (events: readonly string[]) => Promise<void>;
/** The same, as often as may be. Rejects, and has told it, where all of it was in vain. Once `closing` is aborted there is one attempt more. */
export type Deliver = (events: readonly string[], closing: AbortSignal) => Promise<void>;

const ATTEMPTS = 5;
const BACKOFF_FACTOR = 1.5;
const BACKOFF_JITTER = 0.2;

export interface DeliveryDeps {
  readonly send: SendBatch;
  readonly env: Env;
  readonly logger: Logger;
}

/** `initialBackoffMs` passes before the second attempt; each further one waits half as long again. */
export function withRetries({ send, env, logger }: DeliveryDeps, initialBackoffMs: number): Deliver {
  return async (events, closing) => {
    let waitMs = initialBackoffMs;
    for (let attempt = 1; ; attempt++) {
      try {
        await send(events);
        return;
      } catch (error) {
        // Who closes waits for one attempt more, not for all of them.
        const last = attempt >= ATTEMPTS || closing.aborted;
        const told = { error: String(error), events: events.length, attempt };
        if (last) {
          logger.error(told, "audit events were lost: the webhook does not take them");
          throw error;
        }
        logger.warn(told, "the audit webhook does not take events, will try again");
      }
      await env.timers.sleep(waitMs * (1 + env.random.float() * BACKOFF_JITTER), closing).catch((error: unknown) => {
        if (!isAbort(error)) throw error;
      });
      waitMs *= BACKOFF_FACTOR;
    }
  };
}

/** One attempt. */
export function once({ send, logger }: Omit<DeliveryDeps, "env">): Deliver {
  return async (events) => {
    try {
      await send(events);
    } catch (error) {
      logger.error({ error: String(error), events: events.length }, "audit events were lost");
      throw error;
    }
  };
}

/** Requests wait until their events have arrived. `strict`: they learn that one was lost. */
export function blocking(deliver: Deliver, strict: boolean): AuditBackend {
  const closing = new AbortController();
  const running = new Set<Promise<void>>();
  return {
    waits: true,
    write(event) {
      const delivered = deliver([event], closing.signal);
      const told = delivered.catch(() => undefined).finally(() => running.delete(told));
      running.add(told);
      return strict ? delivered : told;
    },
    async close() {
      closing.abort();
      await Promise.all(running);
    },
  };
}
