// Ends what a dead supervisor left running, so that `up` starts on clean ground and `down` leaves nothing behind.
import type { Env } from "@coxswain/env";
import { isAlive, signal, type ProcessIdentity } from "./process-table.ts";
import { readState, removeState } from "./state-file.ts";

const GRACE_MS = 10_000;
const POLL_MS = 20;

/** Processes on record that still run, the supervisor's included. */
export function survivors(stateFile: string): ProcessIdentity[] {
  const state = readState(stateFile);
  if (state === undefined) return [];
  const recorded = [state.supervisor, ...state.records.map(({ pid, startTime }) => ({ pid, startTime }))];
  return recorded.filter((identity) => identity.pid > 0 && isAlive(identity));
}

/** Ends them all, by force after a grace period, and forgets the record. Returns how many there were. */
export async function endLeftovers(env: Env, stateFile: string): Promise<number> {
  const found = survivors(stateFile);
  for (const identity of found) {
    signal(identity, "SIGCONT");
    signal(identity, "SIGTERM");
  }
  const forceAt = env.clock.monotonic() + GRACE_MS;
  while (found.some((identity) => isAlive(identity))) {
    if (env.clock.monotonic() > forceAt) for (const identity of found) signal(identity, "SIGKILL");
    await env.timers.sleep(POLL_MS);
  }
  removeState(stateFile);
  return found.length;
}
