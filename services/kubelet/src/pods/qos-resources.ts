// What a pod's requests and limits are to the kernel: cgroups by quality of service, CPU, memory, and who is killed first
// where memory runs out. Pure.
// https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#node-out-of-memory-behavior
import { qosClass, type Container, type Pod } from "@coxswain/api";
import { parseBytes, parseCpuMillis } from "@coxswain/apimachinery";
import { cpuShares, MIN_CPU_SHARES } from "../cri/cpu-shares.ts";
import type { ContainerConfig } from "../cri/contract.ts";
import { podRequests, podResources } from "./admission.ts";
import type { CgroupLimits } from "./pod-cgroups.ts";

const GUARANTEED_OOM = -997;
const BEST_EFFORT_OOM = 1000;
const NODE_CRITICAL = "system-node-critical";

/** "/coxswain-x/node-1" → "/coxswain-x/node-1/burstable/pod<uid>"; pods with guaranteed resources are at the top. */
export function podCgroup(root: string, pod: Pod): string {
  const quality = qualityOf(pod);
  const folder = quality === "Guaranteed" ? "" : `/${quality.toLowerCase()}`;
  return `${root}${folder}/pod${pod.metadata?.uid ?? ""}`;
}

function qualityOf(pod: Pod): string {
  return pod.status?.qosClass ?? (pod.spec === undefined ? "BestEffort" : qosClass(pod.spec));
}

/** What the pod as a whole gets: bounds only where each of its containers has one, or the pod itself. */
export function podLimits(pod: Pod): CgroupLimits {
  if (qualityOf(pod) === "BestEffort") return { cpuShares: MIN_CPU_SHARES };
  const limits = podResources(pod, "limits");
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const bounded = (name: string): number | undefined => {
    const whole = pod.spec?.resources?.limits?.[name] !== undefined;
    return whole || all.every(({ resources }) => resources?.limits?.[name] !== undefined) ? limits[name] : undefined;
  };
  const [cpuMillis = 0, memoryBytes = 0] = [bounded("cpu"), bounded("memory")];
  return {
    cpuShares: cpuShares(podRequests(pod)["cpu"] ?? limits["cpu"]),
    ...(cpuMillis > 0 ? { cpuMillis } : {}),
    ...(memoryBytes > 0 ? { memoryBytes } : {}),
  };
}

/** What the cgroup above a pod's gets: its pods share what they ask for together. Undefined where that is the node's. */
export function classLimits(root: string, pod: Pod, others: readonly Pod[]): [string, CgroupLimits] | undefined {
  const quality = qualityOf(pod);
  if (quality === "Guaranteed") return undefined;
  const folder = `${root}/${quality.toLowerCase()}`;
  if (quality === "BestEffort") return [folder, { cpuShares: MIN_CPU_SHARES }];
  const alike = [pod, ...others.filter((one) => qualityOf(one) === quality)];
  const millis = alike.reduce((sum, one) => sum + (podRequests(one)["cpu"] ?? 0), 0);
  return [folder, { cpuShares: cpuShares(millis) }];
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
  const quality = qualityOf(pod);
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
