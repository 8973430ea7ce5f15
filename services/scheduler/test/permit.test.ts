// Permit: pods that wait with their node, who lets them go, and what becomes of those that nobody lets go.
import { EVENTS, NODES, PODS, type Event, type Pod } from "@coxswain/api";
import { createEventRecorder, createInformerFactory, createLeaderElector } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { describe, expect, test } from "vitest";
import { createScheduler } from "../src/app.ts";
import type { Plugin } from "../src/framework/contract.ts";
import { DEFAULT_PLUGINS } from "../src/framework/registry.ts";
import { WaitingPods } from "../src/framework/waiting-pods.ts";
import { makePodInfo } from "../src/pod-info.ts";
import { node, pod } from "./fixtures.ts";

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

test("a pod that waits keeps its room, holds no other up, and says why it was turned away", async () => {
  const env = new VirtualEnv({ seed: 2 });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const client = cluster.client("s1");
  const recorder = createEventRecorder({ env, client, component: "default-scheduler" });
  const lease = { namespace: "kube-system", name: "kube-scheduler", identity: "s1" };
  const elector = createLeaderElector(lease, { env, client, logger: silentLogger });
  const informers = createInformerFactory({ env, client, logger: silentLogger });
  const group: Plugin = {
    name: "Group",
    permit: ({ info }) => (info.name === "waits" ? { code: "Wait", timeoutMs: 60_000 } : undefined),
    events: () => [],
  };
  const profiles = [
    { schedulerName: "default-scheduler", plugins: [...DEFAULT_PLUGINS, { plugin: group, weight: 0 }] },
  ];
  const base = { env, logger: silentLogger, metrics: noMetrics, client, recorder, elector, informers };
  const app = createScheduler({ ...base, identity: "s1", options: { profiles, batchesInFlight: 1 } });
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
