// The whole scheduler on the in-memory cluster, under virtual time and with failing writes.
import { newTooManyRequests } from "@coxswain/apimachinery";
import { EVENTS, NAMESPACES, NODES, PODS, type Event, type Node, type Pod } from "@coxswain/api";
import { createMemoryCluster, timeoutError } from "@coxswain/client/memory/memory-cluster";
import { VirtualEnv } from "@coxswain/env";
import { describe, expect, test } from "vitest";
import type { SchedulerOptions } from "../src/app.ts";
import { schedulerOn } from "./whole-scheduler.ts";

function node(name: string, cpu = "2"): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name } },
    status: { allocatable: { cpu, memory: "4Gi", pods: "110" } },
  };
}

function pod(name: string, cpu = "100m", spec: Partial<NonNullable<Pod["spec"]>> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: {
      schedulerName: "default-scheduler",
      containers: [{ name: "c", image: "i", resources: { requests: { cpu } } }],
      ...spec,
    },
  };
}

function setup(seed = 5) {
  const env = new VirtualEnv({ seed });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const scheduler = (identity: string, options: SchedulerOptions = {}) => {
    const stop = new AbortController();
    const app = schedulerOn(env, cluster, { identity, options });
    return { app, stop, running: app.run(stop.signal) };
  };
  const placed = (): Record<string, string | undefined> =>
    Object.fromEntries(cluster.objects<Pod>(PODS).map((one) => [one.metadata!.name!, one.spec?.nodeName]));
  const events = (): string[] => cluster.objects<Event>(EVENTS).map((one) => `${one.reason}: ${one.message}`);
  return { env, cluster, scheduler, placed, events };
}

/** Watches for what must never happen. */
function guard(cluster: ReturnType<typeof createMemoryCluster>): { violations: string[] } {
  const bound = new Map<string, string>();
  const violations: string[] = [];
  cluster.onChange(() => {
    const used = new Map<string, number>();
    for (const one of cluster.objects<Pod>(PODS)) {
      const [uid, at] = [one.metadata!.uid!, one.spec?.nodeName];
      if (!at) continue;
      if (bound.has(uid) && bound.get(uid) !== at) violations.push(`${one.metadata!.name} was bound twice`);
      bound.set(uid, at);
      const cpu = Number(String(one.spec!.containers[0]!.resources!.requests!["cpu"]).replace("m", ""));
      used.set(at, (used.get(at) ?? 0) + cpu);
    }
    for (const [at, cpu] of used) if (cpu > 2000) violations.push(`${at} is over-committed: ${cpu}m`);
  });
  return { violations };
}

