// Runs one seed and tells how it went.
import type { Violation } from "./invariants/invariant.ts";
import { planScenario, play } from "./scenario.ts";
import type { World } from "./world.ts";

export interface SeedResult {
  readonly seed: number;
  /** How many seeds this one stands for. */
  readonly seeds: number;
  readonly traceHash: string;
  readonly simulatedMs: number;
  /** Timers fired. */
  readonly steps: number;
  /** Faults injected. */
  readonly faults: number;
  readonly violations: readonly Violation[];
}

export interface SeedRun {
  readonly result: SeedResult;
  /** The last lines of the trace. */
  readonly trace: readonly string[];
}

/** Anything that escapes from a service is a violation, too: a real process would have died of it. */
export async function runSeed(seed: number): Promise<SeedRun> {
  let world: World | undefined;
  const onEscape = (error: unknown): void => {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    world?.checker.report(world.env.elapsedMs, "no-crash", `unhandled: ${what}`);
  };
  process.on("unhandledRejection", onEscape);
  try {
    const played = await play(planScenario(seed), (made) => (world = made));
    const { env, trace, checker } = played.world;
    return {
      result: {
        seed,
        seeds: 1,
        traceHash: trace.digest(),
        simulatedMs: Math.round(env.elapsedMs),
        steps: env.steps,
        faults: played.faults,
        violations: checker.violations,
      },
      trace: trace.recent(),
    };
  } finally {
    process.off("unhandledRejection", onEscape);
  }
}
