// The change feed: one publisher at a time, every change once, chained; a new publisher under a new epoch when one goes.
import { expect, test, vi } from "vitest";
import { CONFIG_MAPS, PODS, SECRETS, type Pod } from "@coxswain/api";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { changePattern, createMemoryBus, decodeChanges, type ChangeHeader } from "@coxswain/event-bus";
import { encodeStored } from "../src/watch-cache/stored-form.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

interface Heard extends ChangeHeader {
  readonly subject: string;
  readonly body: string;
}

const configMap = (name: string) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default" } });

const PATIENCE = { timeout: 30_000 };

async function publisherAmong(servers: readonly TestServer[]): Promise<TestServer> {
  return await vi.waitUntil(() => servers.find(({ api }) => api.facts().publisher));
}

test("each change is published once, in a chain that goes on under another publisher", async () => {
  const env = createRealEnv();
  const bus = createMemoryBus({ env });
  const heard: Heard[] = [];
  for (const resource of ["configmaps", "pods", "secrets"]) {
    bus.subscribe(changePattern("", resource), (message) => {
      for (const { header, data } of decodeChanges(message)) {
        if (header.type !== "BOOKMARK") heard.push({ ...header, subject: message.subject, body: data.toString() });
      }
    });
  }
  const one = await startTestServer({ env, bus });
  const two = await startTestServer({ env, bus, store: one.store });
  const first = await publisherAmong([one, two]);
  const other = first === one ? two : one;
  const { client } = other;
  const beforeRv = BigInt(first.api.facts().resourceVersion);
  await client.create(CONFIG_MAPS, configMap("a"));
  await client.create(SECRETS, { ...configMap("s"), kind: "Secret" });
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: { nodeName: "n1.example", containers: [{ name: "c", image: "i" }] },
  };
  await client.create(PODS, pod);
  await client.delete(CONFIG_MAPS, { namespace: "default", name: "a" });
  await vi.waitUntil(() => heard.length >= 4);
  expect(heard.map(({ subject, type, ref }) => [subject, type, ref])).toEqual([
    ["kube.core.configmaps.default", "ADDED", undefined],
    ["kube.core.secrets.default", "ADDED", "default/s"],
    ["kube.core.pods.default.node.n1_example", "ADDED", undefined],
    ["kube.core.configmaps.default", "DELETED", undefined],
  ]);
  expect(heard[1]!.body).toBe("");
  expect(heard[3]!.prevRv).toBe(heard[0]!.rv);
  expect(BigInt(heard[2]!.prevNodeRv!)).toBeLessThanOrEqual(beforeRv);
  expect(JSON.parse(heard[3]!.body)).toMatchObject({ metadata: { name: "a", resourceVersion: heard[3]!.rv } });
  await client.create(PODS, { ...pod, metadata: { name: "q", namespace: "default" } });
  await client.delete(PODS, { namespace: "default", name: "q" }, { gracePeriodSeconds: 0 });
  await vi.waitUntil(() => heard.length >= 6);
  const { rv: deletedRv } = heard.splice(4)[1]!;
  await vi.waitUntil(() => BigInt(other.api.facts().resourceVersion) >= BigInt(deletedRv));
  await first.stop();
  await publisherAmong([other]);
  await client.create(CONFIG_MAPS, configMap("b"));
  await vi.waitUntil(() => heard.length >= 5);
  expect(heard).toHaveLength(5);
  expect(heard[4]!.epoch).not.toBe(heard[3]!.epoch);
  expect(heard[4]!.prevRv).toBe(heard[3]!.rv);
  const key = { namespace: "default", name: "p" };
  await client.patch(PODS, key, "application/merge-patch+json", { metadata: { labels: { a: "b" } } });
  await vi.waitUntil(() => heard.length >= 6);
  // The deletion was in the epoch before: who has not seen it must not be let on.
  expect(BigInt(heard[5]!.prevNodeRv!)).toBeGreaterThanOrEqual(BigInt(deletedRv));
  await other.stop();
});

test("a change that cannot be published is logged, and neither its neighbours nor the cache suffer", async () => {
  const env = createRealEnv();
  const bus = createMemoryBus({ env });
  const heard: Heard[] = [];
  bus.subscribe(changePattern("", "configmaps"), (message) => {
    for (const { header, data } of decodeChanges(message)) {
      heard.push({ ...header, subject: message.subject, body: data.toString() });
    }
  });
  const logged: unknown[] = [];
  const logger = { ...silentLogger, error: (fields: object) => void logged.push(fields) };
  const server = await startTestServer({ env, bus, logger });
  const { api, client, storage } = server;
  await vi.waitUntil(() => api.facts().publisher, PATIENCE);
  const put = (namespace: string, name: string) => ({
    op: "put" as const,
    key: `/registry/core/configmaps/${namespace}/${name}`,
    value: encodeStored({ ...CONFIG_MAPS, kind: "ConfigMap" }, { ...configMap(name), metadata: { name, namespace } }),
  });
  // Whoever writes to etcd by hand is bound by no rule for names. No subject may have a blank.
  const mutations = [put("default", "before"), put("no name", "between"), put("default", "after")];
  const commit = await storage.commit({ conditions: [], mutations });
  const rvs = commit.committed ? commit.rvs.map(String) : [];
  await vi.waitUntil(() => heard.some(({ rv }) => rv === rvs[2]), PATIENCE);
  const changes = heard.filter(({ type }) => type !== "BOOKMARK");
  expect(changes.map(({ rv }) => rv)).toEqual([rvs[0], rvs[2]]);
  // Who follows the chain sees that one is missing.
  expect(changes[1]!.prevRv).toBe(rvs[1]);
  const what = { key: "configmaps no name/between", type: "ADDED", rv: rvs[1] };
  expect(logged).toContainEqual(expect.objectContaining(what));
  const { items } = await client.list(CONFIG_MAPS, { namespace: "no name" });
  expect(items.map(({ metadata }) => metadata?.name)).toEqual(["between"]);
  await client.create(CONFIG_MAPS, configMap("next"));
  await vi.waitUntil(() => heard.some(({ body }) => body.includes('"next"')), PATIENCE);
  await server.stop();
});
