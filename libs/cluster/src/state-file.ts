// The cluster's state on disk: what runs, and where. Written whole or not at all, so that `down` finds everything even
// after the supervisor was killed.
import { rmSync } from "node:fs";
import { readJsonFile, writeJsonFile } from "./json-file.ts";
import type { ProcessIdentity } from "./process-table.ts";
import type { ProcessRecord } from "./supervisor.ts";

/** A port of 127.0.0.1 that `expose` has made. */
export interface Exposed {
  readonly port: number;
  readonly targets: readonly string[];
  /** What the user asked for. */
  readonly label: string;
}

export interface ClusterState {
  readonly supervisor: ProcessIdentity;
  /** starting, ready or stopping. */
  readonly phase: "starting" | "ready" | "stopping";
  readonly progress: readonly string[];
  readonly records: readonly ProcessRecord[];
  /** The port of 127.0.0.1 before several api-servers; absent where there is one. */
  readonly front?: number;
  /** Absent where nothing can be exposed. */
  readonly exposed?: readonly Exposed[];
}

/** Undefined where there is no state file. Throws on a damaged one, naming it. */
export function readState(file: string): ClusterState | undefined {
  const advice = "remove it if no process of the cluster runs any more";
  return readJsonFile(file, advice, (value) => value as ClusterState);
}

export function writeState(file: string, state: ClusterState): void {
  writeJsonFile(file, state);
}

export function removeState(file: string): void {
  rmSync(file, { force: true });
}
