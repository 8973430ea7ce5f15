// Forgets storage history that is older than five minutes, as upstream's api-server does. Runs in the elected process.
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { Storage } from "@coxswain/storage";

export const COMPACTION_INTERVAL_MS = 300_000;

interface CompactorDeps {
  readonly env: Env;
  readonly storage: Storage;
  readonly logger: Logger;
}

/** Compacts until `signal` aborts. Failures are logged and tried again at the next turn. */
export async function runCompactor(deps: CompactorDeps, signal: AbortSignal): Promise<void> {
  const { env, storage, logger } = deps;
  let mark: bigint | undefined;
  while (!signal.aborted) {
    try {
      if (mark !== undefined) await storage.compact(mark);
      mark = await storage.currentRv();
    } catch (error) {
      logger.warn({ error: String(error) }, "could not compact storage");
    }
    try {
      await env.timers.sleep(COMPACTION_INTERVAL_MS, signal);
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }
}
