// What the elected api-server does beside requests, in virtual time: bootstrap, expiry of events, compaction, repair.
import { expect, test } from "vitest";
import { ENDPOINT_SLICES, EVENTS, SERVICES } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { createMemoryBus } from "@coxswain/event-bus";
import { CompactedError, createMemoryStorage } from "@coxswain/storage";
import { createApiServer } from "../src/app.ts";
import { clusterIpKey } from "../src/allocation/service-needs.ts";

test("two api-servers start at once, and one of them looks after the store", async () => {
  const env = new VirtualEnv({ seed: 7 });
  const bus = createMemoryBus({ env });
  const storage = createMemoryStorage({ env });
  const inTime = async <T>(call: Promise<T>): Promise<T> => {
    let done = false;
    const settled = call.finally(() => (done = true));
    settled.catch(() => {});
    await env.runUntil(() => done, env.elapsedMs + 10_000);
    return await settled;
  };
  const stray = clusterIpKey("10.96.3.3");
  await inTime(storage.commit({ conditions: [], mutations: [{ op: "put", key: stray, value: Buffer.from("{}") }] }));
  const stop = new AbortController();
  const start = (id: string, ip: string) => {
    const advertisedAddresses = [{ ip, port: 6443 }];
    const own = createMemoryStorage({ env, store: storage.store });
    const api = createApiServer({
      env,
      bus,
      storage: own,
      id,
      advertisedAddresses,
      logger: silentLogger,
      metrics: noMetrics,
    });
    return { api, running: api.run(stop.signal) };
  };
  const servers = [start("a", "198.18.0.1"), start("b", "198.18.0.2"), start("c", "127.0.0.1")];
  expect(await env.runUntil(() => servers.every(({ api }) => api.ready() === undefined), 20_000)).toBe(true);
  const client = servers[0]!.api.loopback;
  const service = await inTime(client.get(SERVICES, { namespace: "default", name: "kubernetes" }));
  expect(service).toMatchObject({ spec: { clusterIP: "10.96.0.1" } });
  const slice = await inTime(client.get(ENDPOINT_SLICES, { namespace: "default", name: "kubernetes" }));
  expect(JSON.stringify(slice)).toMatch(/198\.18\.0\.1.*198\.18\.0\.2|198\.18\.0\.2.*198\.18\.0\.1/);
  expect(JSON.stringify(slice)).not.toContain("127.0.0.1");
  expect(servers.filter(({ api }) => api.facts().publisher)).toHaveLength(1);
  await env.advance(1_000);
  expect(await inTime(storage.get(stray))).toBeUndefined();

  const event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "e", namespace: "default" },
    involvedObject: { kind: "Pod", namespace: "default", name: "p" },
    reason: "Tested",
  };
  const made = await inTime(client.create<KubeObject>(EVENTS, event));
  await env.advance(59 * 60_000);
  await inTime(client.get(EVENTS, { namespace: "default", name: "e" }));
  await env.advance(3 * 60_000);
  await expect(inTime(client.get(EVENTS, { namespace: "default", name: "e" }))).rejects.toThrow("not found");
  await inTime(client.create(EVENTS, { ...event, metadata: { name: "f", namespace: "default" } }));
  await env.advance(11 * 60_000);
  const since = BigInt(made.metadata!.resourceVersion!);
  await expect(inTime(storage.list({ prefix: "/", rv: since }))).rejects.toBeInstanceOf(CompactedError);
  stop.abort();
  await env.advance(1_000);
  await Promise.all(servers.map(({ running }) => running));
});

test("a quiet watch hears about every ten seconds how far it has got", async () => {
  const env = new VirtualEnv({ seed: 3 });
  const storage = createMemoryStorage({ env });
  const api = createApiServer({
    env,
    bus: createMemoryBus({ env }),
    storage,
    id: "a",
    logger: silentLogger,
    metrics: noMetrics,
  });
  const stop = new AbortController();
  const running = api.run(stop.signal);
  expect(await env.runUntil(() => api.ready() === undefined, 20_000)).toBe(true);
  let bookmarks = 0;
  const follow = async (): Promise<void> => {
    for await (const { type, object } of api.loopback.watch(SERVICES, { allowBookmarks: true }, stop.signal)) {
      // The one after the initial events does not count.
      if (type === "BOOKMARK" && object.metadata?.annotations === undefined) bookmarks++;
    }
  };
  const following = follow();
  await env.advance(60_500);
  expect(bookmarks).toBeGreaterThanOrEqual(5);
  expect(bookmarks).toBeLessThanOrEqual(6);
  stop.abort();
  await env.advance(1_000);
  await Promise.all([running, following.catch(() => {})]);
});
