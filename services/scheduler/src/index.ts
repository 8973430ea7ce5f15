// The public face of the scheduler: what processes, the simulator and plugin authors use.
export { createScheduler, type SchedulerDeps, type SchedulerOptions } from "./app.ts";
export type * from "./framework/contract.ts";
export { DEFAULT_PLUGINS, DEFAULT_PROFILES } from "./framework/registry.ts";
