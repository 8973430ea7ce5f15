// Work in turns of the event loop. Guarantee: what waited for I/O before the call runs before it resolves.
import type { Timers } from "./contract.ts";

/** Resolves soon, after pending I/O callbacks. */
export function nextTurn(timers: Pick<Timers, "defer">): Promise<void> {
  return new Promise((resolve) => {
    timers.defer(resolve);
  });
}
