// Score: nodes whose cpu and memory would be used to the same degree. Pods that request nothing are left out, or they
// would all go to one node.
import { MAX_NODE_SCORE, type Plugin } from "../framework/contract.ts";

const EMPTY = new Float64Array(0);

export const nodeResourcesBalancedAllocation: Plugin = {
  name: "NodeResourcesBalancedAllocation",
  preScore(cycle) {
    const { requests } = cycle.info;
    return (requests.get("cpu") ?? 0) === 0 && (requests.get("memory") ?? 0) === 0 ? "skip" : undefined;
  },
  score(cycle, rows, count, scores) {
    const cpu = cycle.snapshot.resource("cpu");
    const memory = cycle.snapshot.resource("memory");
    const [hasCpu, usedCpu] = [cpu?.allocatable ?? EMPTY, cpu?.requested ?? EMPTY];
    const [hasMemory, usedMemory] = [memory?.allocatable ?? EMPTY, memory?.requested ?? EMPTY];
    const wantCpu = cycle.info.requests.get("cpu") ?? 0;
    const wantMemory = cycle.info.requests.get("memory") ?? 0;
    for (let at = 0; at < count; at++) {
      const row = rows[at]!;
      const ofCpu = hasCpu[row] ?? 0;
      const ofMemory = hasMemory[row] ?? 0;
      // With one resource or none there is nothing to balance.
      const deviation =
        ofCpu === 0 || ofMemory === 0
          ? 0
          : Math.abs(
              Math.min(1, (usedCpu[row]! + wantCpu) / ofCpu) - Math.min(1, (usedMemory[row]! + wantMemory) / ofMemory),
            ) / 2;
      scores[at] = Math.trunc((1 - deviation) * MAX_NODE_SCORE);
    }
  },
};
