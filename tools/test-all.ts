// `npm test`: every suite that this machine can run, one after the other, and one closing line that adds them all up.
// What cannot run here counts as skipped, with the reason. Exits 1 when anything failed.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { ensureKubectl, ensureNodePrograms, nodeRuntimeMissing } from "@coxswain/cluster";
import { staticSteps } from "./check.ts";
import { provide } from "./provide.ts";
import { inQuietNetwork } from "./quiet-network.ts";
import { root, runStep } from "./run-step.ts";
import { addTally, composeMissing, type Tally, tallyOf, type VitestReport } from "./test-tally.ts";

interface SeedReport {
  readonly seed: number;
  readonly violations: readonly unknown[];
}

const node = process.execPath;
const only = process.argv.slice(2);

/** Runs one vitest project with the readable report on the screen and the countable one in a file. */
async function runVitest(project: string, quiet = false): Promise<Tally> {
  const report = path.join(root, "dist", "reports", `${project}.json`);
  mkdirSync(path.dirname(report), { recursive: true });
  const args = ["run", "--project", project, "--reporter=dot", "--reporter=json", `--outputFile.json=${report}`];
  const { command, args: all } = quiet ? inQuietNetwork("vitest", args) : { command: "vitest", args };
  const result = await runStep(command, all);
  // The last: a test of the check itself prints such lines, too.
  const leakLine = [...result.output.matchAll(/^leak check: .*$/gm)].at(-1)?.[0];
  if (leakLine !== undefined) console.log(leakLine);
  const tally = existsSync(report)
    ? tallyOf(JSON.parse(readFileSync(report, "utf8")) as VitestReport)
    : { passed: 0, failed: 1, skipped: 0 };
  if (!result.ok) console.log(result.output);
  // A run that fails without a failed test (a suite that cannot load, an unhandled rejection) is a failure all the same.
  return !result.ok && tally.failed === 0 ? { ...tally, failed: 1 } : tally;
}

async function runChecks(): Promise<Tally> {
  let tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  for (const step of staticSteps) {
    const result = await runStep(step.command, step.args);
    if (!result.ok) console.log(`FAIL ${step.name}\n${result.output}`);
    tally = addTally(tally, { passed: result.ok ? 1 : 0, failed: result.ok ? 0 : 1, skipped: 0 });
  }
  return tally;
}

/** Each seed counts as a test. A run that breaks off counts its missing seeds as failures. */
async function runSimulator(seeds: number): Promise<Tally> {
  const result = await runStep(node, [
    "--enable-source-maps",
    "dist/sim.mjs",
    "--seed=1",
    `--seeds=${seeds}`,
    "--json",
  ]);
  const reports = result.output
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as SeedReport);
  const passed = reports.filter((report) => report.violations.length === 0).length;
  for (const { seed, violations } of reports) {
    if (violations.length > 0)
      console.log(`seed ${seed}: ${JSON.stringify(violations.slice(0, 3))}; again: bin/coxswain sim --seed ${seed}`);
  }
  if (reports.length < seeds) console.log(result.output.slice(-4_000));
  return { passed, failed: seeds - passed, skipped: 0 };
}

/** Real containers and packets, where one packet outside of the clusters is a failure. */
async function runNodes(project: string): Promise<Tally> {
  const tools = path.join(root, ".tools");
  const missing = nodeRuntimeMissing(tools);
  if (missing !== undefined) {
    console.log(`skipped: ${project} suite: ${missing}`);
    return { passed: 0, failed: 0, skipped: 1 };
  }
  // Now, while there is a network to get them over.
  const say = (line: string): void => console.log(line);
  await ensureNodePrograms(tools, say, { egress: true });
  await ensureKubectl(tools, say);
  return runVitest(project, true);
}

async function runCompose(): Promise<Tally> {
  const missing = composeMissing();
  if (missing === undefined) return runVitest("compose");
  console.log(`skipped: compose suite: ${missing}`);
  return { passed: 0, failed: 0, skipped: 1 };
}

const suites: readonly (readonly [string, () => Promise<Tally>])[] = [
  ["checks", runChecks],
  ["unit", () => runVitest("unit")],
  ["sim", () => runSimulator(20)],
  ["integration", () => runVitest("integration")],
  ["conformance", () => runVitest("conformance")],
  ["clients", () => runVitest("clients")],
  ["nodes", () => runNodes("nodes")],
  ["conformance-nodes", () => runNodes("conformance-nodes")],
  ["compose", runCompose],
];

await provide();
console.log("building");
const build = await runStep(node, ["tools/build.ts"]);
let total: Tally = { passed: 0, failed: build.ok ? 0 : 1, skipped: 0 };
if (!build.ok) console.log(build.output);
for (const [name, run] of suites) {
  if (only.length > 0 && !only.includes(name)) continue;
  const began = process.uptime();
  console.log(`\n== ${name}`);
  const tally = await run();
  total = addTally(total, tally);
  console.log(
    `${name}: ${tally.passed} ok, ${tally.failed} not ok, ${tally.skipped} left out (${(process.uptime() - began).toFixed(0)} s)`,
  );
}
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 ? 1 : 0;
