// The one door for everything nondeterministic: clock, timers, randomness, failpoints.
// Code takes an Env (or a part of it) as a dependency; only a process's main.ts makes a real one.
export type { Clock, Env, Failpoints, FaultAction, FaultSpec, Random, TimerHandle, Timers } from "./contract.ts";
export { AbortError, FailpointError, isAbort } from "./contract.ts";
export { pause } from "./pause.ts";
export { nextTurn } from "./next-turn.ts";
export { createFailpoints } from "./failpoints.ts";
export { createRealEnv } from "./real.ts";
export { createSeededRandom } from "./seeded-random.ts";
export { VirtualEnv } from "./virtual.ts";
