// PostFilter: says, in upstream's words, why preemption does not help. Evicting others is not done yet: where it might
// help, the message says so.
import type { CycleState, NodeVerdicts, Plugin } from "../framework/contract.ts";
import { countedMessage } from "../framework/fit-error.ts";

const NOT_HELPFUL = "Preemption is not helpful for scheduling";
const NO_VICTIMS = "No preemption victims found for incoming pod";
const NOT_SUPPORTED = "node(s) have pods of lower priority, which this scheduler does not preempt yet";

function hasVictims(cycle: CycleState, row: number): boolean {
  for (const other of cycle.snapshot.pods[row]!.values()) if (other.priority < cycle.info.priority) return true;
  return false;
}

function preemptionReasons(cycle: CycleState, verdicts: NodeVerdicts): Map<string, number> {
  const reasons = new Map<string, number>();
  for (let row = 0; row < verdicts.rows; row++) {
    const resolvable = verdicts.rejectionOf(row)?.code === "Unschedulable";
    const reason = !resolvable ? NOT_HELPFUL : hasVictims(cycle, row) ? NOT_SUPPORTED : NO_VICTIMS;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  return reasons;
}

export const defaultPreemption: Plugin = {
  name: "DefaultPreemption",
  postFilter(cycle, verdicts) {
    if (cycle.info.pod.spec?.preemptionPolicy === "Never") {
      return { message: "preemption: not eligible due to preemptionPolicy=Never." };
    }
    return { message: `preemption: ${countedMessage(verdicts.rows, preemptionReasons(cycle, verdicts))}` };
  },
};
