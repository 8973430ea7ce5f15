// The power switch of real nodes: a node that is cut has no process left and answers nobody, as a machine without power.
// Its disk stays. Processes are found by their cgroup at the moment of the signal.
import { execFileSync } from "node:child_process";
import { cgroupProcesses, killCgroup, thawCgroup } from "./platform/cgroup-tree.ts";
import type { Platform } from "./platform/create-platform.ts";
import { FABRIC, PlatformError, runDir, type NodePlan } from "./platform/platform-plan.ts";
import { signal, startTimeOf } from "./process-table.ts";
import type { NodePower } from "./supervisor.ts";

/** Each round ends what the one before has missed: processes that were just being started. */
const ROUNDS = 50;

export function createNodePower(platform: Platform): NodePower {
  const planOf = (name: string): NodePlan => {
    const plan = platform.plan.nodes.find((node) => node.name === name);
    if (plan === undefined) throw new PlatformError(`the cluster has no node ${name}`);
    return plan;
  };
  const plug = (plan: NodePlan, state: "up" | "down"): void => {
    const { nsenter, ip } = platform.plan.programs;
    const fabric = `--net=${runDir(platform.plan.id)}/net/${FABRIC}`;
    execFileSync(nsenter, [fabric, "--", ip, "link", "set", plan.port, state], { stdio: "pipe" });
  };
  return {
    cut(name) {
      const plan = planOf(name);
      // First of all: a dying node tells nobody.
      plug(plan, "down");
      thawCgroup(plan.podCgroupRoot);
      for (let round = 0; round < ROUNDS; round++) {
        killCgroup(plan.podCgroupRoot);
        if (signalAll(plan, "SIGKILL") === 0) return;
      }
    },
    restore: (name) => plug(planOf(name), "up"),
    signal: (name, what) => void signalAll(planOf(name), what),
  };
}

/** How many there were. Those that are dead but not yet reaped count as gone. */
function signalAll(plan: NodePlan, name: NodeJS.Signals): number {
  let hit = 0;
  for (const pid of cgroupProcesses(plan.podCgroupRoot)) {
    const startTime = startTimeOf(pid);
    if (startTime !== undefined && signal({ pid, startTime }, name)) hit++;
  }
  return hit;
}
