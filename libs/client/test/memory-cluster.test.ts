// The in-memory double keeps the client contract, and can fail on demand.
import { expect, test } from "vitest";
import { CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS } from "@coxswain/api";
import { isReason, mayHaveLanded, type KubeObject } from "@coxswain/apimachinery";
import { VirtualEnv } from "@coxswain/env";
import { createMemoryCluster, timeoutError } from "../src/memory/memory-cluster.ts";
import { resourceClientSuite } from "../src/testing/resource-client-suite.ts";

const makeCluster = () => createMemoryCluster({ env: new VirtualEnv({ seed: 1 }) });

resourceClientSuite("in-memory double", {
  makeClient: () => createMemoryCluster({ env: new VirtualEnv({ seed: 1 }), requireNamespaces: true }).client(),
});

const configMap = (name: string): KubeObject => ({ metadata: { name, namespace: "ns" } });

test("the nth create fails, the others pass", async () => {
  const cluster = makeCluster();
  const fault = cluster.inject({ verb: "create", resource: "configmaps", nth: 2 });
  const client = cluster.client();
  await client.create(CONFIG_MAPS, configMap("a"));
  await expect(client.create(CONFIG_MAPS, configMap("b"))).rejects.toMatchObject({ reason: "InternalError" });
  await client.create(CONFIG_MAPS, configMap("c"));
  expect(fault.fired).toBe(1);
  expect(cluster.objects(CONFIG_MAPS).map((o) => o.metadata?.name)).toEqual(["a", "c"]);
});

test("a write may land and answer Timeout", async () => {
  const cluster = makeCluster();
  cluster.inject({ verb: "create", error: timeoutError(), lands: true, times: 1 });
  const failure = await cluster
    .client()
    .create(CONFIG_MAPS, configMap("a"))
    .catch((error: unknown) => error);
  expect(mayHaveLanded(failure)).toBe(true);
  expect(cluster.objects(CONFIG_MAPS)).toHaveLength(1);
});

test("a watch from before compaction is Expired, a broken one is ServiceUnavailable", async () => {
  const cluster = makeCluster();
  const client = cluster.client();
  const { metadata } = await client.list(CONFIG_MAPS);
  const signal = new AbortController().signal;
  const read = async (): Promise<void> => {
    for await (const event of client.watch(CONFIG_MAPS, { resourceVersion: metadata.resourceVersion }, signal))
      void event;
  };
  const broken = read();
  await Promise.resolve();
  cluster.breakWatches();
  await expect(broken).rejects.toMatchObject({ reason: "ServiceUnavailable" });
  await client.create(CONFIG_MAPS, configMap("a"));
  cluster.compact();
  await expect(read()).rejects.toMatchObject({ reason: "Expired", code: 410 });
});

test("a caller cannot reach what is stored", async () => {
  const cluster = makeCluster();
  const made = await cluster.client().create(CONFIG_MAPS, configMap("a"));
  made.metadata = { name: "changed" };
  expect(cluster.objects(CONFIG_MAPS)[0]?.metadata?.name).toBe("a");
});

test("a namespace stays Terminating until it is finalized, and takes nothing new", async () => {
  const cluster = makeCluster();
  const client = cluster.client();
  await client.create(NAMESPACES, { metadata: { name: "ns" } });
  const kept = await client.delete(NAMESPACES, { name: "ns" });
  expect(kept).toMatchObject({ status: { phase: "Terminating" } });
  const refused = await client.create(CONFIG_MAPS, configMap("a")).catch((error: unknown) => error);
  expect(isReason(refused, "Forbidden")).toBe(true);
  await client.update(NAMESPACES, { ...kept, spec: {} } as KubeObject, { subresource: "finalize" });
  expect(cluster.objects(NAMESPACES)).toEqual([]);
});

test("deleting with a policy leaves the matching finalizer", async () => {
  const cluster = makeCluster();
  const client = cluster.client();
  await client.create(DEPLOYMENTS, { metadata: { name: "d", namespace: "ns" } });
  const target = { namespace: "ns", name: "d" };
  const kept = await client.delete(DEPLOYMENTS, target, { propagationPolicy: "Foreground" });
  expect(kept?.metadata?.finalizers).toEqual(["foregroundDeletion"]);
});

test("seeded objects keep their status; latency takes virtual time", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const cluster = createMemoryCluster({ env, latencyMs: () => 5 });
  cluster.seed(PODS, { metadata: { name: "p", namespace: "ns" }, status: { phase: "Running" } } as KubeObject);
  const reading = cluster.client().get(PODS, { namespace: "ns", name: "p" });
  await env.advance(10);
  expect(await reading).toMatchObject({ status: { phase: "Running" } });
  expect(env.elapsedMs).toBe(10);
});

test("an eviction spends the disruption budget", async () => {
  const cluster = makeCluster();
  const client = cluster.client();
  const labels = { app: "a" };
  const budgets = { group: "policy", version: "v1", resource: "poddisruptionbudgets" };
  cluster.seed(budgets, {
    metadata: { name: "b", namespace: "ns" },
    spec: { selector: { matchLabels: labels } },
    status: { disruptionsAllowed: 1 },
  } as KubeObject);
  for (const name of ["p", "q"]) {
    cluster.seed(PODS, { metadata: { name, namespace: "ns", labels }, status: { phase: "Running" } } as KubeObject);
  }
  const evict = (name: string): Promise<KubeObject> =>
    client.create(PODS, { metadata: { name, namespace: "ns" } }, { name, namespace: "ns", subresource: "eviction" });
  await evict("p");
  await expect(evict("q")).rejects.toMatchObject({ reason: "TooManyRequests", code: 429 });
  expect(cluster.objects(PODS).map((o) => o.metadata?.name)).toEqual(["q"]);
});
