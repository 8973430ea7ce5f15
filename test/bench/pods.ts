// How long a pod takes from its creation to Running on a real node, one at a time and 20 at once, beside the same CRI calls made
// by hand on the same node, in turns: what is above them is the API, the scheduler and the kubelet. While pods are made by hand the
// kubelet is frozen, as it would take away what it does not know. Needs root.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { PODS, type Pod } from "@coxswain/api";
import type { ResourceClient } from "@coxswain/client";
import { createGrpcResourceClient } from "@coxswain/client/grpc/grpc-resource-client";
import {
  ensureNodePrograms,
  openPlatform,
  planPlatform,
  platformId,
  repositoryRoot,
  startCluster,
  type Cluster,
} from "@coxswain/cluster";
import { silentLogger } from "@coxswain/component-base";
import { certificateFiles } from "@coxswain/component-base/identity/index";
import { loadTlsMaterial } from "@coxswain/component-base/tls-files";
import { createRealEnv } from "@coxswain/env";
import { createContainerdCri, type ContainerdCri } from "@coxswain/kubelet/cri/containerd/containerd-cri";
import { ObjectCache } from "@coxswain/kubelet/pods/object-cache";
import { containerConfigOf, sandboxConfigOf, type NodeRuntime } from "@coxswain/kubelet/pods/pod-runtime-config";
import { report, type Figure } from "./figures.ts";

const BLOCKS = 3;
/** Pods of a block that come one at a time. */
const ALONE = 6;
const AT_ONCE = 20;
const NODE = "node-1";
const LOGS = "/var/log/pods";
const env = createRealEnv();

const manifest = (name: string): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: {
    terminationGracePeriodSeconds: 0,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    containers: [
      {
        name: "main",
        image: "coxswain.local/busybox:1",
        command: ["sleep", "1000000"],
        resources: { requests: { cpu: "1m", memory: "4Mi" } },
      },
    ],
  },
});

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, at) => `${prefix}-${at}-${env.random.nameSuffix(5)}`);

/** Tells when each pod was first seen Running, and gone. */
class Sightings {
  readonly #running = new Map<string, PromiseWithResolvers<number>>();
  readonly #gone = new Map<string, PromiseWithResolvers<number>>();

  async follow(client: ResourceClient, signal: AbortSignal): Promise<void> {
    const { metadata } = await client.list<Pod>(PODS, { namespace: "default" });
    const { resourceVersion } = metadata;
    for await (const event of client.watch<Pod>(PODS, { namespace: "default", resourceVersion }, signal)) {
      if (event.type === "BOOKMARK") continue;
      const name = event.object.metadata?.name ?? "";
      if (event.type === "DELETED") this.#of(this.#gone, name).resolve(env.clock.monotonic());
      else if (event.object.status?.phase === "Running") this.#of(this.#running, name).resolve(env.clock.monotonic());
    }
  }

  running(name: string): Promise<number> {
    return this.#of(this.#running, name).promise;
  }

  gone(name: string): Promise<number> {
    return this.#of(this.#gone, name).promise;
  }

  #of(all: Map<string, PromiseWithResolvers<number>>, name: string): PromiseWithResolvers<number> {
    const found = all.get(name) ?? Promise.withResolvers<number>();
    all.set(name, found);
    return found;
  }
}

interface Ground {
  readonly client: ResourceClient;
  readonly sightings: Sightings;
  readonly cri: ContainerdCri;
  readonly node: NodeRuntime;
  /** The node's folder of logs, on this machine. */
  readonly logs: string;
}

/** Creates pods at once; ms from the call of each until it is seen Running. */
async function throughTheCluster({ client, sightings }: Ground, count: number): Promise<number[]> {
  const all = names("pod", count);
  const took = await Promise.all(
    all.map(async (name) => {
      const began = env.clock.monotonic();
      await client.create<Pod>(PODS, manifest(name));
      return (await sightings.running(name)) - began;
    }),
  );
  await Promise.all(all.map((name) => client.delete(PODS, { namespace: "default", name }, { gracePeriodSeconds: 0 })));
  await Promise.all(all.map((name) => sightings.gone(name)));
  return took;
}

