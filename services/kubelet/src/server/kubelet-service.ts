// coxswain.kubelet.v1.Kubelet: pods, logs, exec, attach, forwarded ports and figures of the nodes of this process. All from
// the workers' own state; wording of errors as upstream's kubelet and runtimes.
import { newBadRequest, newNotFound, StatusError } from "@coxswain/apimachinery";
import type { GrpcService } from "@coxswain/component-base";
import { implementService } from "@coxswain/component-base/grpc-service";
import { isAbort, type Env } from "@coxswain/env";
import { structFromJson } from "@coxswain/protos";
import type {
  AttachRequest_Start,
  ExecRequest_Start,
  GetLogsRequest,
  NodeStatsInput,
} from "@coxswain/protos/kubelet-v1.gen";
import type { Cri } from "../cri/contract.ts";
import type { PodManager } from "../pods/pod-manager.ts";
import type { ContainerRecord } from "../pods/pod-state.ts";
import type { PodWorker } from "../pods/pod-worker.ts";
import { collectStats, type NodeStats } from "../stats/node-stats.ts";
import { serveCommand } from "./command-session.ts";
import { serveForward } from "./forward-session.ts";
import { selectLogLines } from "./log-lines.ts";

const NODES = { group: "", resource: "nodes" };
const PODS = { group: "", resource: "pods" };
/** Nodes in one message of ListStats: some hundred kilobytes. */
const NODES_PER_PART = 50;

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
  /** The life of a container that a client may join. */
  const running = (target: Target): { cri: Cri; id: string } => {
    const found = managersOf(target.node).find((manager) => manager.worker(target.namespace, target.pod) !== undefined);
    if (found === undefined) throw cannotUpgrade("NotFound", 404, "pod does not exist");
    const { manager, record } = find(target);
    if (record.run?.state !== "running") {
      throw cannotUpgrade("InternalError", 500, `container not found (${JSON.stringify(record.name)})`);
    }
    return { cri: manager.context.cri, id: record.run.id };
  };
  const sandboxOf = ({ node, namespace, pod }: Omit<Target, "container">): { cri: Cri; id: string } => {
    for (const manager of managersOf(node)) {
      const sandbox = manager.worker(namespace, pod)?.state.sandbox;
      if (sandbox !== undefined) return { cri: manager.context.cri, id: sandbox.id };
    }
    throw cannotUpgrade("NotFound", 404, `pod not found (${JSON.stringify(`${pod}_${namespace}`)})`);
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
    exec: async (requests, responses, { signal }) => {
      const exitCode = await serveCommand(requests, responses, signal, async (start: ExecRequest_Start, io) => {
        const { cri, id } = running(start);
        return await explained("error executing command in container", () =>
          cri.exec(id, start.command, start.tty, io, signal),
        );
      });
      await responses.send({ exitCode });
    },
    attach: (requests, responses, { signal }) =>
      serveCommand(requests, responses, signal, async (start: AttachRequest_Start, io) => {
        const { cri, id } = running(start);
        await explained("error attaching to container", () => cri.attach(id, io, signal));
      }),
    portForward: (requests, responses, { signal }) =>
      serveForward(requests, responses, async ({ port, ...target }, io) => {
        const { cri, id } = sandboxOf(target);
        await explained(`error forwarding port ${port} to pod ${id}, uid `, () =>
          cri.portForward(id, port, io, signal),
        );
      }),
    getStats: async ({ node }) => ({
      nodes: (await Promise.all(managersOf(node).map(collectStats))).map(statsMessage),
    }),
    listStats: async ({ node }, responses) => {
      const all = managersOf(node);
      for (let at = 0; at < all.length; at += NODES_PER_PART) {
        const part = await Promise.all(all.slice(at, at + NODES_PER_PART).map(collectStats));
        await responses.send({ nodes: part.map(statsMessage) });
      }
    },
  });
}

function cannotUpgrade(reason: "NotFound" | "InternalError", code: number, why: string): StatusError {
  return new StatusError(reason, code, `unable to upgrade connection: ${why}`);
}

/** Says what was being done where the runtime fails. */
async function explained<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isAbort(error)) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new StatusError("InternalError", 500, `${what}: ${why}`, {}, { cause: error });
  }
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

function statsMessage({ node, simulated, usage, pods }: NodeStats): NodeStatsInput {
  return {
    node,
    simulated,
    pods: pods.length,
    ...(usage === undefined
      ? {}
      : {
          usage: {
            cpuUsageNanoSeconds: usage.cpuNanos,
            cpuUsageNanoCores: usage.cpuNanoCores,
            memoryWorkingSetBytes: usage.workingSetBytes,
            startTimeMs: usage.startMs,
            timeMs: usage.timeMs,
          },
        }),
    containers: pods.flatMap(({ namespace, name: pod, containers }) =>
      containers.map((one) => ({
        namespace,
        pod,
        container: one.name,
        cpuUsageNanoCores: one.cpuNanoCores,
        cpuUsageNanoSeconds: one.cpuNanos,
        memoryWorkingSetBytes: one.workingSetBytes,
        startTimeMs: one.startMs,
        timeMs: one.timeMs,
      })),
    ),
  };
}
