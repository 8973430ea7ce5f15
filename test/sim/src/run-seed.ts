// Runs one seed and tells how it went.
import type { Violation } from "./invariants/invariant.ts";
import { planScenario, play, type Played } from "./scenario.ts";
import type { World } from "./world.ts";
import { planZones, playZones } from "./zones.ts";

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
  /** The command that plays it again. */
  readonly again: string;
}

/** One seed of the whole story. */
export function runSeed(seed: number): Promise<SeedRun> {
  return run({ seed, flags: "" }, (made) => play(planScenario(seed), made));
}

/** One seed of the story of zones. */
export function runZoneSeed(seed: number): Promise<SeedRun> {
  return run({ seed, flags: " --zones" }, (made) => playZones(planZones(seed), made));
}

/** Anything that escapes from a service is a violation, too: a real process would have died of it. */
async function run(
  { seed, flags }: { readonly seed: number; readonly flags: string },
  story: (made: (world: World) => void) => Promise<Played>,
): Promise<SeedRun> {
  let world: World | undefined;
  const onEscape = (error: unknown): void => {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    world?.checker.report(world.env.elapsedMs, "no-crash", `unhandled: ${what}`);
  };
  process.on("unhandledRejection", onEscape);
  try {
    const played = await story((made) => void (world = made));
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
      again: `bin/coxswain sim${flags} --seed ${seed}`,
    };
  } finally {
    process.off("unhandledRejection", onEscape);
  }
}
