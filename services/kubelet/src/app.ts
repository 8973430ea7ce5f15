// The kubelet: runs the pods of its nodes through the CRI and nothing else. Guarantees:
// - Every node of the process is registered, Ready, and heard of every 10 s.
// - A pod's status in the API is what the runtime has; after a restart pods come back by themselves.
// - Many nodes share one process, one connection and one informer; what happens costs, not what exists.
import { createHash } from "node:crypto";
import { NODES, PODS, type Node, type Pod } from "@coxswain/api";
import type { EventRecorder, InformerFactory, ResourceClient, SharedInformer } from "@coxswain/client";
import type { BaseDeps, ComponentApp } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import { parseBytes } from "@coxswain/apimachinery";
import type { Cri } from "./cri/contract.ts";
import { createSimulatedCri, SIMULATED_VERSION, type SimulatedCriOptions } from "./cri/simulated/simulated-cri.ts";
import { collectedCounter, ImageCollector } from "./images/image-collector.ts";
import type { ImagePolicy } from "./images/plan-collection.ts";
import { DiskReclaimer } from "./node/disk-reclaimer.ts";
import type { MachineFacts } from "./node/machine-facts.ts";
import { NodeReporter } from "./node/node-reporter.ts";
import { HEALTHY, hostIpOf, type NodeFacts } from "./node/plan-node.ts";
import { RuntimeMonitor } from "./node/runtime-monitor.ts";
import type { RealNode } from "./pods/node-context.ts";
import { ObjectCache } from "./pods/object-cache.ts";
import { createPodEvents } from "./pods/pod-events.ts";
import { PodManager } from "./pods/pod-manager.ts";
import type { NodeRuntime } from "./pods/pod-runtime-config.ts";
import { defaultUsage, SimulatedUsageError, simulatedUsage } from "./stats/simulated-usage.ts";
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
  /** spec.providerID of the Node, for a process that serves one. */
  readonly providerId?: string;
  readonly simulated?: Pick<SimulatedCriOptions, "startLatency" | "pullLatency" | "stopLatency">;
}

/** A node whose containers are real; a process serves one of them at most. */
export interface NodeHost {
  readonly cri: Cri;
  /** "containerd", "1.6.20" */
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  readonly machine: MachineFacts;
  /** Where it is known from the start; else it is the Node's, once the API has one. */
  readonly podCidr?: string;
  readonly runtime: Pick<NodeRuntime, "podLogsDir" | "clusterDomain"> & {
    readonly linux: Omit<NonNullable<NodeRuntime["linux"]>, "memoryCapacityBytes">;
  };
  /** When its images go that nobody uses. */
  readonly imagePolicy: ImagePolicy;
  /** Volumes, network and cgroups of this node. */
  readonly real: (objects: ObjectCache) => Omit<RealNode, "networkProblem">;
  /** Removes the folder of a volume on the node's disk; idempotent. */
  removeNodeDisk(volume: string): Promise<void>;
  /** What a node does besides running pods, until the signal aborts. */
  run?(signal: AbortSignal): Promise<void>;
  /** The node's pods get their addresses out of this range. */
  writeNetworkConfig(podCidr: string): Promise<void>;
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
  /** Makes the one node of this process a real one. */
  readonly host?: NodeHost;
  readonly options?: KubeletOptions;
}

export interface Kubelet extends ComponentApp {
  readonly managers: ReadonlyMap<string, PodManager>;
}

const DEFAULT_CAPACITY: Readonly<Record<string, string>> = {
  cpu: "4",
  "ephemeral-storage": "100Gi",
  "hugepages-1Gi": "0",
  "hugepages-2Mi": "0",
  memory: "8Gi",
  pods: "110",
};

/** What a node has where the options say only some of it. */
export function nodeCapacity(options: KubeletOptions["capacity"]): Readonly<Record<string, string>> {
  return { ...DEFAULT_CAPACITY, ...options };
}

