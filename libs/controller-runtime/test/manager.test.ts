// A manager starts controllers when informers have synced, and stops them all.
import { expect, test } from "vitest";
import { CONFIG_MAPS } from "@coxswain/api";
import { createInformerFactory } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { objectKey } from "@coxswain/apimachinery";
import { createController } from "../src/controller.ts";
import { createManager } from "../src/manager.ts";

function make() {
  const env = new VirtualEnv({ seed: 1 });
  const cluster = createMemoryCluster({ env });
  const informers = createInformerFactory({ env, logger: silentLogger, client: cluster.client() });
  const manager = createManager({ env, logger: silentLogger, informers });
  const seen: string[] = [];
  const informer = informers.informer(CONFIG_MAPS);
  const controller = createController(
    { name: "test", reconcile: async (key) => void seen.push(`${key} ${informer.hasSynced()}`) },
    { env, logger: silentLogger },
  );
  informer.addHandler({ add: (object) => controller.enqueue(objectKey(object)) });
  manager.add(controller);
  return { env, cluster, manager, seen, controller };
}

test("nothing is reconciled before the caches have synced", async () => {
  const { env, cluster, manager, seen } = make();
  cluster.seed(CONFIG_MAPS, { metadata: { name: "a", namespace: "ns" } });
  const fault = cluster.inject({ verb: "list", times: 2 });
  const abort = new AbortController();
  const running = manager.run(abort.signal);
  await env.advance(100);
  expect(seen).toEqual([]);
  await env.advance(5_000);
  expect(fault.fired).toBe(2);
  expect(seen).toEqual(["ns/a true"]);
  abort.abort();
  await running;
});

test("it may run again, as after leadership was lost and won, with informers that went on meanwhile", async () => {
  const { env, cluster, manager, seen } = make();
  const informers = new AbortController();
  const first = new AbortController();
  const running = manager.run(first.signal, informers.signal);
  await env.advance(10);
  first.abort();
  await running;
  await cluster.client().create(CONFIG_MAPS, { metadata: { name: "b", namespace: "ns" } });
  await env.advance(10);
  expect(seen).toEqual([]);
  const second = new AbortController();
  const again = manager.run(second.signal, informers.signal);
  await env.advance(10);
  expect(seen).toEqual(["ns/b true"]);
  second.abort();
  informers.abort();
  await again;
});

test("names are unique; stopping before the sync ends quietly", async () => {
  const { env, cluster, manager, controller } = make();
  expect(() => manager.add(controller)).toThrow("controller test is already there");
  expect(manager.get("test")).toBe(controller);
  cluster.inject({ verb: "list" });
  const abort = new AbortController();
  const running = manager.run(abort.signal);
  await env.advance(1_000);
  abort.abort();
  await running;
});
