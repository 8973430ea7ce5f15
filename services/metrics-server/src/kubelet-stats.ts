// The StatsSource of processes: ListStats of kubelets over gRPC, one channel an address.
import { Client } from "@grpc/grpc-js";
import { createChannel, createCredentials } from "@coxswain/component-base/grpc-channel";
import { statusFromServiceError } from "@coxswain/component-base/grpc-status";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import type { Clock } from "@coxswain/env";
import { serviceDefinition, type ServiceTypes } from "@coxswain/protos";
import type { ContainerStats, NodeStats, NodeUsage } from "@coxswain/protos/kubelet-v1.gen";
import type { ContainerPoint, NodeSample, Point, StatsSource } from "./stats-source.ts";

type ListStats = ServiceTypes["coxswain.kubelet.v1.Kubelet"]["listStats"];

/** As upstream's metrics-server waits for a kubelet. */
const TIMEOUT_MS = 10_000;

function pointOf(told: NodeUsage | ContainerStats): Point {
  return {
    cpuNanos: Number(told.cpuUsageNanoSeconds),
    cpuNanoCores: Number(told.cpuUsageNanoCores),
    workingSetBytes: Number(told.memoryWorkingSetBytes),
    startMs: Number(told.startTimeMs),
    timeMs: Number(told.timeMs),
  };
}

function containerPoint(told: ContainerStats): ContainerPoint {
  const { namespace, pod, container } = told;
  return { namespace, pod, container, ...pointOf(told) };
}

function sampleOf({ node, simulated, usage, containers }: NodeStats): NodeSample {
  return {
    node,
    simulated,
    usage: usage === null || usage === undefined ? undefined : pointOf(usage),
    containers: containers.map(containerPoint),
  };
}

export interface KubeletStats extends StatsSource {
  close(): void;
}

/** The caller closes it. */
export function createKubeletStats({ tls, clock }: { tls: TlsMaterial; clock: Clock }): KubeletStats {
  const clients = new Map<string, Client>();
  const method = serviceDefinition("coxswain.kubelet.v1.Kubelet")["ListStats"];
  if (method === undefined) throw new Error("the kubelet's contract has no ListStats");
  const clientFor = (address: string): Client => {
    let client = clients.get(address);
    if (client === undefined) {
      const channel = createChannel({ addresses: [address], tls });
      client = new Client(address, createCredentials(tls), { channelOverride: channel });
      clients.set(address, client);
    }
    return client;
  };
  const keep = (addresses: ReadonlySet<string>): void => {
    for (const [address, client] of clients) {
      if (addresses.has(address)) continue;
      client.close();
      clients.delete(address);
    }
  };
  return {
    keep,
    collect: (address) =>
      new Promise((resolve, reject) => {
        const samples: NodeSample[] = [];
        const stream = clientFor(address).makeServerStreamRequest<ListStats["requestInput"], ListStats["response"]>(
          method.path,
          method.requestSerialize,
          method.responseDeserialize as (bytes: Buffer) => ListStats["response"],
          {},
          { deadline: clock.now() + TIMEOUT_MS },
        );
        stream.on("data", ({ nodes }: ListStats["response"]) => void samples.push(...nodes.map(sampleOf)));
        stream.on("error", (error) =>
          reject(statusFromServiceError(error as Parameters<typeof statusFromServiceError>[0])),
        );
        stream.on("end", () => resolve(samples));
      }),
    close: () => keep(new Set()),
  };
}
