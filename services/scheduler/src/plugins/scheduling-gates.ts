// PreEnqueue: a pod with scheduling gates is not tried at all.
import type { Plugin } from "../framework/contract.ts";

export const schedulingGates: Plugin = {
  name: "SchedulingGates",
  preEnqueue(info) {
    const gates = info.pod.spec?.schedulingGates ?? [];
    if (gates.length === 0) return undefined;
    return `waiting for scheduling gates: [${gates.map((gate) => gate.name).join(" ")}]`;
  },
  events: () => [{ resource: "TargetPod", actions: ["UpdatePodSchedulingGatesEliminated"] }],
};