describe("scheduler", () => {
  test("binds pods, says so, and leaves others' pods alone", async () => {
    const { env, cluster, scheduler, placed, events } = setup();
    cluster.seed(NODES, node("n1"));
    cluster.seed(PODS, pod("ours"));
    cluster.seed(PODS, pod("theirs", "100m", { schedulerName: "other" }));
    const one = scheduler("s1");
    expect(await env.runUntil(() => placed()["ours"] === "n1", 60_000)).toBe(true);
    await env.advance(5000);
    expect(placed()["theirs"]).toBeUndefined();
    expect(events()).toEqual(["Scheduled: Successfully assigned default/ours to n1"]);
    one.stop.abort();
    await env.advance(1000);
    await one.running;
  });

  test("a binding that a busy server refuses is tried again, and nobody is told that it failed", async () => {
    const { env, cluster, scheduler, placed, events } = setup();
    cluster.seed(NODES, node("n1"));
    cluster.seed(PODS, pod("ours"));
    cluster.inject({ verb: "create", subresource: "binding", error: newTooManyRequests("too busy", 1), times: 2 });
    const one = scheduler("s1");
    expect(await env.runUntil(() => placed()["ours"] === "n1", 60_000)).toBe(true);
    await env.advance(5000);
    expect(events()).toEqual(["Scheduled: Successfully assigned default/ours to n1"]);
    one.stop.abort();
    await env.advance(1000);
    await one.running;
  });

  test("an unschedulable pod has the reason as event and condition, and is placed once a node fits", async () => {
    const { env, cluster, scheduler, placed, events } = setup();
    cluster.seed(NODES, node("n1"));
    cluster.seed(PODS, pod("big", "3000m"));
    scheduler("s1");
    await env.advance(20_000);
    const message =
      "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: " +
      "0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    expect(events()).toEqual([`FailedScheduling: ${message}`]);
    const condition = cluster.objects<Pod>(PODS)[0]!.status?.conditions?.[0];
    expect(condition).toMatchObject({ type: "PodScheduled", status: "False", reason: "Unschedulable", message });
    cluster.seed(NODES, node("n2", "4"));
    expect(await env.runUntil(() => placed()["big"] === "n2", env.elapsedMs + 15_000)).toBe(true);
  });

  test("an event has room for 1,024 characters of the reason, the condition for all", async () => {
    const { env, cluster, scheduler, events } = setup();
    cluster.seed(NODES, node("n1"));
    const names = Array.from({ length: 20 }, (_, at) => `example.com/${"a".repeat(50)}-${at}`);
    const requests = Object.fromEntries(names.map((name) => [name, "1"]));
    cluster.seed(PODS, pod("greedy", "100m", { containers: [{ name: "c", image: "i", resources: { requests } }] }));
    scheduler("s1");
    await env.advance(20_000);
    const message = cluster.objects<Pod>(PODS)[0]!.status?.conditions?.[0]?.message ?? "";
    expect(message.length).toBeGreaterThan(1_024);
    expect(events()).toEqual([`FailedScheduling: ${message.slice(0, 1_020)} ...`]);
  });

  test("no nodes at all", async () => {
    const { env, cluster, scheduler, placed, events } = setup();
    cluster.seed(PODS, pod("a"));
    scheduler("s1");
    await env.advance(20_000);
    expect(events()).toEqual(["FailedScheduling: no nodes available to schedule pods"]);
    cluster.seed(NODES, node("n1"));
    expect(await env.runUntil(() => placed()["a"] === "n1", env.elapsedMs + 15_000)).toBe(true);
  });

  test("a deleted pod makes room", async () => {
    const { env, cluster, scheduler, placed } = setup();
    cluster.seed(NODES, node("n1"));
    cluster.seed(PODS, pod("a", "1500m", { nodeName: "n1" }));
    cluster.seed(PODS, pod("b", "1500m"));
    scheduler("s1");
    await env.advance(30_000);
    expect(placed()["b"]).toBeUndefined();
    const deleted = cluster.client().delete(PODS, { namespace: "default", name: "a" }, { gracePeriodSeconds: 0 });
    expect(await env.runUntil(() => placed()["b"] === "n1", env.elapsedMs + 15_000)).toBe(true);
    await deleted;
  });

  test("new labels of a namespace bring a pod back that asks for pods of such namespaces", async () => {
    const { env, cluster, scheduler, placed } = setup();
    cluster.seed(NODES, node("n1"));
    cluster.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
    const web = pod("web", "100m", { nodeName: "n1" });
    cluster.seed(PODS, { ...web, metadata: { name: "web", namespace: "shop", labels: { app: "web" } } });
    const term = {
      labelSelector: { matchLabels: { app: "web" } },
      namespaceSelector: { matchLabels: { team: "a" } },
      topologyKey: "kubernetes.io/hostname",
    };
    const affinity = { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
    cluster.seed(PODS, pod("near", "100m", { affinity }));
    scheduler("s1");
    await env.advance(30_000);
    expect(placed()["near"]).toBeUndefined();
    const patch = { metadata: { labels: { team: "a" } } };
    const labelled = cluster.client().patch(NAMESPACES, { name: "shop" }, "application/merge-patch+json", patch);
    expect(await env.runUntil(() => placed()["near"] === "n1", env.elapsedMs + 15_000)).toBe(true);
    await labelled;
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "seed %i: with failing, timed-out and landed writes and two schedulers, every pod is bound once and nothing is over-committed",
    async (seed) => {
      const { env, cluster, scheduler, placed } = setup(seed);
      const watch = guard(cluster);
      for (let at = 0; at < 4; at++) cluster.seed(NODES, node(`n${at}`));
      const flaky = (probability: number) => () => env.random.float() < probability;
      const landed = { verb: "create", subresource: "binding", when: flaky(0.2), error: timeoutError() } as const;
      const faults = [cluster.inject({ ...landed, lands: true }), cluster.inject(landed)];
      cluster.inject({ verb: "create", subresource: "binding", when: flaky(0.1) });
      cluster.inject({ verb: "get", resource: "pods", when: flaky(0.3), error: timeoutError() });
      const first = scheduler("s1", { batchSize: 4 });
      scheduler("s2", { batchSize: 4 });
      for (let at = 0; at < 16; at++) {
        cluster.seed(PODS, pod(`p${at}`, "500m"));
        await env.advance(env.random.int(500));
        if (at === 8) first.stop.abort();
      }
      const done = (): boolean => Object.values(placed()).every((at) => at !== undefined);
      expect(await env.runUntil(done, 900_000)).toBe(true);
      expect(watch.violations).toEqual([]);
      expect(faults.reduce((sum, fault) => sum + fault.fired, 0)).toBeGreaterThan(0);
    },
  );

  test("reserve, permit and pre-bind plugins are asked, and a refusal is undone", async () => {
    const { env, cluster, scheduler, placed } = setup();
    const { DEFAULT_PLUGINS } = await import("../src/framework/registry.ts");
    const calls: string[] = [];
    let refusals = 2;
    const plugin = {
      name: "Custom",
      reserve: () => void calls.push("reserve"),
      unreserve: () => void calls.push("unreserve"),
      permit: () => void calls.push("permit"),
      preBind: async () => (refusals-- > 0 ? ({ code: "Unschedulable", reasons: ["not yet"] } as const) : undefined),
      postBind: () => void calls.push("postBind"),
    };
    cluster.seed(NODES, node("n1"));
    cluster.seed(PODS, pod("a"));
    scheduler("s1", {
      profiles: [{ schedulerName: "default-scheduler", plugins: [...DEFAULT_PLUGINS, { plugin, weight: 0 }] }],
    });
    // What a plugin turned down waits for an event.
    for (const name of ["n2", "n3"]) {
      await env.advance(5000);
      expect(placed()["a"]).toBeUndefined();
      cluster.seed(NODES, node(name, "1m"));
    }
    expect(await env.runUntil(() => placed()["a"] === "n1", 60_000)).toBe(true);
    await env.advance(1000);
    const refused = ["reserve", "permit", "unreserve"];
    expect(calls).toEqual([...refused, ...refused, "reserve", "permit", "postBind"]);
  });
});
