// The controller-manager's own flags, with upstream's names and defaults.
import { InvalidArgumentError, type Command } from "commander";
import { readFileSync } from "node:fs";
import type { ControllerManagerOptions } from "./app.ts";

export interface Flags {
  readonly caFile: string;
  readonly maxEndpointsPerSlice: number;
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value <= 0) throw new InvalidArgumentError("must be a positive number");
  return value;
}

export function addFlags(command: Command): void {
  command.option("--max-endpoints-per-slice <number>", "endpoints in one EndpointSlice", positive, 100);
}

/** The app's options; reads the CA that is published in every namespace. */
export function optionsFrom(flags: Flags): ControllerManagerOptions {
  return {
    rootCa: readFileSync(flags.caFile, "utf8"),
    maxEndpointsPerSlice: flags.maxEndpointsPerSlice,
  };
}
