// `npm test`: every suite that this machine can run, nearly all one after the other, and one closing line that adds them all up.
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

type Say = (line: string) => void;
const aloud: Say = (line) => console.log(line);

/** Runs one vitest project; what failed is said, the countable report goes to a file. */
async function runVitest(project: string, { quiet = false, say = aloud } = {}): Promise<Tally> {
  const report = path.join(root, "dist", "reports", `${project}.json`);
  mkdirSync(path.dirname(report), { recursive: true });
  const args = ["run", "--project", project, "--reporter=dot", "--reporter=json", `--outputFile.json=${report}`];
  const { command, args: all } = quiet ? inQuietNetwork("vitest", args) : { command: "vitest", args };
  const result = await runStep(command, all);
  // The last: a test of the check itself prints such lines, too.
  const leakLine = [...result.output.matchAll(/^leak check: .*$/gm)].at(-1)?.[0];
  if (leakLine !== undefined) say(leakLine);
  const tally = existsSync(report)
    ? tallyOf(JSON.parse(readFileSync(report, "utf8")) as VitestReport)
    : { passed: 0, failed: 1, skipped: 0 };
  if (!result.ok) say(result.output);
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
  await ensureNodePrograms(tools, aloud, { egress: true });
  await ensureKubectl(tools, aloud);
  return runVitest(project, { quiet: true });
}

async function runCompose(say: Say): Promise<Tally> {
  const missing = composeMissing();
  if (missing === undefined) return runVitest("compose", { say });
  say(`skipped: compose suite: ${missing}`);
  return { passed: 0, failed: 0, skipped: 1 };
}

interface Suite {
  readonly name: string;
  run(say: Say): Promise<Tally>;
  /**
   * Runs beside the suites before it, and tells of itself when its turn comes: for what mostly waits, in namespaces of its
   * own. Not beside those that count packets.
   */
  readonly early?: boolean;
}

const suites: readonly Suite[] = [
  { name: "checks", run: runChecks },
  { name: "unit", run: () => runVitest("unit") },
  { name: "sim", run: () => runSimulator(20) },
  { name: "integration", run: () => runVitest("integration") },
  { name: "conformance", run: () => runVitest("conformance") },
  { name: "clients", run: () => runVitest("clients") },
  { name: "compose", run: runCompose, early: true },
  { name: "nodes", run: () => runNodes("nodes") },
  { name: "conformance-nodes", run: () => runNodes("conformance-nodes") },
];

interface Outcome {
  readonly tally: Tally;
  readonly seconds: number;
}

async function timed(suite: Suite, say: Say): Promise<Outcome> {
  const began = process.uptime();
  const tally = await suite.run(say);
  return { tally, seconds: process.uptime() - began };
}

await provide();
console.log("building");
const build = await runStep(node, ["tools/build.ts"]);
let total: Tally = { passed: 0, failed: build.ok ? 0 : 1, skipped: 0 };
if (!build.ok) console.log(build.output);
const chosen = suites.filter(({ name }) => only.length === 0 || only.includes(name));
const said: string[] = [];
const begun = new Map(
  chosen.filter(({ early }) => early).map((suite) => [suite, timed(suite, (line) => said.push(line))]),
);
for (const suite of chosen) {
  console.log(`\n== ${suite.name}`);
  const { tally, seconds } = await (begun.get(suite) ?? timed(suite, aloud));
  if (begun.has(suite)) for (const line of said.splice(0)) console.log(line);
  total = addTally(total, tally);
  console.log(
    `${suite.name}: ${tally.passed} ok, ${tally.failed} not ok, ${tally.skipped} left out (${seconds.toFixed(0)} s)`,
  );
}
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 ? 1 : 0;
