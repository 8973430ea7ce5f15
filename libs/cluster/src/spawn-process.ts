// Starts a process in a session of its own, with its output appended to its log file.
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { constants } from "node:os";
import type { Readable } from "node:stream";
import type { ProcessSpec } from "./process-plan.ts";
import { isOurs } from "./process-slots.ts";
import { signal, startTimeOf } from "./process-table.ts";
import type { SpawnedProcess } from "./supervisor.ts";

/** What a child gets of the environment: no secrets of the caller, only what programs need. */
const KEPT_VARIABLES = ["PATH", "HOME", "TMPDIR", "LANG", "TZ", "NODE_OPTIONS", "COXSWAIN_RUN_LABEL"];

/** Spawns `spec`. A command that cannot be started counts as an exit with code 127. */
export function spawnProcess(spec: ProcessSpec, compileCache: string): SpawnedProcess {
  return start(spec, compileCache, false).process;
}

/** The same with an IPC channel to the child. */
export function spawnWithChannel(
  spec: ProcessSpec,
  compileCache: string,
): { process: SpawnedProcess; child: ChildProcess } {
  return start(spec, compileCache, true);
}

function start(
  spec: ProcessSpec,
  compileCache: string,
  channel: boolean,
): { process: SpawnedProcess; child: ChildProcess } {
  const log = openSync(spec.log, "a", 0o600);
  const tells = isOurs(spec.component);
  const env: NodeJS.ProcessEnv = { NODE_COMPILE_CACHE: compileCache };
  for (const name of KEPT_VARIABLES) if (process.env[name] !== undefined) env[name] = process.env[name];
  Object.assign(env, spec.env);
  const stdio: ("ignore" | "ipc" | "pipe" | number)[] = ["ignore", log, log];
  if (channel) stdio.push("ipc");
  if (tells) stdio.push("pipe");
  if (tells) env["COXSWAIN_READY_FD"] = String(stdio.length - 1);
  const child = spawn(spec.command, [...spec.args], { detached: true, stdio, env });
  closeSync(log);
  const ready = tells ? firstBytes(child.stdio[stdio.length - 1] as Readable | null | undefined) : undefined;
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once("error", () => resolve({ code: 127, signal: null }));
    child.once("exit", (code, name) => resolve({ code, signal: name }));
  });
  const identity = {
    pid: child.pid ?? 0,
    startTime: child.pid === undefined ? "" : (startTimeOf(child.pid) ?? "gone"),
  };
  const deliver = (name: NodeJS.Signals): boolean => name in constants.signals && signal(identity, name);
  return { child, process: { ...identity, exited, signal: deliver, ...(ready === undefined ? {} : { ready }) } };
}

/** Settles when something was written into the pipe; never where it closes without. */
function firstBytes(pipe: Readable | null | undefined): Promise<void> {
  return new Promise((resolve) => {
    // What a process that dies leaves behind is no message; that it died is told elsewhere.
    pipe?.once("error", () => pipe.destroy());
    pipe?.once("data", () => {
      pipe.destroy();
      resolve();
    });
  });
}
