// How much the change feed is worth, and that it is a hint only: a rolling update of 500 simulated pods in a cluster with two
// api-servers, with NATS, with NATS frozen in the middle, and with NATS killed again and again. Prints how long each took and
// whether the Deployment kept its promises meanwhile: pods are counted in the order in which the api-server wrote them, not by the
// Deployment's status, which sums what its ReplicaSets told at different moments. Only ratios carry over to other machines.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DEPLOYMENTS, PODS, type Deployment, type Pod } from "@coxswain/api";
import { isReason, type KubeObject } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import { createGrpcResourceClient } from "@coxswain/client/grpc/grpc-resource-client";
import { startCluster, type Cluster } from "@coxswain/cluster";
import { silentLogger } from "@coxswain/component-base";
import { certificateFiles } from "@coxswain/component-base/identity/index";
import { createRealEnv } from "@coxswain/env";
import { report, type Figure } from "./figures.ts";

interface Rollout {
  readonly ms: number;
  /** Over the whole rollout: pods that neither end nor have ended. */
  readonly mostPods: number;
  /** Of these, those that were ready. */
  readonly leastAvailable: number;
}

/** The pods of the Deployment, in each state that they were in. */
class PodCount {
  readonly #pods = new Map<string, { readonly active: boolean; readonly ready: boolean }>();
  #from = "";
  most = 0;
  least = 0;

  reset(): void {
    this.most = this.#count(({ active }) => active);
    this.least = this.#count(({ active, ready }) => active && ready);
  }

  /** Follows the pods until `signal` aborts; resolves then. Rejects where changes were missed. */
  async run(client: ResourceClient, resourceVersion: string, signal: AbortSignal): Promise<void> {
    this.#from = resourceVersion;
    while (!signal.aborted) {
      try {
        await this.#follow(client, signal);
      } catch (error) {
        // Where the connection was lost, the next one goes on from the last change.
        if (!isReason(error, "ServiceUnavailable")) throw error;
        await env.timers.sleep(25);
      }
    }
  }

  async #follow(client: ResourceClient, signal: AbortSignal): Promise<void> {
    const watch = { namespace: TARGET.namespace, resourceVersion: this.#from, allowWatchBookmarks: true };
    for await (const { type, object } of client.watch<Pod>(PODS, watch, signal)) {
      this.#from = object.metadata?.resourceVersion ?? this.#from;
      if (type !== "BOOKMARK") this.#see(object, type === "DELETED");
    }
  }

  #see({ metadata, status }: Pod, gone: boolean): void {
    const uid = metadata?.uid ?? "";
    const ended = status?.phase === "Succeeded" || status?.phase === "Failed";
    if (gone) this.#pods.delete(uid);
    else {
      const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
      this.#pods.set(uid, { active: metadata?.deletionTimestamp === undefined && !ended, ready });
    }
    this.most = Math.max(
      this.most,
      this.#count(({ active }) => active),
    );
    this.least = Math.min(
      this.least,
      this.#count(({ active, ready }) => active && ready),
    );
  }

  #count(test: (pod: { readonly active: boolean; readonly ready: boolean }) => boolean): number {
    let count = 0;
    for (const pod of this.#pods.values()) if (test(pod)) count++;
    return count;
  }
}

const REPLICAS = 500;
const SURGE = REPLICAS / 4;
const NODES = 10;
const ROLLOUT_MS = 180_000;
const KILL_EVERY_MS = 250;
const TARGET = { namespace: "default", name: "web" };
const env = createRealEnv();

function deployment(): KubeObject & Deployment {
  const labels = { app: TARGET.name };
  const resources = { requests: { cpu: "10m", memory: "16Mi" } };
  const containers = [{ name: "main", image: "example.test/app:v0", resources }];
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: TARGET,
    spec: {
      replicas: REPLICAS,
      selector: { matchLabels: labels },
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
      template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 1, containers } },
    },
  };
}

function isDone({ metadata, spec, status }: KubeObject & Deployment): boolean {
  return (
    (status?.observedGeneration ?? 0) >= ((metadata as { generation?: number }).generation ?? 0) &&
    status?.updatedReplicas === spec?.replicas &&
    status?.replicas === spec?.replicas &&
    status?.availableReplicas === spec?.replicas
  );
}

interface Bench {
  readonly client: ResourceClient;
  readonly pods: PodCount;
}

/** Follows the Deployment until its rollout is done; `onProgress` hears how many pods are of the new template. */
async function awaitRollout({ client, pods }: Bench, onProgress: (updated: number) => void): Promise<Rollout> {
  const start = env.clock.monotonic();
  pods.reset();
  for (;;) {
    const seen = await client.get<KubeObject & Deployment>(DEPLOYMENTS, TARGET);
    const { updatedReplicas = 0 } = seen.status ?? {};
    const ms = Math.round(env.clock.monotonic() - start);
    if (isDone(seen)) return { ms, mostPods: pods.most, leastAvailable: pods.least };
    if (ms > ROLLOUT_MS) throw new Error(`not rolled out after ${ms} ms: ${JSON.stringify(seen.status)}`);
    onProgress(updatedReplicas);
    await env.timers.sleep(25);
  }
}

