// What a person reads of a run.
import type { SeedRun } from "./run-seed.ts";

const TRACE_LINES = 60;

const seconds = (ms: number): string => (ms / 1000).toFixed(3);

export function describeRun({ result, trace, again }: SeedRun): string {
  const { seed, traceHash, simulatedMs, steps, faults, violations } = result;
  const head = `seed ${seed}: ${violations.length === 0 ? "ok" : "BROKEN"}, ${seconds(simulatedMs)} s simulated, ${steps} steps, ${faults} faults, trace ${traceHash.slice(0, 16)}`;
  if (violations.length === 0) return head;
  const broken = violations.map((one) => `  at ${seconds(one.atMs)} s ${one.invariant}: ${one.detail}`);
  const last = trace.slice(-TRACE_LINES).map((line) => `    ${line}`);
  return [head, ...broken, "  the end of the trace:", ...last, `  again: ${again}`].join("\n");
}
