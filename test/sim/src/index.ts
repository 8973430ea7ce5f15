// The simulator for tests and tools: one seed, one run.
export { planScenario, play, type Scenario } from "./scenario.ts";
export { runSeed, type SeedResult, type SeedRun } from "./run-seed.ts";
export { World, type WorldOptions } from "./world.ts";
