// The real environment of a process. This file, with its neighbours, is the only place that may touch the platform's
// clock, timers and randomness.
import { randomBytes, randomUUID } from "node:crypto";
import { AbortError, type Clock, type Env, type TimerHandle, type Timers } from "./contract.ts";
import { createFailpoints } from "./failpoints.ts";
import { randomFrom } from "./seeded-random.ts";

const clock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

const timers: Timers = {
  setTimeout: (run, ms) => ({ timer: setTimeout(run, ms) }),
  setInterval: (run, ms) => ({ timer: setInterval(run, ms) }),
  clear: (handle: TimerHandle | undefined) => {
    if (handle !== undefined) clearTimeout(handle.timer as NodeJS.Timeout);
  },
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(new AbortError());
        return;
      }
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(new AbortError());
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
  defer: (run) => void setImmediate(run),
  timeoutSignal: (ms, parent) =>
    parent === undefined ? AbortSignal.timeout(ms) : AbortSignal.any([parent, AbortSignal.timeout(ms)]),
};

const POOL_BYTES = 4096;

/** The platform's clock, timers and cryptographic randomness. `crash` ends the process as `kill -9` would. */
export function createRealEnv(): Env {
  let pool = Buffer.alloc(0);
  let at = 0;
  // Asking the platform costs as much for two bytes as for a page. No byte is given out twice.
  const take = (length: number): Buffer => {
    if (length > POOL_BYTES) return randomBytes(length);
    if (at + length > pool.length) {
      pool = randomBytes(POOL_BYTES);
      at = 0;
    }
    at += length;
    return pool.subarray(at - length, at);
  };
  const random = {
    ...randomFrom(() => take(4).readUInt32LE(0)),
    // Of its own, so that whoever keeps a few bytes does not keep the page.
    bytes: (length: number) => Buffer.from(take(length)),
    uuid: () => randomUUID(),
  };
  const crash = (): void => process.kill(process.pid, "SIGKILL") as unknown as void;
  return { clock, timers, random, failpoints: createFailpoints({ random, timers, clock, crash }) };
}
