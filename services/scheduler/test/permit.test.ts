// Permit: pods that wait with their node, who lets them go, and what becomes of those that nobody lets go.
import { EVENTS, NODES, PODS, type Event, type Pod } from "@coxswain/api";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { VirtualEnv } from "@coxswain/env";
import { describe, expect, test } from "vitest";
import type { Plugin, Rejection } from "../src/framework/contract.ts";
import { DEFAULT_PLUGINS } from "../src/framework/registry.ts";
import { WaitingPods } from "../src/framework/waiting-pods.ts";
import { makePodInfo } from "../src/pod-info.ts";
import { node, pod } from "./fixtures.ts";
import { schedulerOn } from "./whole-scheduler.ts";

describe("waiting pods", () => {
  const info = makePodInfo(pod("a"));
  const setup = () => {
    const env = new VirtualEnv({ seed: 1 });
    const waiting = new WaitingPods(env.timers);
    const stop = new AbortController();
    const waits = new Map([
      ["One", 1000],
      ["Two", 5000],
    ]);
    return { env, waiting, stop, outcome: waiting.wait(info, "n", waits, stop.signal) };
  };

  test("go once every plugin lets them", async () => {
    const { waiting, outcome } = setup();
    const one = waiting.get(info.uid)!;
    one.allow("Two");
    expect(one.pending()).toEqual(["One"]);
    one.allow("One");
    expect(await outcome).toBeUndefined();
    expect(waiting.values()).toEqual([]);
  });

  test("are turned away by one plugin, by time, for a more important pod, and with the leadership", async () => {
    const said = async (end: (of: ReturnType<typeof setup>) => unknown): Promise<unknown> => {
      const of = setup();
      await end(of);
      return of.outcome;
    };
    const because = (plugin: string, reason: string) => ({
      plugin,
      rejection: { code: "Unschedulable", reasons: [reason] },
    });
    expect(await said(({ waiting }) => waiting.get(info.uid)!.reject("Two", "no"))).toEqual(because("Two", "no"));
    expect(await said(({ env }) => env.advance(1001))).toEqual(
      because("One", "rejected due to timeout after waiting 1s at plugin One"),
    );
    expect(await said(({ waiting }) => waiting.preempt(info.uid))).toEqual(because("DefaultPreemption", "preempted"));
    expect(await said(({ stop }) => stop.abort())).toEqual(because("", "leadership was lost"));
  });
});

