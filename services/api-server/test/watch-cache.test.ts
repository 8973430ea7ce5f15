// The watch cache by itself: how it finds its start, and pages that stay at one version while the world goes on.
import { expect, test } from "vitest";
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, CONFIG_MAPS, type ConfigMap } from "@coxswain/api";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import type { StatusError } from "@coxswain/apimachinery";
import { allKinds, kindFor } from "@coxswain/api/scheme";
import { CompactedError, type Storage } from "@coxswain/storage";
import type { PipelineWatchEvent } from "../src/pipeline/contract.ts";
import { createRbac } from "../src/auth/rbac-source.ts";
import { WatchCache } from "../src/watch-cache/watch-cache.ts";
import { Watcher } from "../src/watch-cache/watcher.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

const CONFIG_MAPS_KIND = kindFor(CONFIG_MAPS)!;

const configMap = (name: string): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default" },
});

/** A cache of its own over what the server stores, once it knows all of that. `stop` ends it, and the server. */
async function follow(
  server: TestServer,
  storage = server.storage,
): Promise<{ cache: WatchCache; stop: () => Promise<void> }> {
  const kinds = allKinds().filter(({ stored }) => stored);
  const cache = new WatchCache({ env: server.env, logger: silentLogger, metrics: noMetrics, storage, kinds });
  const over = new AbortController();
  const running = cache.run(over.signal);
  await cache.whenPrimed(over.signal);
  await cache.consistent();
  const stop = async (): Promise<void> => {
    over.abort();
    await running;
    await server.stop();
  };
  return { cache, stop };
}

test("starts at the oldest version there is, although storage, like etcd, does not say which", async () => {
  const server = await startTestServer();
  const { storage, client } = server;
  for (const name of ["a", "b", "c", "d", "e"]) await client.create(CONFIG_MAPS, configMap(name));
  const border = BigInt(
    (await client.get(CONFIG_MAPS, { namespace: "default", name: "c" })).metadata!.resourceVersion!,
  );
  await storage.compact(border);
  const reticent: Storage = Object.create(storage, {
    list: {
      value: async (options: Parameters<Storage["list"]>[0]) => {
        try {
          return await storage.list(options);
        } catch (error) {
          throw error instanceof CompactedError ? new CompactedError(options.rv ?? 0n) : error;
        }
      },
    },
    currentRv: { value: () => storage.currentRv() },
    watch: { value: (...args: Parameters<Storage["watch"]>) => storage.watch(...args) },
  }) as Storage;
  const { cache, stop } = await follow(server, reticent);
  const maps = cache.resource(CONFIG_MAPS);
  expect(maps.list("default").map(({ name }) => name)).toEqual(["a", "b", "c", "d", "e"]);
  expect(maps.floor).toBeLessThan(border);
  expect(maps.eventsAfter(maps.floor).map(({ object }) => object.name)).toEqual(["c", "d", "e"]);
  await stop();
});

test("who asked before the start hears that there is something now, although nothing of it is replayed", async () => {
  const server = await startTestServer();
  const { storage, env, client } = server;
  const apiGroup = "rbac.authorization.k8s.io";
  const metadata = { name: "reads-nodes" };
  const rules = [{ verbs: ["list"], apiGroups: [""], resources: ["nodes"] }];
  await client.create(CLUSTER_ROLES, { apiVersion: `${apiGroup}/v1`, kind: "ClusterRole", metadata, rules });
  await client.create(CLUSTER_ROLE_BINDINGS, {
    apiVersion: `${apiGroup}/v1`,
    kind: "ClusterRoleBinding",
    metadata,
    roleRef: { apiGroup, kind: "ClusterRole", name: "reads-nodes" },
    subjects: [{ apiGroup, kind: "User", name: "anna" }],
  });
  await storage.compact(await storage.currentRv());
  const kinds = allKinds().filter(({ stored }) => stored);
  const cache = new WatchCache({ env, logger: silentLogger, metrics: noMetrics, storage, kinds });
  const { link } = createRbac(cache);
  const changed = Promise.withResolvers<void>();
  cache.onChange(CLUSTER_ROLE_BINDINGS, changed.resolve);
  const user = { username: "anna", groups: [] };
  const nodes = { group: "", resource: "nodes", subresource: "", namespace: "", name: "" };
  const may = async (): Promise<boolean> => (await link.authorize({ user, verb: "list", ...nodes })).allowed;
  expect(await may()).toBe(false);
  const over = new AbortController();
  const running = cache.run(over.signal);
  await cache.whenPrimed(over.signal);
  await changed.promise;
  expect(await may()).toBe(true);
  over.abort();
  await running;
  await server.stop();
});

