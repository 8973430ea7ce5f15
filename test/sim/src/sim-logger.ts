// Logs of simulated processes go into the trace: what a process says is part of the run.
import type { Logger } from "@coxswain/component-base";
import type { SimProcess } from "./sim-process.ts";

export type LogLine = (process: string, level: string, message: string) => void;

function textOf(value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (typeof value === "bigint") return value.toString();
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

export function createSimLogger(process: SimProcess, write: LogLine): Logger {
  const at =
    (level: string) =>
    (fields: object, message: string): void => {
      const said = Object.entries(fields).map(([name, value]) => ` ${name}=${textOf(value)}`);
      write(process.name, level, message + said.join(""));
    };
  const silent = (): void => {};
  const logger: Logger = {
    trace: silent,
    debug: silent,
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => logger,
  };
  return logger;
}
