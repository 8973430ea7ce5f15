// What the containers of a node and the node itself use, taken at one moment: the one source of /stats/summary,
// /metrics/resource, /metrics/cadvisor and GetStats. Guarantee: a container whose pod cannot be asked is left out and counted
// as an error, never told as using nothing.
import type { Pod } from "@coxswain/api";
import { parseTime } from "@coxswain/apimachinery";
import type { CriContainerStats } from "../cri/contract.ts";
import type { PodManager } from "../pods/pod-manager.ts";
import { SIMULATED_SYSTEM, simulatedNodeUsage } from "./simulated-usage.ts";

/** What something uses. CPU in nanoseconds since it started, and a second; memory in bytes. */
export interface Usage {
  readonly cpuNanos: number;
  readonly cpuNanoCores: number;
  readonly workingSetBytes: number;
  readonly startMs: number;
  readonly timeMs: number;
}

export interface ContainerUsage extends Usage {
  readonly name: string;
  /** The runtime's. */
  readonly id: string;
  readonly image: string;
}

export interface PodUsage {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly startMs: number;
  /** That run. */
  readonly containers: readonly ContainerUsage[];
}

export interface NodeStats {
  readonly node: string;
  /** No program runs: the figures are made up. */
  readonly simulated: boolean;
  /** Undefined where it could not be read. */
  readonly usage: Usage | undefined;
  readonly pods: readonly PodUsage[];
  /** Pods, and the node itself, whose figures could not be read. */
  readonly errors: number;
}

/** The sum of what containers use; undefined of none. */
export function sumOf(
  containers: readonly Usage[],
): Pick<Usage, "cpuNanos" | "cpuNanoCores" | "workingSetBytes" | "timeMs"> | undefined {
  if (containers.length === 0) return undefined;
  const total = { cpuNanos: 0, cpuNanoCores: 0, workingSetBytes: 0, timeMs: 0 };
  for (const one of containers) {
    total.cpuNanos += one.cpuNanos;
    total.cpuNanoCores += one.cpuNanoCores;
    total.workingSetBytes += one.workingSetBytes;
    total.timeMs = Math.max(total.timeMs, one.timeMs);
  }
  return total;
}

async function podUsage(manager: PodManager, pod: Pod): Promise<PodUsage | undefined> {
  const { namespace = "", name = "", uid = "" } = pod.metadata ?? {};
  const state = manager.worker(namespace, name)?.state;
  if (state?.sandbox === undefined) return undefined;
  const stats = new Map<string, CriContainerStats>();
  for (const one of await manager.context.cri.containerStats(state.sandbox.id)) stats.set(one.containerId, one);
  const containers = state.containers.flatMap((record): ContainerUsage[] => {
    const { run } = record;
    const found = run === undefined ? undefined : stats.get(run.id);
    if (run === undefined || found === undefined) return [];
    const { cpuNanos, cpuNanoCores, memoryWorkingSetBytes: workingSetBytes, timeMs } = found;
    const figures = { cpuNanos, cpuNanoCores, workingSetBytes, timeMs, startMs: run.startedAtMs };
    return [{ name: record.name, id: run.id, image: record.spec.image ?? "", ...figures }];
  });
  return { namespace, name, uid, startMs: parseTime(pod.status?.startTime) ?? state.startTimeMs, containers };
}

/** Never rejects: what cannot be read counts as an error. */
export async function collectStats(manager: PodManager): Promise<NodeStats> {
  const { context } = manager;
  const { logger, node } = context;
  let errors = 0;
  const failed = (error: unknown, what: string): undefined => {
    errors++;
    logger.warn({ err: error, what }, "figures could not be read");
    return undefined;
  };
  const asked = manager
    .pods()
    .map((pod) => podUsage(manager, pod).catch((error: unknown) => failed(error, pod.metadata?.name ?? "")));
  const pods = (await Promise.all(asked)).filter((pod) => pod !== undefined);
  const simulated = context.usage === undefined;
  const usage = await (context.usage?.() ?? simulatedUsage(manager, pods)).catch((error: unknown) =>
    failed(error, `node ${node}`),
  );
  return { node, simulated, usage, pods, errors };
}

/** What the pods use, and a little for a system that is not there; or what the Node's annotations say. */
async function simulatedUsage(manager: PodManager, pods: readonly PodUsage[]): Promise<Usage> {
  const { env, bornMs, nodeObject } = manager.context;
  const timeMs = env.clock.now();
  const sum = sumOf(pods.flatMap(({ containers }) => containers));
  const cpuNanoCores = (sum?.cpuNanoCores ?? 0) + SIMULATED_SYSTEM.cpuNanoCores;
  const workingSetBytes = (sum?.workingSetBytes ?? 0) + SIMULATED_SYSTEM.memoryBytes;
  const told = simulatedNodeUsage(nodeObject?.known(), { cpuNanoCores, memoryBytes: workingSetBytes });
  const cpuNanos = manager.nodeClock.count(told.cpuNanoCores, timeMs);
  const figures = { cpuNanos, cpuNanoCores: told.cpuNanoCores, workingSetBytes: told.memoryBytes };
  return { ...figures, startMs: bornMs, timeMs };
}
