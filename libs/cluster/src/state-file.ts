// The cluster's state on disk: what runs, and where. Written whole or not at all, so that `down` finds everything even
// after the supervisor was killed.
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
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
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as ClusterState;
  } catch (error) {
    throw new Error(`${file} is damaged; remove it if no process of the cluster runs any more`, { cause: error });
  }
}

export function writeState(file: string, state: ClusterState): void {
  const temporary = `${file}.new`;
  writeFileSync(temporary, JSON.stringify(state), { mode: 0o600 });
  renameSync(temporary, file);
}

export function removeState(file: string): void {
  rmSync(file, { force: true });
}