/** Changes the image and waits for the rollout; `fault` begins when a quarter of the pods is new. */
async function rollOut(bench: Bench, image: string, fault: () => void = () => {}): Promise<Rollout> {
  const patch = { spec: { template: { spec: { containers: [{ name: "main", image }] } } } };
  await bench.client.patch(DEPLOYMENTS, TARGET, "application/strategic-merge-patch+json", patch);
  let begun = false;
  return awaitRollout(bench, (updated) => {
    if (begun || updated < SURGE) return;
    begun = true;
    fault();
  });
}

/** Rolls out while NATS is stopped from the middle on; the frozen server runs again afterwards. */
async function withNatsFrozen(cluster: Cluster, bench: Bench): Promise<Rollout> {
  let freezing: Promise<unknown> | undefined;
  const rollout = await rollOut(bench, "example.test/app:frozen", () => {
    freezing = cluster.chaos.freeze("nats/0");
  });
  if (freezing === undefined) throw new Error("the rollout was over before NATS could be frozen");
  await freezing;
  await cluster.chaos.thaw("nats/0");
  return rollout;
}

/** Rolls out while NATS is killed as soon as it is back, from the middle on. */
async function withNatsKilled(cluster: Cluster, bench: Bench): Promise<Rollout & { kills: number }> {
  const done = new AbortController();
  let kills = 0;
  let killing: Promise<void> | undefined;
  const killOn = async (): Promise<void> => {
    while (!done.signal.aborted) {
      const nats = (await cluster.status()).records.find(({ spec }) => spec.component === "nats");
      if (nats !== undefined && nats.pid > 0 && nats.state === "ready") {
        await cluster.chaos.kill("nats/0");
        kills++;
      }
      await env.timers.sleep(KILL_EVERY_MS);
    }
  };
  const rollout = await rollOut(bench, "example.test/app:killed", () => {
    killing = killOn();
  }).finally(() => done.abort());
  if (killing === undefined) throw new Error("the rollout was over before NATS could be killed");
  await killing;
  return { ...rollout, kills };
}

async function awaitNats(cluster: Cluster): Promise<void> {
  const isReady = async (): Promise<boolean> =>
    (await cluster.status()).records.some(({ spec, state }) => spec.component === "nats" && state === "ready");
  while (!(await isReady())) await env.timers.sleep(KILL_EVERY_MS);
}

function figuresOf(label: string, rollout: Rollout, against: number | null): Figure[] {
  const { ms, mostPods, leastAvailable } = rollout;
  const [most, least] = [REPLICAS + SURGE, REPLICAS - SURGE];
  return [
    { name: `rollout of ${REPLICAS} pods, ${label}`, value: ms, unit: "ms", aim: null, against, met: true },
    { name: `most pods, ${label}`, value: mostPods, unit: "pods", aim: most, against: null, met: mostPods <= most },
    {
      name: `fewest available, ${label}`,
      value: leastAvailable,
      unit: "pods",
      aim: least,
      against: null,
      met: leastAvailable >= least,
    },
  ];
}

/** Runs all rollouts in one cluster. Rejects where one does not complete. */
export async function run(): Promise<Figure[]> {
  const home = mkdtempSync(path.join(tmpdir(), "cox-"));
  const cluster = await startCluster({ home, freePorts: true, nodes: NODES, runtime: "simulated", apiServers: 2 });
  const { caFile, certFile, keyFile } = certificateFiles(cluster.paths.pki, "admin");
  const client = createGrpcResourceClient({
    env,
    logger: silentLogger,
    addresses: cluster.info.processes.filter(({ component }) => component === "api-server").map(({ grpc }) => grpc),
    tls: { ca: readFileSync(caFile), cert: readFileSync(certFile), key: readFileSync(keyFile) },
  });
  const bench = { client, pods: new PodCount() };
  const stop = new AbortController();
  const { metadata } = await client.list<Pod>(PODS, { namespace: TARGET.namespace });
  const counting = bench.pods.run(client, metadata.resourceVersion ?? "", stop.signal);
  try {
    await client.create(DEPLOYMENTS, deployment());
    await awaitRollout(bench, () => {});
    await rollOut(bench, "example.test/app:warm");
    const before = await rollOut(bench, "example.test/app:before");
    const frozen = await withNatsFrozen(cluster, bench);
    await awaitNats(cluster);
    const killed = await withNatsKilled(cluster, bench);
    await awaitNats(cluster);
    const after = await rollOut(bench, "example.test/app:after");
    stop.abort();
    await counting;
    const usual = Math.round((before.ms + after.ms) / 2);
    return [
      ...figuresOf("with NATS, before", before, null),
      ...figuresOf("with NATS, after", after, null),
      ...figuresOf("NATS frozen in the middle", frozen, usual),
      ...figuresOf("NATS killed again and again", killed, usual),
      { name: "kills of NATS", value: killed.kills, unit: "kills", aim: null, against: null, met: killed.kills > 0 },
    ];
  } finally {
    stop.abort();
    await client.close();
    await cluster.down({ purge: true });
    rmSync(home, { recursive: true, force: true });
  }
}

if (import.meta.main) report("nats-outage", await run());