test("packs at once what it hears of the time before its start, and reads it as the first server does", async () => {
  const server = await startTestServer();
  const { client } = server;
  for (const name of ["a", "b", "c"]) await client.create(CONFIG_MAPS, configMap(name));
  await client.update(CONFIG_MAPS, { ...configMap("a"), data: { changed: "yes" } });
  await client.delete(CONFIG_MAPS, { namespace: "default", name: "b" });
  const { cache, stop } = await follow(server);
  const maps = cache.resource(CONFIG_MAPS);
  // Else nothing was replayed, and the test says nothing.
  expect(maps.eventsAfter(maps.floor).map(({ type, object }) => `${type} ${object.name}`)).toEqual([
    "ADDED a",
    "ADDED b",
    "ADDED c",
    "MODIFIED a",
    "DELETED b",
  ]);
  const replayed = maps.list("default");
  expect(replayed.map(({ name, place }) => [name, place !== undefined])).toEqual([
    ["a", true],
    ["c", true],
  ]);
  for (const { name, json } of replayed) {
    expect(JSON.parse(json.toString())).toMatchObject(await client.get(CONFIG_MAPS, { namespace: "default", name }));
  }
  await client.create(CONFIG_MAPS, configMap("later"));
  await cache.consistent();
  expect(maps.get("default", "later")).toMatchObject({ name: "later", place: undefined });
  await stop();
});

test("pages of a list stay at its version, in the cache and beyond it", async () => {
  const one = await startTestServer();
  const { client } = one;
  for (const name of ["a", "b", "c", "d"]) await client.create(CONFIG_MAPS, configMap(name));
  const page = await client.list<ConfigMap>(CONFIG_MAPS, { namespace: "default", limit: 2 });
  expect(page.metadata.remainingItemCount).toBe(2);
  await client.create(CONFIG_MAPS, configMap("bb"));
  await client.delete(CONFIG_MAPS, { namespace: "default", name: "c" });
  const options = { namespace: "default", limit: 2, continue: page.metadata.continue };
  const two = await startTestServer({ store: one.store });
  for (const server of [one, two]) {
    const rest = await server.client.list<ConfigMap>(CONFIG_MAPS, options);
    expect(rest.items.map(({ metadata }) => metadata!.name)).toEqual(["c", "d"]);
    expect(rest.metadata).toEqual({ resourceVersion: page.metadata.resourceVersion });
  }
  const last = await client.create(CONFIG_MAPS, configMap("last"));
  await one.storage.compact(BigInt(last.metadata!.resourceVersion!));
  const three = await startTestServer({ store: one.store });
  // The first still remembers what happened since; the last never saw it.
  for (const server of [one, three]) {
    const expired = await server.client.list(CONFIG_MAPS, options).catch((error: unknown) => error as StatusError);
    expect(expired).toMatchObject({ reason: "Expired", code: 410 });
    const { message, metadata } = (expired as StatusError).toStatus();
    expect(message).toMatch(
      /^The provided continue parameter is too old to display a consistent list result\. You can start/,
    );
    // Who does not mind goes on with the present.
    const present = { ...options, limit: 0, continue: metadata.continue! };
    const rest = await server.client.list<ConfigMap>(CONFIG_MAPS, present);
    expect(rest.items.map(({ metadata: { name } = {} }) => name)).toEqual(
      ["bb", "d", "last"].filter((name) => name > "b"),
    );
  }
  await Promise.all([one.stop(), two.stop(), three.stop()]);
});

test("more watchers than are served in one turn all hear every change, once and in order", async () => {
  const server = await startTestServer();
  const { cache, stop } = await follow(server);
  const everything = { namespace: undefined, name: undefined, matches: undefined };
  const heard = Array.from({ length: 300 }, (): string[] => []);
  for (const names of heard) {
    const sink = {
      send(events: readonly PipelineWatchEvent[]): boolean {
        names.push(...events.map(({ object }) => object.name));
        return true;
      },
      end: () => undefined,
    };
    cache.addWatcher(CONFIG_MAPS_KIND, new Watcher(everything, cache.throughRv, sink, false));
  }
  const names = ["a", "b", "c", "d", "e"];
  for (const name of names) await server.client.create(CONFIG_MAPS, configMap(name));
  await expect.poll(() => heard.filter((each) => each.length >= names.length).length).toBe(heard.length);
  for (const each of heard) expect(each).toEqual(names);
  await stop();
});
