// A wait that news may end.
import { isAbort, type Timers } from "./contract.ts";

/** Resolves after `ms`, or once `news` aborts. Rejects where `signal` aborts. */
export async function pause(
  timers: Pick<Timers, "sleep">,
  ms: number,
  news: AbortSignal,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await timers.sleep(ms, signal === undefined ? news : AbortSignal.any([news, signal]));
  } catch (error) {
    if (!isAbort(error)) throw error;
    signal?.throwIfAborted();
  }
}
