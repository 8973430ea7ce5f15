// Says since when the use of tokens that live in Secrets is noted: the ConfigMap of the name below, which whoever cleans up
// believes. Guarantee: one that was taken away is made again, at most every half hour, so that it says when it was.
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#legacy-serviceaccount-token-tracking-controller
import { CONFIG_MAPS, type ConfigMap } from "@coxswain/api";
import { TOKEN_TRACKING } from "@coxswain/api/core-v1/secret/legacy-tokens";
import { formatDay, isDay, isReason } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { BaseDeps } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import type { ObjectSource } from "../pipeline/extension.ts";

const RETRY_MS = 1_000;
const LEAST_BETWEEN_MS = 30 * 60_000;
const RESYNC_MS = 12 * 3_600_000;

interface TrackingDeps extends Pick<BaseDeps, "env" | "logger"> {
  readonly client: ResourceClient;
  readonly source: ObjectSource;
}

/** Runs until `signal` aborts. */
export async function runLegacyTokenTracking(deps: TrackingDeps, signal: AbortSignal): Promise<void> {
  const { env, logger, client, source } = deps;
  let madeMs: number | undefined;
  let changed = new AbortController();
  const stop = source.onChange(CONFIG_MAPS, () => changed.abort());

  /** How long nothing has to be done, if nothing changes. */
  async function look(): Promise<number> {
    const present: ConfigMap | undefined = source.get(
      CONFIG_MAPS,
      TOKEN_TRACKING.namespace,
      TOKEN_TRACKING.name,
    )?.object;
    const data = { since: formatDay(env.clock.now()) };
    if (present === undefined) {
      const waitMs = madeMs === undefined ? 0 : madeMs + LEAST_BETWEEN_MS - env.clock.monotonic();
      if (waitMs > 0) return waitMs;
      await client.create(CONFIG_MAPS, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { ...TOKEN_TRACKING },
        data,
      });
      madeMs = env.clock.monotonic();
    } else if (!isDay(present.data?.["since"] ?? "")) {
      await client.update(CONFIG_MAPS, { ...present, data: { ...present.data, ...data } });
    }
    return RESYNC_MS;
  }

  while (!signal.aborted) {
    changed = new AbortController();
    let waitMs = RETRY_MS;
    try {
      waitMs = await look();
    } catch (error) {
      if (signal.aborted || isAbort(error)) break;
      // Another was faster: the cache's next change leads back here.
      if (isReason(error, "AlreadyExists", "Conflict", "NotFound")) waitMs = LEAST_BETWEEN_MS;
      logger.debug({ error: String(error) }, "could not say since when tokens are tracked, will try again");
    }
    await env.timers.sleep(waitMs, AbortSignal.any([signal, changed.signal])).catch((error: unknown) => {
      if (!isAbort(error)) throw error;
    });
  }
  stop();
}