describe("the node that a pod is about to go to", () => {
  /** A pod whose name starts with "slow" waits in PreBind until it is let go, or turned down. */
  function setup() {
    const env = new VirtualEnv({ seed: 3 });
    const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
    let settle: (said: Rejection | undefined) => void = () => {};
    const slow: Plugin = {
      name: "Slow",
      preBindPreFlight: ({ info }) => (info.name.startsWith("slow") ? undefined : "skip"),
      preBind: () => new Promise((resolve) => (settle = resolve)),
      events: () => [{ resource: "TargetPod", actions: ["UpdatePodLabel"] }],
    };
    const group: Plugin = {
      name: "Group",
      permit: ({ info }) => (info.name === "waits" ? { code: "Wait", timeoutMs: 60_000 } : undefined),
      events: () => [],
    };
    const plugins = [...DEFAULT_PLUGINS, { plugin: slow, weight: 0 }, { plugin: group, weight: 0 }];
    const profiles = [{ schedulerName: "default-scheduler", plugins }];
    const app = schedulerOn(env, cluster, { options: { profiles, batchesInFlight: 1 } });
    void app.run(new AbortController().signal);
    const get = (name: string): Pod | undefined =>
      cluster.objects<Pod>(PODS).find((one) => one.metadata!.name === name);
    const nominated = (name: string): string | undefined => get(name)?.status?.nominatedNodeName;
    const until = (done: () => boolean): Promise<boolean> => env.runUntil(done, env.elapsedMs + 60_000);
    return { env, cluster, get, nominated, until, settle: (said?: Rejection) => settle(said) };
  }

  test("is told while it waits for Permit or PreBind, and no more once it is there", async () => {
    const { cluster, get, nominated, until, settle } = setup();
    cluster.seed(NODES, node("a"));
    cluster.seed(PODS, pod("slow"));
    cluster.seed(PODS, pod("waits"));
    expect(await until(() => nominated("slow") === "a" && nominated("waits") === "a")).toBe(true);
    expect(get("slow")?.spec?.nodeName).toBeUndefined();
    settle();
    expect(await until(() => get("slow")?.spec?.nodeName === "a")).toBe(true);
    expect(nominated("slow")).toBeUndefined();
  });

  test("is not told of a pod that is bound at once", async () => {
    const { cluster, get, until } = setup();
    cluster.seed(NODES, node("a"));
    cluster.seed(PODS, pod("quick"));
    expect(await until(() => get("quick")?.spec?.nodeName === "a")).toBe(true);
    expect(cluster.writes().filter(({ subresource }) => subresource === "status")).toEqual([]);
  });

  test.each<[string, Rejection]>([
    ["turned down", { code: "Unschedulable", reasons: ["no"] }],
    ["not to be bound", { code: "Error", reasons: ["no disk"] }],
  ])("is taken back where the pod is %s, and its room is free for others", async (_, said) => {
    const { cluster, get, nominated, until, settle } = setup();
    cluster.seed(NODES, node("a", {}, { cpu: "1" }));
    cluster.seed(PODS, pod("slow", { requests: { cpu: "1" } }));
    const told = (): string | undefined =>
      get("slow")?.status?.conditions?.find(({ type }) => type === "PodScheduled")?.status;
    // The second time the status says already why it is not placed.
    for (let attempt = 1; attempt <= 2; attempt++) {
      expect(await until(() => nominated("slow") === "a")).toBe(true);
      settle(said);
      expect(await until(() => told() === "False" && nominated("slow") === undefined)).toBe(true);
      const again = { metadata: { labels: { attempt: String(attempt) } } };
      const target = { namespace: "default", name: "slow" };
      if (attempt === 1) void cluster.client().patch(PODS, target, "application/merge-patch+json", again);
    }
    cluster.seed(PODS, pod("quick", { requests: { cpu: "1" }, priority: -1 }));
    void cluster.client().delete(PODS, { namespace: "default", name: "slow" });
    expect(await until(() => get("quick")?.spec?.nodeName === "a")).toBe(true);
  });

  test("is taken back where there is no node any more", async () => {
    const { cluster, nominated, until } = setup();
    const wanted = pod("quick");
    wanted.status = { nominatedNodeName: "gone" };
    cluster.seed(PODS, wanted);
    expect(await until(() => nominated("quick") === undefined)).toBe(true);
  });

  test.each([
    ["is kept where others set it and the pod fits", "b", "b"],
    ["is no reason to wait where the pod does not fit there", "c", "a"],
    ["is no reason to wait where there is no such node", "d", "a"],
  ])("%s", async (_, wish, got) => {
    const { cluster, get, nominated, until } = setup();
    cluster.seed(NODES, node("a", {}, { cpu: "64" }));
    cluster.seed(NODES, node("b", {}, { cpu: "1" }));
    cluster.seed(NODES, node("c", {}, { cpu: "100m" }));
    const preferred = [
      {
        weight: 100,
        preference: { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: ["a"] }] },
      },
    ];
    const wanted = pod("quick", {
      requests: { cpu: "500m" },
      affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: preferred } },
    });
    wanted.status = { nominatedNodeName: wish };
    cluster.seed(PODS, wanted);
    expect(await until(() => get("quick")?.spec?.nodeName !== undefined)).toBe(true);
    expect([get("quick")?.spec?.nodeName, nominated("quick")]).toEqual([got, undefined]);
  });
});

test("a pod that waits keeps its room, holds no other up, and says why it was turned away", async () => {
  const env = new VirtualEnv({ seed: 2 });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const group: Plugin = {
    name: "Group",
    permit: ({ info }) => (info.name === "waits" ? { code: "Wait", timeoutMs: 60_000 } : undefined),
    events: () => [],
  };
  const profiles = [
    { schedulerName: "default-scheduler", plugins: [...DEFAULT_PLUGINS, { plugin: group, weight: 0 }] },
  ];
  const app = schedulerOn(env, cluster, { options: { profiles, batchesInFlight: 1 } });
  void app.run(new AbortController().signal);
  const nodeOf = (name: string): string | undefined =>
    cluster.objects<Pod>(PODS).find((one) => one.metadata!.name === name)?.spec?.nodeName;
  cluster.seed(NODES, node("a", {}, { cpu: "2" }));
  cluster.seed(PODS, pod("waits", { requests: { cpu: "1" } }));
  await env.advance(5000);
  cluster.seed(PODS, pod("quick", { requests: { cpu: "1" } }));
  cluster.seed(PODS, pod("late", { requests: { cpu: "1" } }));
  expect(await env.runUntil(() => nodeOf("quick") === "a" || nodeOf("late") === "a", 20_000)).toBe(true);
  await env.advance(10_000);
  // The room of the one that waits is taken.
  expect([nodeOf("quick"), nodeOf("late")].filter((one) => one !== undefined)).toEqual(["a"]);
  expect(nodeOf("waits")).toBeUndefined();
  // Its time is over: another gets the room.
  expect(await env.runUntil(() => nodeOf("quick") === "a" && nodeOf("late") === "a", 120_000)).toBe(true);
  await env.advance(5000);
  const events = cluster.objects<Event>(EVENTS).filter((one) => one.involvedObject.name === "waits");
  expect(events.map((one) => `${one.reason}: ${one.message}`)).toContain(
    "FailedScheduling: 0/1 nodes are available: 1 rejected due to timeout after waiting 1m0s at plugin Group.",
  );
});
