// What a pod's requests and limits are to the kernel: cgroups by quality of service, CPU, memory, and who is killed first
// where memory runs out. Pure.
// https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#node-out-of-memory-behavior
import { qosClass, type Container, type Pod } from "@coxswain/api";
import { parseBytes, parseCpuMillis } from "@coxswain/apimachinery";
import type { ContainerConfig } from "../cri/contract.ts";

const GUARANTEED_OOM = -997;
const BEST_EFFORT_OOM = 1000;
const NODE_CRITICAL = "system-node-critical";

/** "/coxswain-x/node-1" → "/coxswain-x/node-1/burstable/pod<uid>"; pods with guaranteed resources are at the top. */
export function podCgroup(root: string, pod: Pod): string {
  const quality = pod.status?.qosClass ?? (pod.spec === undefined ? "BestEffort" : qosClass(pod.spec));
  const folder = quality === "Guaranteed" ? "" : `/${quality.toLowerCase()}`;
  return `${root}${folder}/pod${pod.metadata?.uid ?? ""}`;
}

/** A container's share of CPU, its bound, and its bound of memory; the pod's own bounds stand in where it has none. */
export function containerResources({ spec }: Pod, { resources = {} }: Container): ContainerConfig["resources"] {
  const { requests } = resources;
  const limits = { ...spec?.resources?.limits, ...resources.limits };
  const request = requests?.["cpu"] ?? limits["cpu"];
  const cpuLimit = limits["cpu"];
  const memoryLimit = limits["memory"];
  return {
    ...(request === undefined ? {} : { cpuMillis: parseCpuMillis(request) }),
    ...(cpuLimit === undefined || parseCpuMillis(cpuLimit) === 0 ? {} : { cpuLimitMillis: parseCpuMillis(cpuLimit) }),
    ...(memoryLimit === undefined || parseBytes(memoryLimit) === 0
      ? {}
      : { memoryLimitBytes: parseBytes(memoryLimit) }),
  };
}

/** The kernel's oom_score_adj of a container: the less of its node's memory it asks for, the sooner it goes. */
export function oomScoreAdj(pod: Pod, container: Container, memoryCapacityBytes: number): number {
  const quality = pod.status?.qosClass ?? (pod.spec === undefined ? "BestEffort" : qosClass(pod.spec));
  if (quality === "Guaranteed" || pod.spec?.priorityClassName === NODE_CRITICAL) return GUARANTEED_OOM;
  if (quality === "BestEffort") return BEST_EFFORT_OOM;
  const own = burstableScore(container, memoryCapacityBytes);
  // Only among init containers does the policy make one.
  const sidecar = pod.spec?.initContainers?.some(
    (one) => one.name === container.name && one.restartPolicy === "Always",
  );
  if (sidecar !== true) return own;
  // A sidecar does not go before the containers that it serves.
  const served = (pod.spec?.containers ?? []).map((one) => burstableScore(one, memoryCapacityBytes));
  return Math.min(own, ...served);
}

function burstableScore({ resources = {} }: Container, capacity: number): number {
  const requested = parseBytes(resources.requests?.["memory"] ?? resources.limits?.["memory"] ?? "0");
  const score = BEST_EFFORT_OOM - Math.trunc((1000 * requested) / capacity);
  // Between the guaranteed pods and those that ask for nothing.
  return Math.min(Math.max(score, BEST_EFFORT_OOM + GUARANTEED_OOM), BEST_EFFORT_OOM - 1);
}