/** The kubelet of one process. */
export function createKubelet(deps: KubeletDeps): Kubelet {
  const { env, logger, client, informers, nodes, host } = deps;
  if (host !== undefined && nodes.length !== 1) throw new Error("a process serves one real node only");
  const facts = nodes.map((name) => factsOf(name, deps));
  const writer = new StatusWriter(env, client, logger);
  const managers = new Map<string, PodManager>();
  let monitor: RuntimeMonitor | undefined;
  const reporter = new NodeReporter(
    {
      env,
      client,
      logger,
      onAccepted: (node, becameReady) => {
        managers.get(node.metadata?.name ?? "")?.open();
        if (becameReady) announce(node, deps);
      },
      ...(host === undefined ? {} : { health: () => monitor?.health ?? HEALTHY }),
      volumesInUse: (name) => managers.get(name)?.context.volumesInUse.names(),
    },
    facts,
  );
  if (host !== undefined) {
    const changed = (): void => reporter.statusChanged(nodes[0] ?? "");
    monitor = new RuntimeMonitor({ env, logger, cri: host.cri, changed });
  }
  const pods = followPods(deps, managers);
  const podsKnown = (): boolean => pods.every((informer) => informer.hasSynced());
  const shared = { deps, reporter, writer, objects: new ObjectCache(client, env.clock), monitor, podsKnown };
  for (const one of facts) managers.set(one.name, createManager(one, shared));
  const removeFolder = host === undefined ? {} : { removeFolder: (volume: string) => host.removeNodeDisk(volume) };
  const disks = new DiskReclaimer({ env, logger, client, informers, nodes, ...removeFolder });
  const nodeInformer = followNodes(deps, reporter);
  const synced = (): boolean => nodeInformer.hasSynced() && podsKnown() && disks.hasSynced();
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
      runtime: facts[0]?.containerRuntimeVersion ?? "",
    }),
    async run(signal) {
      informers.start(signal);
      try {
        await Promise.all([
          reportNodes(deps, reporter, monitor, signal),
          collectImages(deps, reporter, managers, signal),
          informers.waitForSync(signal).then(() => reporter.serverAnswers()),
          disks.run(signal),
          deps.serveHttps?.(kubelet, signal),
        ]);
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

/** A real node's images; those of a simulated one lie on no disk. */
async function collectImages(
  { env, logger, metrics, host, recorder }: KubeletDeps,
  reporter: NodeReporter,
  managers: ReadonlyMap<string, PodManager>,
  signal: AbortSignal,
): Promise<void> {
  const [manager] = managers.values();
  if (host === undefined || manager === undefined) return;
  const { node: name, pulls } = manager.context;
  const events = createPodEvents(recorder, name);
  const collector = new ImageCollector({
    env,
    logger,
    cri: host.cri,
    pulls,
    policy: host.imagePolicy,
    pods: () => manager.pods(),
    node: () => reporter.node(name),
    warn: (node, reason, message) => events.node(node, reason, message, "Warning"),
    collected: collectedCounter(metrics),
  });
  await collector.run(signal);
}

/** How long a node waits for its runtime before it is registered as not ready. */
const FIRST_CHECKS = 12;
const FIRST_CHECK_EVERY_MS = 250;

/** Registers the nodes and keeps them alive; a real one first gets its network, as far as it is known. */
async function reportNodes(
  { host, env, logger, informers }: KubeletDeps,
  reporter: NodeReporter,
  monitor: RuntimeMonitor | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (host === undefined || monitor === undefined) return reporter.run(signal);
  let written = host.podCidr;
  if (written !== undefined) await host.writeNetworkConfig(written);
  for (let at = 0; at < FIRST_CHECKS && !signal.aborted; at++) {
    await monitor.check();
    if (monitor.health.problems.length === 0 || written === undefined) break;
    await env.timers.sleep(FIRST_CHECK_EVERY_MS, signal);
  }
  // Containers hear of Services in their environment: none is made before those are known.
  await informers.waitForSync(signal);
  reporter.onPodCidr((podCidr) => {
    if (podCidr === written) return;
    written = podCidr;
    host.writeNetworkConfig(podCidr).catch((error: unknown) => {
      written = undefined;
      logger.error({ err: error, podCidr }, "the node's network could not be configured");
    });
  });
  await Promise.all([reporter.run(signal), monitor.run(signal), host.run?.(signal)]);
}

interface Shared {
  readonly deps: KubeletDeps;
  readonly reporter: NodeReporter;
  readonly writer: StatusWriter;
  readonly objects: ObjectCache;
  readonly monitor: RuntimeMonitor | undefined;
  readonly podsKnown: () => boolean;
}

function createManager(facts: NodeFacts, { deps, reporter, writer, objects, monitor, podsKnown }: Shared): PodManager {
  const { env, logger, host } = deps;
  const podCidr = (): string | undefined => reporter.node(facts.name)?.spec?.podCIDR;
  const usage = simulatedUsageOf(deps, facts.name, (namespace, name) => manager.worker(namespace, name)?.pod);
  const cri =
    host?.cri ??
    deps.createCri?.(facts.name, podCidr) ??
    createSimulatedCri({ env, node: facts.name, podCidr, usage, ...deps.options?.simulated });
  const hostIp = hostIpOf(facts);
  const allocatable = facts.capacity;
  const common = { hostIp, allocatable };
  const runtime: NodeRuntime =
    host === undefined
      ? { ...common, podLogsDir: "/var/log/pods", clusterDomain: "cluster.local" }
      : {
          ...common,
          ...host.runtime,
          linux: { ...host.runtime.linux, memoryCapacityBytes: parseBytes(facts.capacity["memory"] ?? "0") },
        };
  const real = host === undefined ? {} : { ...host.real(objects), networkProblem: () => monitor?.networkProblem };
  const events = createPodEvents(deps.recorder, facts.name);
  const nodeObject = {
    known: () => reporter.node(facts.name),
    fresh: () => deps.client.get<Node>(NODES, { name: facts.name }),
  };
  const runtimeName = host?.runtimeName ?? "simulated";
  const manager: PodManager = new PodManager(
    {
      env,
      logger,
      objects,
      writer,
      events,
      runtimeName,
      allocatable,
      runtime,
      cri,
      node: facts.name,
      nodeObject,
      nodeStatusChanged: () => reporter.statusChanged(facts.name),
      hostIp,
      ...real,
    },
    { podsKnown },
  );
  return manager;
}

/** What a simulated container uses now; an annotation that cannot be read is told in an event, once, and does not count. */
function simulatedUsageOf(
  deps: KubeletDeps,
  node: string,
  podOf: (namespace: string, name: string) => Pod | undefined,
): NonNullable<SimulatedCriOptions["usage"]> {
  const events = createPodEvents(deps.recorder, node);
  const told = new WeakMap<Pod, string>();
  return ({ namespace, name }, container) => {
    const pod = podOf(namespace, name);
    if (pod === undefined) return defaultUsage(undefined, container);
    try {
      return simulatedUsage(pod, container);
    } catch (error) {
      if (!(error instanceof SimulatedUsageError)) throw error;
      if (told.get(pod) !== error.message) events.pod(pod, "Warning", "InvalidSimulation", error.message);
      told.set(pod, error.message);
      return defaultUsage(pod, container);
    }
  };
}

function factsOf(name: string, { env, host, options = {} }: KubeletDeps): NodeFacts {
  const common = {
    name,
    advertiseAddress: options.advertiseAddress ?? "127.0.0.1",
    httpsPort: options.httpsPort ?? 10_250,
    grpcPort: options.grpcPort ?? 10_260,
    capacity: nodeCapacity(options.capacity),
    arch: process.arch === "arm64" ? ("arm64" as const) : ("amd64" as const),
    ...(options.providerId === undefined ? {} : { providerId: options.providerId }),
  };
  if (host !== undefined) {
    const { osImage, kernelVersion, machineId, bootId } = host.machine;
    const containerRuntimeVersion = `${host.runtimeName}://${host.runtimeVersion}`;
    const known = host.podCidr === undefined ? {} : { podCidr: host.podCidr };
    return { ...common, osImage, kernelVersion, machineId, bootId, containerRuntimeVersion, ...known };
  }
  return {
    ...common,
    containerRuntimeVersion: `simulated://${SIMULATED_VERSION}`,
    osImage: "Coxswain simulated node",
    kernelVersion: "6.1.0-simulated",
    machineId: createHash("sha256").update(name).digest("hex").slice(0, 32),
    bootId: env.random.uuid(),
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
  // Its own Node is all that a kubelet may read: the feed has all of them.
  const single = deps.nodes.length === 1 ? { fieldSelector: `metadata.name=${only}`, direct: true } : {};
  const informer = deps.informers.informer<Node>(NODES, single);
  informer.addHandler({ add: (node) => reporter.observe(node), update: (node) => reporter.observe(node) });
  return informer;
}
