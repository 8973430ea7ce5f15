// Events live for an hour after they were last seen, as upstream's do. Runs in the elected process. Guarantee: however many
// events there are, a sweep reads only those that may be due, and lets other work have its turn in between.
import { EVENTS } from "@coxswain/api";
import { isReason, parseTime, type KubeObject } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, nextTurn, type Env } from "@coxswain/env";
import type { VersionedObject } from "../pipeline/contract.ts";
import type { ObjectSource } from "../pipeline/extension.ts";

export const EVENT_TTL_MS = 3_600_000;
const SWEEP_MS = 60_000;
/** Events that are read in one turn of the loop. */
const READ_AT_ONCE = 100;
/** Events that are deleted side by side. */
const DELETED_AT_ONCE = 64;

interface ExpiryDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly source: Pick<ObjectSource, "list"> & { readonly throughRv: bigint };
  readonly client: Pick<ResourceClient, "batch">;
}

interface EventTimes extends KubeObject {
  lastTimestamp?: string | null;
  eventTime?: string | null;
  series?: { lastObservedTime?: string } | null;
}

/** The last moment at which something in the event is not older than the time to live, ms since 1970. */
export function expiresAtMs(event: EventTimes): number {
  const times = [
    event.metadata?.creationTimestamp,
    event.lastTimestamp,
    event.eventTime,
    event.series?.lastObservedTime,
  ].map((text) => parseTime(text) ?? 0);
  return Math.max(...times) + EVENT_TTL_MS;
}

/** Sweeps once a minute until `signal` aborts. */
export async function runEventExpiry(deps: ExpiryDeps, signal: AbortSignal): Promise<void> {
  const { env, logger } = deps;
  const expiry = new EventExpiry(deps);
  while (!signal.aborted) {
    try {
      await env.timers.sleep(SWEEP_MS, signal);
      await expiry.sweep(signal);
    } catch (error) {
      if (isAbort(error)) return;
      logger.warn({ error: String(error) }, "could not remove expired events");
    }
  }
}

class EventExpiry {
  readonly #deps: ExpiryDeps;
  /** Which versions there were at which time, oldest first. What was there at the start may be of any age. */
  #marks: { readonly atMs: number; readonly rv: bigint }[];
  /** Of events that were read once; they do not change. */
  readonly #dueMs = new WeakMap<VersionedObject, number>();

  constructor(deps: ExpiryDeps) {
    this.#deps = deps;
    this.#marks = [{ atMs: Number.NEGATIVE_INFINITY, rv: deps.source.throughRv }];
  }

  async sweep(signal: AbortSignal): Promise<void> {
    const { env, source } = this.#deps;
    const nowMs = env.clock.now();
    const aged = this.#agedVersion(nowMs);
    const expired: VersionedObject[] = [];
    let read = 0;
    for (const event of source.list(EVENTS)) {
      // Written within the hour.
      if (event.rv > aged) continue;
      let dueMs = this.#dueMs.get(event);
      if (dueMs === undefined) {
        dueMs = expiresAtMs(JSON.parse(event.json.toString()) as EventTimes);
        this.#dueMs.set(event, dueMs);
        if (++read % READ_AT_ONCE === 0) await nextTurn(env.timers);
      }
      if (dueMs < nowMs) expired.push(event);
    }
    for (let from = 0; from < expired.length && !signal.aborted; from += DELETED_AT_ONCE) {
      await this.#delete(expired.slice(from, from + DELETED_AT_ONCE));
    }
  }

  /** The newest version that may be as old as an event gets. */
  #agedVersion(nowMs: number): bigint {
    this.#marks.push({ atMs: nowMs, rv: this.#deps.source.throughRv });
    const last = this.#marks.findLastIndex(({ atMs }) => atMs <= nowMs - EVENT_TTL_MS);
    this.#marks = this.#marks.slice(Math.max(0, last));
    return this.#marks[0]!.rv;
  }

  async #delete(events: readonly VersionedObject[]): Promise<void> {
    const outcomes = await this.#deps.client.batch(
      events.map(({ namespace, name, rv }) => {
        // On the version that was judged: an event that was seen again meanwhile stays.
        const options = { preconditions: { resourceVersion: rv.toString() } };
        return { op: "delete", ref: EVENTS, target: { namespace, name }, options } as const;
      }),
    );
    for (const outcome of outcomes) {
      if (!outcome.ok && !isReason(outcome.error, "NotFound", "Conflict")) throw outcome.error;
    }
  }
}
