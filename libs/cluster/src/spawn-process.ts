// Starts a process in a session of its own, with its output appended to its log file.
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { constants } from "node:os";
import type { ProcessSpec } from "./process-plan.ts";
import { signal, startTimeOf } from "./process-table.ts";
import type { SpawnedProcess } from "./supervisor.ts";

/** What a child gets of the environment: no secrets of the caller, only what programs need. */
const KEPT_VARIABLES = ["PATH", "HOME", "TMPDIR", "LANG", "TZ", "NODE_OPTIONS", "COXSWAIN_RUN_LABEL"];

/** Spawns `spec`. A command that cannot be started counts as an exit with code 127. */
export function spawnProcess(spec: ProcessSpec, compileCache: string): SpawnedProcess {
  const log = openSync(spec.log, "a", 0o600);
  const env: NodeJS.ProcessEnv = { NODE_COMPILE_CACHE: compileCache };
  for (const name of KEPT_VARIABLES) if (process.env[name] !== undefined) env[name] = process.env[name];
  const child = spawn(spec.command, [...spec.args], { detached: true, stdio: ["ignore", log, log], env });
  closeSync(log);
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once("error", () => resolve({ code: 127, signal: null }));
    child.once("exit", (code, name) => resolve({ code, signal: name }));
  });
  const identity = {
    pid: child.pid ?? 0,
    startTime: child.pid === undefined ? "" : (startTimeOf(child.pid) ?? "gone"),
  };
  return { ...identity, exited, signal: (name) => name in constants.signals && signal(identity, name) };
}
