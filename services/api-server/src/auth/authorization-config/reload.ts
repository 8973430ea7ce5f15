// Follows the file of --authorization-config. Guarantees: what is no good leaves in force what was there before, is told once in
// the log and counted; what says the same in other words changes nothing.
import { isDeepStrictEqual } from "node:util";
import { isAbort } from "@coxswain/env";
import type { Env } from "@coxswain/env";
import type { Logger } from "@coxswain/component-base";
import { parseAuthorizationConfiguration } from "./configuration.ts";
import type { ReloadMetrics } from "./metrics.ts";
import type { AuthorizerSettings } from "./types.ts";

/** Upstream is told by the kernel, and looks each minute besides. */
const INTERVAL_MS = 1_000;

/** The file as it was when the process started. */
export interface AuthorizationFile {
  readonly text: string;
  readonly authorizers: readonly AuthorizerSettings[];
  /** Rejects where it cannot be read. */
  read(): Promise<string>;
}

export interface ReloadDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly metrics: ReloadMetrics;
  readonly file: AuthorizationFile;
  /** Throws where a webhook's kubeconfig is no good: then nothing has changed. */
  readonly apply: (authorizers: readonly AuthorizerSettings[]) => void;
}

/** Works until `signal` aborts. */
export async function runAuthorizationReload(deps: ReloadDeps, signal: AbortSignal): Promise<void> {
  const { env, logger, metrics, file } = deps;
  // What is not from outside must be in every later file too: its parts were made at start.
  const required = file.authorizers.map(({ type }) => type).filter((type) => type !== "Webhook");
  let seen = file.text;
  let present = file.authorizers;
  let told = "";
  const failed = (error: unknown): void => {
    const { message } = error as Error;
    if (message === told) return;
    told = message;
    logger.error({ error: message }, "reloading authorization config");
    metrics.reloaded("failure", env.clock.now());
  };
  const check = async (): Promise<void> => {
    try {
      const text = await file.read();
      if (text === seen) return;
      told = "";
      seen = text;
      const next = parseAuthorizationConfiguration(text, required);
      if (isDeepStrictEqual(next, present)) return;
      for (const { type } of next) {
        if ((type === "Node" || type === "RBAC") && !required.includes(type)) {
          throw new Error(`authorizer type ${type} is not allowed if it was not enabled at initial server startup`);
        }
      }
      deps.apply(next);
      present = next;
      logger.info({ authorizers: next.map(({ name }) => name) }, "reloaded authz config");
      metrics.reloaded("success", env.clock.now());
      metrics.inForce(text);
    } catch (error) {
      failed(error);
    }
  };
  metrics.inForce(seen);
  while (!signal.aborted) {
    try {
      await env.timers.sleep(INTERVAL_MS, signal);
    } catch (error) {
      if (!isAbort(error)) throw error;
      return;
    }
    await check();
  }
}
