// `npm test`: every suite that this machine can run, in lanes beside each other, and one closing line that adds them all up.
// What cannot run here counts as skipped, with the reason. Exits 1 when anything failed.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { nodeRuntimeMissing } from "@coxswain/cluster";
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

/** Runs one vitest project; what failed is said, the countable report goes to a file. */
async function runVitest(project: string, say: Say, { quiet = false } = {}): Promise<Tally> {
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

async function runChecks(say: Say): Promise<Tally> {
  let tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  for (const step of staticSteps) {
    const result = await runStep(step.command, step.args);
    if (!result.ok) say(`FAIL ${step.name}\n${result.output}`);
    tally = addTally(tally, { passed: result.ok ? 1 : 0, failed: result.ok ? 0 : 1, skipped: 0 });
  }
  return tally;
}

/** Each seed counts as a test. A run that breaks off counts its missing seeds as failures. */
async function runSimulator(seeds: number, say: Say): Promise<Tally> {
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
      say(`seed ${seed}: ${JSON.stringify(violations.slice(0, 3))}; again: bin/coxswain sim --seed ${seed}`);
  }
  if (reports.length < seeds) say(result.output.slice(-4_000));
  return { passed, failed: seeds - passed, skipped: 0 };
}

/** Real containers and packets, where one packet outside of the clusters is a failure. */
function runNodes(project: string, say: Say): Promise<Tally> {
  const missing = nodeRuntimeMissing(path.join(root, ".tools"));
  return missing === undefined ? runVitest(project, say, { quiet: true }) : skip(project, missing, say);
}

function runCompose(say: Say): Promise<Tally> {
  const missing = composeMissing();
  return missing === undefined ? runVitest("compose", say) : skip("compose", missing, say);
}

function skip(suite: string, missing: string, say: Say): Promise<Tally> {
  say(`skipped: ${suite} suite: ${missing}`);
  return Promise.resolve({ passed: 0, failed: 0, skipped: 1 });
}

interface Suite {
  readonly name: string;
  run(say: Say): Promise<Tally>;
}

/**
 * The suites of a lane run one after the other, the lanes beside each other, as most suites wait more than they compute. Real
 * nodes and compose are in namespaces of their own: they count their own packets, and the leak checks tell by labels what is
 * whose. Suites that make real nodes share a lane, for they look at all that is on the machine at moments of their choice.
 */
const lanes: readonly (readonly Suite[])[] = [
  [
    { name: "checks", run: runChecks },
    { name: "unit", run: (say) => runVitest("unit", say) },
    { name: "sim", run: (say) => runSimulator(20, say) },
    { name: "integration", run: (say) => runVitest("integration", say) },
  ],
  [
    { name: "nodes", run: (say) => runNodes("nodes", say) },
    { name: "conformance-nodes", run: (say) => runNodes("conformance-nodes", say) },
    { name: "conformance", run: (say) => runVitest("conformance", say) },
    { name: "clients", run: (say) => runVitest("clients", say) },
  ],
  [{ name: "compose", run: runCompose }],
];

let total: Tally = { passed: 0, failed: 0, skipped: 0 };

/** What a suite says appears when it has ended, so that nothing of others comes between. */
async function runLane(lane: readonly Suite[]): Promise<void> {
  for (const suite of lane) {
    const said: string[] = [];
    const began = process.uptime();
    const tally = await suite.run((line) => said.push(line));
    const seconds = process.uptime() - began;
    total = addTally(total, tally);
    const { passed, failed, skipped } = tally;
    const sum = `${suite.name}: ${passed} ok, ${failed} not ok, ${skipped} left out (${seconds.toFixed(0)} s)`;
    console.log([`\n== ${suite.name}`, ...said, sum].join("\n"));
  }
}

await provide({ nodes: true });
console.log("building");
const build = await runStep(node, ["tools/build.ts"]);
if (!build.ok) {
  console.log(build.output);
  total = addTally(total, { passed: 0, failed: 1, skipped: 0 });
}
const wanted = (suite: Suite): boolean => only.length === 0 || only.includes(suite.name);
await Promise.all(lanes.map((lane) => runLane(lane.filter(wanted))));
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 ? 1 : 0;
