// The document of /stats/summary, stats/v1alpha1: pure.
// https://kubernetes.io/docs/reference/instrumentation/node-metrics/
import { formatTime } from "@coxswain/apimachinery";
import { sumOf, type NodeStats, type PodUsage, type Usage } from "./node-stats.ts";

type Figures = Pick<Usage, "cpuNanos" | "cpuNanoCores" | "workingSetBytes" | "timeMs">;

function figures({ cpuNanos, cpuNanoCores, workingSetBytes, timeMs }: Figures): object {
  const time = formatTime(timeMs);
  return {
    cpu: { time, usageNanoCores: cpuNanoCores, usageCoreNanoSeconds: cpuNanos },
    memory: { time, workingSetBytes },
  };
}

function podSummary({ namespace, name, uid, startMs, containers }: PodUsage): object {
  const sum = sumOf(containers);
  return {
    podRef: { name, namespace, uid },
    startTime: formatTime(startMs),
    containers: containers.map((one) => ({ name: one.name, startTime: formatTime(one.startMs), ...figures(one) })),
    ...(sum === undefined ? {} : figures(sum)),
  };
}

function nodeSummary({ node, usage, pods, simulated }: NodeStats): object {
  const known = usage === undefined ? {} : { startTime: formatTime(usage.startMs), ...figures(usage) };
  return { node: { nodeName: node, ...(simulated ? { simulated } : {}), ...known }, pods: pods.map(podSummary) };
}

/** Of one node as upstream has it; of several that share a process, one an entry of `nodes`. */
export function statsSummary(nodes: readonly NodeStats[]): object {
  const all = nodes.map(nodeSummary);
  return all.length === 1 ? (all[0] ?? {}) : { nodes: all };
}