/** RunPodSandbox, CreateContainer and StartContainer, with the configs that the kubelet makes of such a pod; ms of each. */
async function byHand({ client, cri, node, logs }: Ground, count: number): Promise<number[]> {
  const sandboxes: string[] = [];
  const took = await Promise.all(
    names("hand", count).map(async (name) => {
      const made = manifest(name);
      const pod: Pod = { ...made, metadata: { ...made.metadata, uid: env.random.uuid() } };
      const sandbox = sandboxConfigOf({ pod, attempt: 0, node });
      mkdirSync(path.join(logs, path.basename(sandbox.logDirectory), "main"), { recursive: true });
      const [main] = pod.spec!.containers;
      const objects = new ObjectCache(client, env.clock);
      const input = { pod, container: main!, kind: "main", attempt: 0, podIp: "", node, objects };
      const container = await containerConfigOf(input);
      const began = env.clock.monotonic();
      const id = await cri.runPodSandbox(sandbox);
      sandboxes.push(id);
      await cri.startContainer(await cri.createContainer(id, container));
      return env.clock.monotonic() - began;
    }),
  );
  for (const id of sandboxes) {
    await cri.stopPodSandbox(id);
    await cri.removePodSandbox(id);
  }
  return took;
}

interface Times {
  readonly alone: number[];
  readonly crowd: number[];
}

async function block(ground: Ground, make: (ground: Ground, count: number) => Promise<number[]>, into: Times) {
  // The first one warms up what the freeze let grow cold.
  await make(ground, 1);
  for (let turn = 0; turn < ALONE; turn++) into.alone.push(...(await make(ground, 1)));
  into.crowd.push(...(await make(ground, AT_ONCE)));
}

async function inTurns(cluster: Cluster, ground: Ground): Promise<{ ours: Times; hand: Times }> {
  const kubelet = `kubelet/${NODE}`;
  const [ours, hand]: [Times, Times] = [
    { alone: [], crowd: [] },
    { alone: [], crowd: [] },
  ];
  for (let turn = 0; turn < BLOCKS; turn++) {
    await cluster.chaos.freeze(kubelet);
    try {
      await block(ground, byHand, hand);
    } finally {
      await cluster.chaos.thaw(kubelet);
    }
    await block(ground, throughTheCluster, ours);
  }
  return { ours, hand };
}

/** The node's containerd, and what its kubelet knows of the node. */
async function nodeOf(cluster: Cluster): Promise<Pick<Ground, "cri" | "node" | "logs">> {
  const programs = await ensureNodePrograms(path.join(repositoryRoot(), ".tools"), () => {});
  const { dataDir } = cluster.paths;
  const id = platformId(cluster.name, path.dirname(dataDir));
  const plan = planPlatform({ id, dataDir, controlMembers: [], nodes: 1, programs });
  const platform = openPlatform(plan);
  const [{ podCgroupRoot, address } = { podCgroupRoot: "", address: "" }] = plan.nodes;
  const endpoint = `unix://${platform.containerdSocket(NODE)}`;
  return {
    cri: createContainerdCri({ env, logger: silentLogger, endpoint }),
    logs: platform.pathOnHost(NODE, LOGS),
    node: {
      podLogsDir: LOGS,
      hostIp: address,
      allocatable: {},
      clusterDomain: "cluster.local",
      linux: {
        cgroupRoot: podCgroupRoot,
        clusterDns: ["10.96.0.10"],
        hostDns: { servers: [], searches: [], options: [] },
        memoryCapacityBytes: 2 ** 30,
      },
    },
  };
}

function figure(name: string, ourTimes: readonly number[], handTimes: readonly number[], aim: number): Figure[] {
  const [ours, hand] = [median(ourTimes), median(handTimes)];
  const ratio = Number((ours / hand).toFixed(2));
  return [
    {
      name: `created to Running, ${name}, p50`,
      value: Math.round(ours),
      unit: "ms",
      aim: null,
      against: Math.round(hand),
      met: true,
    },
    { name: `the same over the CRI calls by hand`, value: ratio, unit: "x", aim, against: null, met: ratio <= aim },
  ];
}

export async function run(): Promise<Figure[]> {
  const home = mkdtempSync(path.join(tmpdir(), "cox-"));
  const stop = new AbortController();
  const cluster = await startCluster({ home, freePorts: true, nodes: 1, runtime: "containerd", egress: "none" });
  const client = createGrpcResourceClient({
    env,
    logger: silentLogger,
    addresses: cluster.info.processes.filter(({ component }) => component === "api-server").map(({ grpc }) => grpc),
    tls: loadTlsMaterial(certificateFiles(cluster.paths.pki, "admin")),
  });
  const node = await nodeOf(cluster);
  const ground: Ground = { client, sightings: new Sightings(), ...node };
  const following = ground.sightings.follow(client, stop.signal);
  try {
    const { ours, hand } = await inTurns(cluster, ground);
    return [
      ...figure("one at a time", ours.alone, hand.alone, 1.3),
      ...figure(`${AT_ONCE} at once`, ours.crowd, hand.crowd, 1.5),
    ];
  } finally {
    stop.abort();
    await following;
    node.cri.close();
    await client.close();
    await cluster.down({ purge: true });
    rmSync(home, { recursive: true, force: true });
  }
}

if (import.meta.main) report("pods", await run());
