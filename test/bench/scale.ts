// kwok's own gate made harder, with simulated kubelets and a scheduler that really decides: 5,000 nodes join, 10,000 pods of
// Deployments are created, scheduled and Running, then deleted. kwok's gate gives each of these 60, 60 and 90 s, without a
// scheduler. Then 100,000 pods on the same nodes: the memory of each process, and how long a mutating call takes meanwhile.
// COXSWAIN_BENCH_SCALE=0.1 makes everything smaller for a trial.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { CONFIG_MAPS, DEPLOYMENTS, type Deployment } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import { createGrpcResourceClient } from "@coxswain/client/grpc/grpc-resource-client";
import { startCluster, type Cluster } from "@coxswain/cluster";
import { slotKey } from "@coxswain/cluster/process-plan";
import { silentLogger } from "@coxswain/component-base";
import { certificateFiles } from "@coxswain/component-base/identity/index";
import { createRealEnv } from "@coxswain/env";
import { waitFor } from "@coxswain/testkit";
import { residentBytes } from "./api/process-cost.ts";
import { report, type Figure } from "./figures.ts";

const SCALE = Number(process.env["COXSWAIN_BENCH_SCALE"] ?? 1);
const scaled = (count: number): number => Math.max(1, Math.round(count * SCALE));
const NODES = scaled(5_000);
const PODS = scaled(10_000);
const MANY_PODS = scaled(100_000);
const DEPLOYMENT_PODS = Math.min(1_000, PODS);
const NAMESPACE = "default";
const LIMIT_MS = 900_000;
const PROBE_MS = 50;
const env = createRealEnv();

function deployment(name: string, replicas: number): KubeObject & Deployment {
  const labels = { app: name };
  const containers = [{ name: "main", image: "example.test/app:v1", resources: { requests: { cpu: "10m" } } }];
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: NAMESPACE },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 1, containers } },
    },
  };
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = env.clock.monotonic();
  await work();
  return (env.clock.monotonic() - start) / 1000;
}

/** What a call answers; undefined when it fails, which is said: a cluster under load may refuse one, and the run goes on. */
async function said<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (err) {
    console.error("a call failed:", err);
    return undefined;
  }
}

/** Creates Deployments of `pods` pods in all; resolves when every pod is available. */
async function runPods(client: ResourceClient, pods: number): Promise<string[]> {
  const names = Array.from({ length: Math.ceil(pods / DEPLOYMENT_PODS) }, (_, at) => `app-${at}`);
  for (const name of names) await client.create(DEPLOYMENTS, deployment(name, DEPLOYMENT_PODS));
  // One list for all, as a hundred that ask one by one would be a load of their own.
  await waitFor(
    env,
    `${pods} pods to be available`,
    async () => {
      const list = await said(client.list<KubeObject & Deployment>(DEPLOYMENTS, { namespace: NAMESPACE }));
      return list?.items.every(({ status }) => (status?.availableReplicas ?? 0) >= DEPLOYMENT_PODS) ?? false;
    },
    LIMIT_MS,
  );
  return names;
}

/** Deletes the Deployments; resolves when no pod is left. */
async function endPods(client: ResourceClient, names: readonly string[]): Promise<void> {
  for (const name of names) await client.delete(DEPLOYMENTS, { namespace: NAMESPACE, name });
  const pods = { group: "", version: "v1", resource: "pods" };
  const none = async (): Promise<boolean> =>
    (await said(client.list(pods, { namespace: NAMESPACE, limit: 1 })))?.items.length === 0;
  await waitFor(env, "all pods to be gone", none, LIMIT_MS);
}

/**
 * Changes one object again and again while `work` runs; the times of the calls, ms, sorted. One that fails counts with the
 * time that it took, and is said.
 */
async function probe(client: ResourceClient, work: () => Promise<unknown>): Promise<number[]> {
  const target = { namespace: NAMESPACE, name: "probe" };
  await client.create(CONFIG_MAPS, { apiVersion: "v1", kind: "ConfigMap", metadata: target });
  const times: number[] = [];
  const done = new AbortController();
  const change = async (): Promise<void> => {
    for (let at = 0; !done.signal.aborted; at++) {
      const patch = { data: { at: String(at) } };
      const call = client.patch(CONFIG_MAPS, target, "application/merge-patch+json", patch);
      times.push(1000 * (await seconds(() => said(call))));
      await env.timers.sleep(PROBE_MS);
    }
  };
  await Promise.all([work().finally(() => done.abort()), change()]);
  return times.toSorted((a, b) => a - b);
}

async function memory(cluster: Cluster): Promise<Figure[]> {
  const { records } = await cluster.status();
  return records
    .filter(({ pid }) => pid > 0)
    .map(({ spec, pid }) => ({
      name: `  resident memory of ${slotKey(spec.component, spec.instance)}`,
      value: Math.round(residentBytes(pid) / 2 ** 20),
      unit: "MiB",
      aim: null,
      against: null,
      met: true,
    }));
}

/** `against` is what kwok's gate allows, in seconds. */
function step(name: string, value: number, against: number): Figure {
  const aim = 20;
  return { name, value: Number(value.toFixed(1)), unit: "s", aim, against, met: value <= aim };
}

function clientOf(cluster: Cluster): ResourceClient {
  const { caFile, certFile, keyFile } = certificateFiles(cluster.paths.pki, "admin");
  return createGrpcResourceClient({
    env,
    logger: silentLogger,
    addresses: cluster.info.processes.filter(({ component }) => component === "api-server").map(({ grpc }) => grpc),
    tls: { ca: readFileSync(caFile), cert: readFileSync(certFile), key: readFileSync(keyFile) },
    timeoutMs: 30_000,
  });
}

async function run(): Promise<Figure[]> {
  const home = mkdtempSync(path.join(tmpdir(), "cox-"));
  let cluster: Cluster | undefined;
  const join = await seconds(async () => {
    cluster = await startCluster({ home, freePorts: true, nodes: NODES, runtime: "simulated" });
  });
  const client = clientOf(cluster!);
  try {
    console.error(`${NODES} nodes: ${join.toFixed(1)} s`);
    let names: string[] = [];
    const created = await seconds(async () => (names = await runPods(client, PODS)));
    console.error(`${PODS} pods: ${created.toFixed(1)} s`);
    const deleted = await seconds(() => endPods(client, names));
    console.error(`${PODS} pods deleted: ${deleted.toFixed(1)} s`);
    let many = 0;
    const calls = await probe(client, async () => {
      many = await seconds(() => runPods(client, MANY_PODS));
    });
    const p99 = Math.round(calls[Math.floor(calls.length * 0.99)]!);
    return [
      step(`${NODES} nodes join, from nothing`, join, 60),
      step(`${PODS} pods created, scheduled and available`, created, 60),
      step(`${PODS} pods deleted`, deleted, 90),
      { name: `${MANY_PODS} pods available`, value: Math.round(many), unit: "s", aim: null, against: null, met: true },
      {
        name: "p99 of a mutating call meanwhile",
        value: p99,
        unit: "ms",
        aim: 1_000,
        against: null,
        met: p99 <= 1_000,
      },
      ...(await memory(cluster!)),
    ];
  } finally {
    await client.close();
    await cluster!.down({ purge: true });
    rmSync(home, { recursive: true, force: true });
  }
}

report("scale", await run());
