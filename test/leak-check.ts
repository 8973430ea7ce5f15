// Around a whole run of tests: what clusters have on the machine is counted before and after, and the run fails on a difference.
// In a quiet network (tools/quiet-network.ts) it also fails when a single packet left by an interface that is not a cluster's.
import { readFileSync } from "node:fs";
import path from "node:path";
import { ensureNodePrograms, type NodePrograms, nodeRuntimeMissing } from "@coxswain/cluster/node-programs";
import { diffInventory, foreignPackets, inventory, RUN_LABEL } from "@coxswain/cluster/platform/inventory";
import { startTimeOf } from "@coxswain/cluster/process-table";
import { createRealEnv } from "@coxswain/env";

/** Clusters that end with their test's process need a moment after it. */
const PATIENCE_MS = 15_000;

/** Vitest's global set-up; what it returns runs after the last test, and fails the run by throwing. */
export default function leakCheck(): Promise<() => Promise<void>> {
  const label = `tests-${process.pid}-${startTimeOf(process.pid) ?? ""}`;
  // Workers inherit it, and with them all that the tests start.
  process.env[RUN_LABEL] = label;
  return beginLeakCheck(label, PATIENCE_MS);
}

/** Counts now; the function that it resolves to counts again and rejects, naming what is new, once `patienceMs` are over. */
export async function beginLeakCheck(label: string, patienceMs: number): Promise<() => Promise<void>> {
  const env = createRealEnv();
  const tools = path.resolve(import.meta.dirname, "../.tools");
  const programs = nodeRuntimeMissing(tools) === undefined ? await ensureNodePrograms(tools, () => {}) : undefined;
  const before = inventory(programs);
  const sentBefore = foreignPackets();
  return async () => {
    const giveUpAt = env.clock.monotonic() + patienceMs;
    let leaks = leaksSince(before, programs, label);
    while (leaks.length > 0 && env.clock.monotonic() < giveUpAt) {
      await env.timers.sleep(50);
      leaks = leaksSince(before, programs, label);
    }
    const sent = foreignPackets() - sentBefore;
    const quiet = process.env["COXSWAIN_QUIET_NETWORK"] === "1";
    console.log(
      `leak check: ${leaks.length} left behind; ${sent} packets sent outside clusters${quiet ? "" : " by the whole machine"}`,
    );
    if (leaks.length > 0) throw new Error(`these tests left behind:\n${leaks.join("\n")}`);
    if (quiet && sent > 0) throw new Error(`${sent} packets left by interfaces that are no cluster's`);
  };
}

function leaksSince(before: ReturnType<typeof inventory>, programs: NodePrograms | undefined, label: string): string[] {
  return diffInventory(before, inventory(programs), label).filter((line) => !isWorker(line));
}

/** Whether an inventory line names a process of the test runner itself. */
function isWorker(line: string): boolean {
  const pid = /^process (\d+) /.exec(line)?.[1];
  if (pid === undefined) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("vitest");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return true;
    throw error;
  }
}
