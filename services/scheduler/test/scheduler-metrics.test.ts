// What the scheduler counts, as upstream: attempts by result and profile, attempts by pod, preemptions and their victims.
import { NODES, PODS, type Node, type Pod } from "@coxswain/api";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { createMetrics } from "@coxswain/component-base/metrics";
import { VirtualEnv } from "@coxswain/env";
import { expect, test } from "vitest";
import { schedulerOn } from "./whole-scheduler.ts";

const node = (name: string, cpu: string): Node => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name },
  status: { allocatable: { cpu, memory: "4Gi", pods: "110" } },
});

const pod = (name: string, cpu: string, priority = 0): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: {
    schedulerName: "default-scheduler",
    priority,
    terminationGracePeriodSeconds: 0,
    containers: [{ name: "c", image: "i", resources: { requests: { cpu } } }],
  },
});

test("attempts, what they took, and preemptions", async () => {
  const env = new VirtualEnv({ seed: 3 });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const metrics = createMetrics();
  const stop = new AbortController();
  const running = schedulerOn(env, cluster, { metrics }).run(stop.signal);
  const bound = (name: string): boolean =>
    cluster.objects<Pod>(PODS).some((one) => one.metadata!.name === name && one.spec?.nodeName === "n1");
  cluster.seed(NODES, node("n1", "1"));
  cluster.seed(PODS, pod("low", "1"));
  expect(await env.runUntil(() => bound("low"), 60_000)).toBe(true);
  await env.advance(1000);
  cluster.seed(PODS, pod("high", "1", 100));
  expect(await env.runUntil(() => bound("high"), 120_000)).toBe(true);
  await env.advance(1000);
  stop.abort();
  await env.advance(1000);
  await running;

  const text = await metrics.text();
  const series = (start: string): number | undefined => {
    const line = text.split("\n").find((one) => one.startsWith(`scheduler_${start} `));
    return line === undefined ? undefined : Number(line.split(" ").at(-1));
  };
  const scheduled = '{result="scheduled",profile="default-scheduler"}';
  const unschedulable = '{result="unschedulable",profile="default-scheduler"}';
  expect(series(`schedule_attempts_total${scheduled}`)).toBe(2);
  expect(series(`schedule_attempts_total${unschedulable}`)).toBe(1);
  expect(series(`scheduling_attempt_duration_seconds_count${scheduled}`)).toBe(2);
  expect(series(`scheduling_attempt_duration_seconds_count${unschedulable}`)).toBe(1);
  // A binding is a round trip of the virtual network; a decision takes no virtual time.
  expect(series(`scheduling_attempt_duration_seconds_sum${scheduled}`)).toBeGreaterThan(0);
  expect(series("pod_scheduling_attempts_sum")).toBe(3);
  expect(series("pod_scheduling_attempts_count")).toBe(2);
  expect(series('pod_scheduling_sli_duration_seconds_count{attempts="1"}')).toBe(1);
  expect(series('pod_scheduling_sli_duration_seconds_count{attempts="2"}')).toBe(1);
  expect(series("preemption_attempts_total")).toBe(1);
  expect(series("preemption_victims_sum")).toBe(1);
  expect(series('pending_pods{queue="unschedulable"}')).toBe(0);
});
