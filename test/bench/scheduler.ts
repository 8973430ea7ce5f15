// How many pods a second get a node: upstream's scheduler_perf workloads of 5,000 nodes through the real processes, beside the
// floor that upstream's own runs must reach in one process, and the scheduler's decisions alone. Medians of
// COXSWAIN_BENCH_RUNS runs (3); COXSWAIN_BENCH_SCALE=0.1 makes everything smaller for a trial, COXSWAIN_BENCH_ONLY picks one.
import { report, type Figure } from "./figures.ts";
import { decisionsPerSecond, preemptionsPerSecond } from "./scheduler/decisions.ts";
import { runWorkload, type WorkloadResult } from "./scheduler/run-workload.ts";
import { NODES, WORKLOADS, type Workload } from "./scheduler/workloads.ts";

const RUNS = Number(process.env["COXSWAIN_BENCH_RUNS"] ?? 3);
const SCALE = Number(process.env["COXSWAIN_BENCH_SCALE"] ?? 1);
const ONLY = process.env["COXSWAIN_BENCH_ONLY"];
const scaled = (count: number): number => Math.round(count * SCALE);

function median(results: readonly WorkloadResult[]): WorkloadResult {
  return results.toSorted((a, b) => a.podsPerSecond - b.podsPerSecond)[Math.floor(results.length / 2)]!;
}

async function figuresOf(workload: Workload): Promise<Figure[]> {
  const { name, aim, upstream } = workload;
  const small = { ...workload, init: scaled(workload.init), measured: scaled(workload.measured) };
  const results: WorkloadResult[] = [];
  for (let run = 0; run < RUNS; run++) {
    results.push(await runWorkload(small, scaled(NODES)));
    console.error(`${name}: ${JSON.stringify(results.at(-1))}`);
  }
  const { podsPerSecond, cpu } = median(results);
  const value = Math.round(podsPerSecond);
  return [
    { name, value, unit: "pods/s", aim, against: upstream, met: value >= aim },
    ...Object.entries(cpu).map(([key, cost]) => ({
      name: `  CPU of ${key} a pod`,
      value: cost,
      unit: "µs",
      aim: null,
      against: null,
      met: true,
    })),
  ];
}

function decisions(): Figure[] {
  const of = (name: string, aim: number, value: number): Figure => ({
    name,
    value,
    unit: "pods/s",
    aim,
    against: null,
    met: value >= aim,
  });
  const decided = (constrained: boolean): number => decisionsPerSecond(scaled(NODES), scaled(20_000), constrained);
  return [
    of("decisions alone, all nodes scored", 15_000, decided(false)),
    of("decisions alone, with spreading and pod affinity", 5_000, decided(true)),
    of("decisions alone, with preemption of three pods each", 1_000, preemptionsPerSecond(scaled(NODES))),
  ];
}

const wanted = WORKLOADS.filter(({ name }) => ONLY === undefined || name === ONLY);
const figures: Figure[] = [];
for (const workload of wanted) figures.push(...(await figuresOf(workload)));
report("scheduler", [...figures, ...decisions()]);
