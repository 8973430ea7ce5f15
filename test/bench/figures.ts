// How benchmarks report: figures beside the limit or peer of the same run, as a table for people or one JSON object.
import { cpus } from "node:os";

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Null where none is set: the figure is for comparison. */
  readonly aim: number | null;
  /** The limit or peer of the same run. */
  readonly against: number | null;
  readonly met: boolean;
}

/** Prints one JSON object with `--json`, else a table. */
export function report(name: string, figures: readonly Figure[]): void {
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, Node ${process.version}`;
  if (process.argv.includes("--json")) console.log(JSON.stringify({ name, machine, figures }));
  else for (const figure of figures) console.log(lineOf(figure));
}

function lineOf({ name, value, unit, aim, against, met }: Figure): string {
  const beside = [
    ...(aim === null ? [] : [`aim ${aim}`]),
    ...(against === null ? [] : [`against ${against}: ${(value / against).toFixed(2)}x`]),
  ];
  const verdict = aim === null || met ? "" : "  NOT MET";
  return `${name.padEnd(52)} ${String(value).padStart(7)} ${unit.padEnd(9)} ${beside.join(", ")}${verdict}`;
}
