// sim --seed=N --seeds=K [--zones] [--json]: runs K seeds from N on; exits with 1 where an invariant breaks. --zones plays the story
// of zones instead of the whole one.
import { parseArgs } from "node:util";
import { describeRun } from "./report.ts";
import { runSeed, runZoneSeed } from "./run-seed.ts";

function refuse(why: string): never {
  process.stderr.write(`${why}\n`);
  process.exit(2);
}

function whole(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  return refuse(`--${name}: Invalid value: ${JSON.stringify(text)}: must be a whole number from ${least} on`);
}

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
    zones: { type: "boolean", default: false },
  },
});
const first = whole("seed", values.seed, 0);
const count = whole("seeds", values.seeds, 1);
const broken: number[] = [];
for (let seed = first; seed < first + count; seed++) {
  const run = await (values.zones ? runZoneSeed : runSeed)(seed);
  if (run.result.violations.length > 0) broken.push(seed);
  process.stdout.write(`${values.json ? JSON.stringify(run.result) : describeRun(run)}\n`);
}
if (!values.json && count > 1) {
  const seeds = broken.length === 0 ? "no invariant broke" : `invariants broke in seeds ${broken.join(", ")}`;
  process.stdout.write(`${count} seeds: ${seeds}\n`);
}
process.exitCode = broken.length > 0 ? 1 : 0;
