// The real environment of a process. This file, with its neighbours, is the only place that may touch the platform's
// clock, timers and randomness.
import { randomBytes, randomUUID } from "node:crypto";
import { AbortError, type Clock, type Env, type TimerHandle, type Timers } from "./contract.ts";
import { createFailpoints } from "./failpoints.ts";
import { randomFrom } from "./seeded-random.ts";

const clock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** The platform's timers take what is longer, 24.8 days, for a millisecond. */
const LONGEST_MS = 2 ** 31 - 1;

/** What has passed already is no time at all, and what the platform cannot wait for at once is waited for in parts. */
function startTimer(run: () => void, ms: number): { timer: NodeJS.Timeout } {
  const startPart = (leftMs: number): NodeJS.Timeout =>
    leftMs <= LONGEST_MS
      ? setTimeout(run, Math.max(0, leftMs))
      : setTimeout(() => (handle.timer = startPart(leftMs - LONGEST_MS)), LONGEST_MS);
  const handle = { timer: startPart(ms) };
  return handle;
}

/** After 24.8 days at the latest: nobody waits so long for an answer. */
const deadline = (ms: number): AbortSignal => AbortSignal.timeout(Math.ceil(Math.min(LONGEST_MS, Math.max(0, ms))));

const timers: Timers = {
  setTimeout: startTimer,
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
        clearTimeout(handle.timer);
        reject(new AbortError());
      };
      const handle = startTimer(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
  defer: (run) => void setImmediate(run),
  timeoutSignal: (ms, parent) => (parent === undefined ? deadline(ms) : AbortSignal.any([parent, deadline(ms)])),
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
