// How much the change feed is worth, and that it is a hint only: a rolling update of 500 simulated pods in a cluster with two
// api-servers, with NATS, with NATS frozen in the middle, and with NATS killed again and again. Prints how long each took and
// whether the Deployment kept its promises meanwhile. Only ratios carry over to other machines.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DEPLOYMENTS, type Deployment } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import { createGrpcResourceClient } from "@coxswain/client/grpc/grpc-resource-client";
import { startCluster, type Cluster } from "@coxswain/cluster";
import { silentLogger } from "@coxswain/component-base";
import { certificateFiles } from "@coxswain/component-base/identity/index";
import { createRealEnv } from "@coxswain/env";
import { report, type Figure } from "./figures.ts";

interface Rollout {
  readonly ms: number;
  /** Over the whole rollout, as the Deployment's status told. */
  readonly mostPods: number;
  readonly leastAvailable: number;
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

/** Follows the Deployment until its rollout is done; `onProgress` hears how many pods are of the new template. */
async function awaitRollout(client: ResourceClient, onProgress: (updated: number) => void): Promise<Rollout> {
  const start = env.clock.monotonic();
  let [mostPods, leastAvailable] = [0, REPLICAS];
  for (;;) {
    const seen = await client.get<KubeObject & Deployment>(DEPLOYMENTS, TARGET);
    const { replicas = 0, availableReplicas = 0, updatedReplicas = 0 } = seen.status ?? {};
    mostPods = Math.max(mostPods, replicas);
    leastAvailable = Math.min(leastAvailable, availableReplicas);
    const ms = Math.round(env.clock.monotonic() - start);
    if (isDone(seen)) return { ms, mostPods, leastAvailable };
    if (ms > ROLLOUT_MS) throw new Error(`not rolled out after ${ms} ms: ${JSON.stringify(seen.status)}`);
    onProgress(updatedReplicas);
    await env.timers.sleep(25);
  }
}

/** Changes the image and waits for the rollout; `fault` begins when a quarter of the pods is new. */
async function rollOut(client: ResourceClient, image: string, fault: () => void = () => {}): Promise<Rollout> {
  const patch = { spec: { template: { spec: { containers: [{ name: "main", image }] } } } };
  await client.patch(DEPLOYMENTS, TARGET, "application/strategic-merge-patch+json", patch);
  let begun = false;
  return awaitRollout(client, (updated) => {
    if (begun || updated < SURGE) return;
    begun = true;
    fault();
  });
}

/** Rolls out while NATS is stopped from the middle on; the frozen server runs again afterwards. */
async function withNatsFrozen(cluster: Cluster, client: ResourceClient): Promise<Rollout> {
  let freezing: Promise<unknown> | undefined;
  const rollout = await rollOut(client, "example.test/app:frozen", () => {
    freezing = cluster.chaos.freeze("nats/0");
  });
  if (freezing === undefined) throw new Error("the rollout was over before NATS could be frozen");
  await freezing;
  await cluster.chaos.thaw("nats/0");
  return rollout;
}

/** Rolls out while NATS is killed as soon as it is back, from the middle on. */
async function withNatsKilled(cluster: Cluster, client: ResourceClient): Promise<Rollout & { kills: number }> {
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
  const rollout = await rollOut(client, "example.test/app:killed", () => {
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
  try {
    await client.create(DEPLOYMENTS, deployment());
    await awaitRollout(client, () => {});
    await rollOut(client, "example.test/app:warm");
    const before = await rollOut(client, "example.test/app:before");
    const frozen = await withNatsFrozen(cluster, client);
    await awaitNats(cluster);
    const killed = await withNatsKilled(cluster, client);
    await awaitNats(cluster);
    const after = await rollOut(client, "example.test/app:after");
    const usual = Math.round((before.ms + after.ms) / 2);
    return [
      ...figuresOf("with NATS, before", before, null),
      ...figuresOf("with NATS, after", after, null),
      ...figuresOf("NATS frozen in the middle", frozen, usual),
      ...figuresOf("NATS killed again and again", killed, usual),
      { name: "kills of NATS", value: killed.kills, unit: "kills", aim: null, against: null, met: killed.kills > 0 },
    ];
  } finally {
    await client.close();
    await cluster.down({ purge: true });
    rmSync(home, { recursive: true, force: true });
  }
}

if (import.meta.main) report("nats-outage", await run());
