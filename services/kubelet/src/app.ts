// The kubelet: runs the pods of its nodes through the CRI and nothing else. Guarantees:
// - Every node of the process is registered, Ready, and heard of every 10 s.
// - A pod's status in the API is what the runtime has; after a restart pods come back by themselves.
// - Many nodes share one process, one connection and one informer; what happens costs, not what exists.
import { createHash } from "node:crypto";
import { NODES, PODS, type Node, type Pod } from "@coxswain/api";
import type { EventRecorder, InformerFactory, ResourceClient, SharedInformer } from "@coxswain/client";
import type { BaseDeps, ComponentApp } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import type { Cri } from "./cri/contract.ts";
import { createSimulatedCri, SIMULATED_VERSION, type SimulatedCriOptions } from "./cri/simulated/simulated-cri.ts";
import { NodeReporter } from "./node/node-reporter.ts";
import { hostIpOf, type NodeFacts } from "./node/plan-node.ts";
import { ObjectCache } from "./pods/object-cache.ts";
import { createPodEvents } from "./pods/pod-events.ts";
import { PodManager } from "./pods/pod-manager.ts";
import { StatusWriter } from "./pods/status-writer.ts";
import { kubeletService } from "./server/kubelet-service.ts";

/** Above this many nodes a process follows all pods with one informer instead of one a node. */
export const MAX_NODE_INFORMERS = 50;

export interface KubeletOptions {
  /** 127.0.0.1 where unset. */
  readonly advertiseAddress?: string;
  /** 10250 and 10260 where unset. */
  readonly httpsPort?: number;
  readonly grpcPort?: number;
  /** cpu 4, memory 8Gi, pods 110 where unset. */
  readonly capacity?: Readonly<Record<string, string>>;
  readonly simulated?: Pick<SimulatedCriOptions, "startLatency" | "pullLatency" | "stopLatency">;
}

export interface KubeletDeps extends BaseDeps {
  readonly client: ResourceClient;
  readonly informers: InformerFactory;
  readonly recorder: EventRecorder;
  /** Opens the HTTPS API over the managers; ends it when the signal aborts. */
  readonly serveHttps?: (kubelet: Kubelet, signal: AbortSignal) => Promise<void>;
  /** Names of the nodes that this process serves. */
  readonly nodes: readonly string[];
  /** The runtime of a node; the simulated one where unset. */
  readonly createCri?: (node: string, podCidr: () => string | undefined) => Cri;
  readonly options?: KubeletOptions;
}

export interface Kubelet extends ComponentApp {
  readonly managers: ReadonlyMap<string, PodManager>;
}

const DEFAULT_CAPACITY = {
  cpu: "4",
  "ephemeral-storage": "100Gi",
  "hugepages-1Gi": "0",
  "hugepages-2Mi": "0",
  memory: "8Gi",
  pods: "110",
};

/** The kubelet of one process. */
export function createKubelet(deps: KubeletDeps): Kubelet {
  const { env, logger, client, informers, nodes } = deps;
  const facts = nodes.map((name) => factsOf(name, deps));
  const writer = new StatusWriter(env, client, logger);
  const objects = new ObjectCache(client, env.clock);
  const managers = new Map<string, PodManager>();
  const reporter = new NodeReporter(
    {
      env,
      client,
      logger,
      onAccepted: (node, becameReady) => {
        managers.get(node.metadata?.name ?? "")?.open();
        if (becameReady) announce(node, deps);
      },
    },
    facts,
  );
  for (const one of facts) {
    const podCidr = (): string | undefined => reporter.node(one.name)?.spec?.podCIDR;
    const cri =
      deps.createCri?.(one.name, podCidr) ??
      createSimulatedCri({ env, node: one.name, podCidr, ...deps.options?.simulated });
    const events = createPodEvents(deps.recorder, one.name);
    const shared = { env, logger, objects, writer, events, runtimeName: "simulated", allocatable: one.capacity };
    managers.set(one.name, new PodManager({ ...shared, cri, node: one.name, hostIp: hostIpOf(one) }));
  }
  const pods = followPods(deps, managers);
  const nodeInformer = followNodes(deps, reporter);
  const synced = (): boolean => nodeInformer.hasSynced() && pods.every((informer) => informer.hasSynced());
  const kubelet: Kubelet = {
    managers,
    grpcServices: [kubeletService({ env, managers })],
    checks: {
      "informer-sync": () => (synced() ? undefined : "informers have not synced"),
      "node-registration": () => (reporter.registered ? undefined : "not all nodes are registered"),
    },
    facts: () => ({
      nodes: String(managers.size),
      pods: String([...managers.values()].reduce((sum, manager) => sum + manager.size, 0)),
      runtime: `simulated://${SIMULATED_VERSION}`,
    }),
    async run(signal) {
      informers.start(signal);
      try {
        await Promise.all([reporter.run(signal), informers.waitForSync(signal), deps.serveHttps?.(kubelet, signal)]);
      } catch (error) {
        if (!isAbort(error) || !signal.aborted) throw error;
      } finally {
        for (const manager of managers.values()) manager.close();
        writer.stop();
      }
      await deps.recorder.flush();
    },
  };
  return kubelet;
}

function factsOf(name: string, { env, options = {} }: KubeletDeps): NodeFacts {
  const machineId = createHash("sha256").update(name).digest("hex").slice(0, 32);
  return {
    name,
    advertiseAddress: options.advertiseAddress ?? "127.0.0.1",
    httpsPort: options.httpsPort ?? 10_250,
    grpcPort: options.grpcPort ?? 10_260,
    containerRuntimeVersion: `simulated://${SIMULATED_VERSION}`,
    capacity: { ...DEFAULT_CAPACITY, ...options.capacity },
    osImage: "Coxswain simulated node",
    machineId,
    bootId: env.random.uuid(),
    arch: process.arch === "arm64" ? "arm64" : "amd64",
  };
}

function announce(node: Node, deps: KubeletDeps): void {
  const name = node.metadata?.name ?? "";
  const events = createPodEvents(deps.recorder, name);
  // A pack of thousands says the one thing that matters.
  if (deps.nodes.length <= MAX_NODE_INFORMERS) events.node(node, "Starting", "Starting kubelet.");
  events.node(node, "NodeReady", `Node ${name} status is now: NodeReady`);
}

/** Hands each pod to the manager of its node. */
function followPods(deps: KubeletDeps, managers: ReadonlyMap<string, PodManager>): SharedInformer<Pod>[] {
  const packed = deps.nodes.length > MAX_NODE_INFORMERS;
  const informers = packed
    ? [deps.informers.informer<Pod>(PODS)]
    : deps.nodes.map((node) => deps.informers.informer<Pod>(PODS, { node }));
  const of = (pod: Pod): PodManager | undefined => managers.get(pod.spec?.nodeName ?? "");
  for (const informer of informers) {
    informer.addHandler({
      add: (pod) => of(pod)?.upsert(pod),
      update: (pod) => of(pod)?.upsert(pod),
      delete: (pod) => of(pod)?.remove(pod),
    });
  }
  return informers;
}

/** Sees what others do to the Nodes of this process: pod CIDRs, conditions that are not ours to lose. */
function followNodes(deps: KubeletDeps, reporter: NodeReporter): SharedInformer<Node> {
  const [only] = deps.nodes;
  const single = deps.nodes.length === 1 ? { fieldSelector: `metadata.name=${only}` } : {};
  const informer = deps.informers.informer<Node>(NODES, single);
  informer.addHandler({ add: (node) => reporter.observe(node), update: (node) => reporter.observe(node) });
  return informer;
}
