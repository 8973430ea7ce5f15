// One command checks all: format, lint, types, dead code, layer rules, repository rules, contracts, and (unless --no-tests)
// the unit tests. Exits 1 when anything fails, after having run everything.
import { provide } from "./provide.ts";
import { runStep } from "./run-step.ts";

interface Step {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

const node = process.execPath;

export const staticSteps: readonly Step[] = [
  { name: "format", command: "oxfmt", args: ["--check", "."] },
  { name: "lint", command: "oxlint", args: ["--type-aware", "--deny-warnings"] },
  { name: "types", command: "tsc", args: ["--noEmit", "-p", "."] },
  { name: "dead code", command: "knip", args: ["--no-progress"] },
  { name: "layers", command: node, args: ["tools/layers/check-layers.ts"] },
  { name: "repository rules", command: node, args: ["tools/tidy.ts"] },
  { name: "contracts (buf)", command: node, args: ["protos/check.ts"] },
];

const unitTests: Step = { name: "unit tests", command: "vitest", args: ["run", "--project", "unit"] };

/** Runs the steps one after the other; prints a line each and the output of those that fail. Returns the failures. */
export async function runSteps(steps: readonly Step[]): Promise<string[]> {
  const failed: string[] = [];
  for (const step of steps) {
    const result = await runStep(step.command, step.args);
    console.log(`${result.ok ? "ok  " : "FAIL"}  ${step.name} (${result.seconds.toFixed(1)} s)`);
    if (!result.ok) {
      failed.push(step.name);
      console.log(result.output);
    }
  }
  return failed;
}

if (process.argv[1] === import.meta.filename) {
  const withTests = !process.argv.includes("--no-tests");
  if (withTests) await provide();
  const steps = withTests ? [...staticSteps, unitTests] : staticSteps;
  const failed = await runSteps(steps);
  if (failed.length > 0) {
    console.log(`failed: ${failed.join(", ")}`);
    process.exitCode = 1;
  }
}
