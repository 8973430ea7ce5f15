// Events live for an hour after they were last seen, as upstream's do. Runs in the elected process.
import { EVENTS } from "@coxswain/api";
import { isReason, parseTime, type KubeObject } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { ObjectSource } from "../pipeline/extension.ts";

export const EVENT_TTL_MS = 3_600_000;
const SWEEP_MS = 60_000;

interface ExpiryDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly source: ObjectSource;
  readonly client: ResourceClient;
}

interface EventTimes extends KubeObject {
  lastTimestamp?: string | null;
  eventTime?: string | null;
  series?: { lastObservedTime?: string } | null;
}

/** True where nothing in the event is younger than the time to live. */
export function isExpired(event: EventTimes, nowMs: number): boolean {
  const times = [
    event.metadata?.creationTimestamp,
    event.lastTimestamp,
    event.eventTime,
    event.series?.lastObservedTime,
  ].map((text) => parseTime(text) ?? 0);
  return Math.max(...times) + EVENT_TTL_MS < nowMs;
}

/** Sweeps once a minute until `signal` aborts. */
export async function runEventExpiry(deps: ExpiryDeps, signal: AbortSignal): Promise<void> {
  const { env, logger } = deps;
  while (!signal.aborted) {
    try {
      await env.timers.sleep(SWEEP_MS, signal);
      await sweep(deps, signal);
    } catch (error) {
      if (isAbort(error)) return;
      logger.warn({ error: String(error) }, "could not remove expired events");
    }
  }
}

async function sweep({ env, source, client }: ExpiryDeps, signal: AbortSignal): Promise<void> {
  const expired = source.list(EVENTS).filter(({ object }) => isExpired(object, env.clock.now()));
  for (const { namespace, name, rv } of expired) {
    if (signal.aborted) return;
    try {
      // On the version that was judged: an event that was seen again meanwhile stays.
      await client.delete(EVENTS, { namespace, name }, { preconditions: { resourceVersion: rv.toString() } });
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }
}
