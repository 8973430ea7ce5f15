// Waiting for a condition, without sleeping for a guessed time.
import type { Env, VirtualEnv } from "@coxswain/env";

/**
 * Resolves with the first value of `condition` that is neither undefined nor false. Looks again after each turn of the
 * event loop, at growing intervals up to 50 ms; rejects after `timeoutMs` (10,000 where unset), naming `what`.
 */
export async function waitFor<T>(
  env: Pick<Env, "clock" | "timers">,
  what: string,
  condition: () => T | Promise<T>,
  timeoutMs = 10_000,
): Promise<Exclude<T, undefined | false>> {
  const untilMs = env.clock.monotonic() + timeoutMs;
  for (let pauseMs = 1; ; pauseMs = Math.min(50, pauseMs * 2)) {
    const value = await condition();
    if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
    if (env.clock.monotonic() >= untilMs) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await env.timers.sleep(pauseMs);
  }
}

/** The same in virtual time: fires timers until `condition` holds, for at most `forMs` from now. */
export async function runUntil(
  env: VirtualEnv,
  what: string,
  condition: () => boolean,
  forMs = 600_000,
): Promise<void> {
  if (!(await env.runUntil(condition, env.elapsedMs + forMs))) {
    throw new Error(`${forMs} ms of virtual time passed in vain for ${what}`);
  }
}
