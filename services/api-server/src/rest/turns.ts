// Long work on the event loop, in turns with what else waits.
import { nextTurn, type Env, type Timers } from "@coxswain/env";

/** Work that others may have to wait for, ms. */
const TURN_MS = 4;

/** A way for long work to say, as often as it likes, that others may have their turn: they get it each TURN_MS. */
export function inTurns(env: Pick<Env, "clock"> & { readonly timers: Pick<Timers, "defer"> }): () => Promise<void> {
  let begunMs = env.clock.monotonic();
  return async () => {
    if (env.clock.monotonic() - begunMs < TURN_MS) return;
    await nextTurn(env.timers);
    begunMs = env.clock.monotonic();
  };
}
