// coxswain.kubelet.v1.Kubelet: pods, logs, exec and figures of the nodes of this process. All from the workers' own state.
import { newBadRequest, newNotFound } from "@coxswain/apimachinery";
import type { GrpcService } from "@coxswain/component-base";
import { implementService } from "@coxswain/component-base/grpc-service";
import type { Env } from "@coxswain/env";
import { structFromJson } from "@coxswain/protos";
import type { ContainerStatsInput, GetLogsRequest } from "@coxswain/protos/kubelet-v1.gen";
import type { PodManager } from "../pods/pod-manager.ts";
import type { ContainerRecord } from "../pods/pod-state.ts";
import type { PodWorker } from "../pods/pod-worker.ts";
import { serveExec } from "./exec-session.ts";
import { selectLogLines } from "./log-lines.ts";

const NODES = { group: "", resource: "nodes" };
const PODS = { group: "", resource: "pods" };

export interface KubeletServiceDeps {
  readonly env: Env;
  readonly managers: ReadonlyMap<string, PodManager>;
}

interface Target {
  readonly node: string;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

export function kubeletService({ env, managers }: KubeletServiceDeps): GrpcService {
  /** All nodes where none is named. */
  const managersOf = (node: string): PodManager[] => {
    if (node === "") return [...managers.values()];
    const found = managers.get(node);
    if (found === undefined) throw newNotFound(NODES, node);
    return [found];
  };
  const find = (target: Target): { manager: PodManager; worker: PodWorker; record: ContainerRecord } => {
    for (const manager of managersOf(target.node)) {
      const worker = manager.worker(target.namespace, target.pod);
      if (worker !== undefined) return { manager, worker, record: containerOf(worker, target) };
    }
    throw newNotFound(PODS, target.pod);
  };
  return implementService("coxswain.kubelet.v1.Kubelet", {
    listPods: async ({ node }) => ({
      pods: managersOf(node).flatMap((manager) => manager.pods().map((pod) => structFromJson(pod))),
    }),
    getLogs: async (request, responses, { signal }) => {
      const { manager, record } = find(request);
      const id = logsOf(record, request);
      const read = (follow: boolean): ReturnType<typeof manager.context.cri.logs> =>
        manager.context.cri.logs(id, { follow }, signal);
      const options = {
        ...request,
        tailLines: numberOf(request.tailLines),
        limitBytes: numberOf(request.limitBytes),
        sinceSeconds: numberOf(request.sinceSeconds),
      };
      for await (const data of selectLogLines(read, options, env.clock.now())) await responses.send({ data });
    },
    exec: (requests, responses, { signal }) =>
      serveExec(requests, responses, signal, (start, io) => {
        const { manager, record } = find(start);
        if (record.run?.state !== "running") throw newBadRequest(`container ${start.container} is not running`);
        return manager.context.cri.exec(record.run.id, start.command, start.tty, io, signal);
      }),
    getStats: async ({ node }) => ({
      nodes: await Promise.all(
        managersOf(node).map(async (manager) => ({
          node: manager.context.node,
          pods: manager.size,
          containers: await containerStats(manager),
        })),
      ),
    }),
  });
}

function numberOf(value: string | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

function containerOf(worker: PodWorker, target: Target): ContainerRecord {
  const { containers } = worker.state;
  if (target.container === "") {
    const main = containers.filter((record) => record.kind === "main");
    if (main.length === 1 && main[0] !== undefined) return main[0];
    throw newBadRequest(`a container name must be specified for pod ${target.pod}`);
  }
  const found = containers.find((record) => record.name === target.container);
  if (found === undefined) throw newBadRequest(`container ${target.container} is not valid for pod ${target.pod}`);
  return found;
}

/** The runtime's id of the life whose logs were asked for. */
function logsOf(record: ContainerRecord, { container, pod, previous }: GetLogsRequest): string {
  if (previous) {
    // Between two lives the one that ended last is the previous one.
    const id = record.waiting !== undefined && record.run?.state === "exited" ? record.run.id : record.previousId;
    if (id !== undefined) return id;
    throw newBadRequest(`previous terminated container "${container}" in pod "${pod}" not found`);
  }
  if (record.run !== undefined) return record.run.id;
  if (record.settled !== undefined) throw newBadRequest(`container "${container}" in pod "${pod}" is terminated`);
  const reason = record.waiting?.reason ?? "ContainerCreating";
  throw newBadRequest(`container "${container}" in pod "${pod}" is waiting to start: ${reason}`);
}

async function containerStats(manager: PodManager): Promise<ContainerStatsInput[]> {
  const found: ContainerStatsInput[] = [];
  for (const pod of manager.pods()) {
    const { namespace = "", name = "" } = pod.metadata ?? {};
    const state = manager.worker(namespace, name)?.state;
    if (state?.sandbox === undefined) continue;
    for (const stats of await manager.context.cri.containerStats(state.sandbox.id)) {
      found.push({
        namespace,
        pod: name,
        container: state.containers.find((record) => record.run?.id === stats.containerId)?.name ?? "",
        cpuUsageNanoCores: stats.cpuNanoCores,
        memoryWorkingSetBytes: stats.memoryWorkingSetBytes,
      });
    }
  }
  return found;
}
