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

/** The platform's clock, timers and cryptographic randomness. `crash` ends the process as `kill -9` would. */
export function createRealEnv(): Env {
  let pool = Buffer.alloc(0);
  let at = 0;
  const next32 = (): number => {
    if (at + 4 > pool.length) {
      pool = randomBytes(4096);
      at = 0;
    }
    const value = pool.readUInt32LE(at);
    at += 4;
    return value;
  };
  const random = { ...randomFrom(next32), bytes: (length: number) => randomBytes(length), uuid: () => randomUUID() };
  const crash = (): void => process.kill(process.pid, "SIGKILL") as unknown as void;
  return { clock, timers, random, failpoints: createFailpoints({ random, timers, clock, crash }) };
}
