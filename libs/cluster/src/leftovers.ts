// Ends what a dead supervisor left running, so that `up` starts on clean ground and `down` leaves nothing behind.
import { existsSync } from "node:fs";
import type { Env } from "@coxswain/env";
import { clusterId } from "./cluster-id.ts";
import type { ClusterPaths, Runtime } from "./cluster-spec.ts";
import { runDir } from "./platform/platform-plan.ts";
import { removePlatform } from "./platform/remove-platform.ts";
import { stopWaves } from "./process-slots.ts";
import { isAlive, signal, type ProcessIdentity } from "./process-table.ts";
import { readState, removeState } from "./state-file.ts";

const GRACE_MS = 10_000;
const POLL_MS = 20;

interface Survivor extends ProcessIdentity {
  /** "supervisor" or a component. */
  readonly component: string;
}

/** Processes on record that still run, the supervisor's included. */
export function survivors(stateFile: string): Survivor[] {
  const state = readState(stateFile);
  if (state === undefined) return [];
  const recorded: Survivor[] = [
    { ...state.supervisor, component: "supervisor" },
    ...state.records.map(({ spec, pid, startTime }) => ({ pid, startTime, component: spec.component })),
  ];
  return recorded.filter((identity) => identity.pid > 0 && isAlive(identity));
}

/**
 * Removes what a cluster with real nodes has in the kernel, pods and all, whoever left it there. containerd's data (images,
 * records of pods) stays in the data folder: the next `up` is to pods what a reboot is.
 */
export async function removeGround(env: Env, paths: ClusterPaths, runtime: Runtime | undefined): Promise<void> {
  const id = clusterId(paths);
  if (runtime === "containerd" || existsSync(runDir(id))) await removePlatform(id, paths.dataDir, env);
}

/** Ends them all, by force after a grace period, and forgets the record. Returns how many there were. */
export async function endLeftovers(env: Env, stateFile: string): Promise<number> {
  const found = survivors(stateFile);
  for (const wave of stopWaves([...new Set(found.map(({ component }) => component))])) {
    await endWave(
      env,
      found.filter(({ component }) => wave.includes(component)),
    );
  }
  removeState(stateFile);
  return found.length;
}

async function endWave(env: Env, wave: readonly Survivor[]): Promise<void> {
  for (const identity of wave) {
    signal(identity, "SIGCONT");
    signal(identity, "SIGTERM");
  }
  const forceAt = env.clock.monotonic() + GRACE_MS;
  while (wave.some((identity) => isAlive(identity))) {
    if (env.clock.monotonic() > forceAt) for (const identity of wave) signal(identity, "SIGKILL");
    await env.timers.sleep(POLL_MS);
  }
}
