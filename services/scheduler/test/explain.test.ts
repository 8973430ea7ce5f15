// Explain names every plugin's verdict on every node, over the service as a client would call it.
import { NODES, PODS } from "@coxswain/api";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { createSeededRandom, VirtualEnv } from "@coxswain/env";
import { expect, test } from "vitest";
import { explainPod } from "../src/explain.ts";
import { Framework } from "../src/framework/plan-schedule.ts";
import { DEFAULT_PROFILES } from "../src/framework/registry.ts";
import { makePodInfo } from "../src/pod-info.ts";
import { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";
import { schedulerOn } from "./whole-scheduler.ts";

const node = (name: string, cpu: string, taints: { key: string; effect: string }[] = []) => ({
  metadata: { name },
  spec: { taints },
  status: { allocatable: { cpu, memory: "1Gi", pods: "10" } },
});
const pod = (cpu: string, gates: { name: string }[] = []) => ({
  metadata: { name: "p", namespace: "default", uid: "u" },
  spec: {
    schedulerName: "default-scheduler",
    schedulingGates: gates,
    containers: [{ name: "c", resources: { requests: { cpu } } }],
  },
});

function explain(nodes: ReturnType<typeof node>[], wanted: ReturnType<typeof pod>) {
  const snapshot = new ClusterSnapshot();
  for (const one of nodes) snapshot.upsertNode(one);
  const options = { random: createSeededRandom(1), percentageOfNodesToScore: 0 };
  return explainPod(new Framework(DEFAULT_PROFILES[0]!), makePodInfo(wanted), snapshot, options);
}

test("all that is wrong with a node is listed, and what fits is scored", () => {
  const nodes = [node("small", "100m", [{ key: "k", effect: "NoSchedule" }]), node("a", "4"), node("b", "2")];
  const decision = explain(nodes, pod("1"));
  expect(decision).toMatchObject({ outcome: "Schedulable", node: "a", message: "" });
  const [small, a, b] = decision.nodes!;
  const bad = small!.verdicts!.filter((one) => one.code !== "Success").map((one) => [one.plugin, one.reasons]);
  expect(bad).toEqual([
    ["TaintToleration", ["node(s) had untolerated taint(s)"]],
    ["NodeResourcesFit", ["Insufficient cpu"]],
  ]);
  expect(small).toMatchObject({ feasible: false, scores: [] });
  expect(a!.scores!.map((one) => one.plugin)).toEqual([
    "TaintToleration",
    "NodeResourcesFit",
    "NodeResourcesBalancedAllocation",
    "ImageLocality",
  ]);
  expect(Number(a!.totalScore)).toBeGreaterThan(Number(b!.totalScore));
});

test("where preemption would help, and who would leave, the best first; nothing is changed by asking", () => {
  const snapshot = new ClusterSnapshot();
  for (const name of ["a", "b", "c"]) snapshot.upsertNode(node(name, "1"));
  const there = (name: string, on: string, priority: number) => {
    const one = pod("1");
    return { metadata: { ...one.metadata, name, uid: name }, spec: { ...one.spec, nodeName: on, priority } };
  };
  snapshot.upsertPod(there("x", "a", 5));
  snapshot.upsertPod(there("y", "b", 3));
  snapshot.upsertPod(there("z", "c", 100));
  const wanted = { ...pod("1"), spec: { ...pod("1").spec, priority: 10 } };
  const options = { random: createSeededRandom(1), percentageOfNodesToScore: 0 };
  const framework = new Framework(DEFAULT_PROFILES[0]!);
  const ask = () => explainPod(framework, makePodInfo(wanted), snapshot, options);
  expect(ask()).toMatchObject({
    outcome: "Unschedulable",
    message: "0/3 nodes are available: 3 Insufficient cpu.",
    nominatedNode: "b",
    candidates: [
      { node: "b", victims: ["default/y"], budgetViolations: 0 },
      { node: "a", victims: ["default/x"], budgetViolations: 0 },
    ],
  });
  expect(ask()).toEqual(ask());
  snapshot.removePod("default/y");
  const nominated = makePodInfo({ ...wanted, metadata: { ...wanted.metadata, name: "n", uid: "n" } });
  snapshot.nominations.add(nominated, "b");
  const kept = ask().nodes!.find((one) => one.node === "b");
  expect(kept).toMatchObject({ feasible: false });
  expect(kept!.verdicts!.at(-1)!.reasons).toEqual(["Insufficient cpu (with the pods that are nominated to it)"]);
});

test("gated and unschedulable pods carry the message of their event", () => {
  expect(explain([node("a", "1")], pod("1", [{ name: "g" }]))).toMatchObject({
    outcome: "Gated",
    message: "waiting for scheduling gates: [g]",
  });
  const stuck = explain([node("a", "1")], pod("2"));
  expect(stuck.outcome).toBe("Unschedulable");
  expect(stuck.message).toMatch(/^0\/1 nodes are available: 1 Insufficient cpu\. /);
});

test("a scheduler that does not lead keeps its snapshot and queue, and writes nothing", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const cluster = createMemoryCluster({ env });
  cluster.seed(NODES, node("a", "1"));
  cluster.seed(PODS, pod("2"));
  const lead = { holderIdentity: "other", leaseDurationSeconds: 3600, leaseTransitions: 1 };
  cluster.seed({ group: "coordination.k8s.io", version: "v1", resource: "leases" }, {
    metadata: { name: "kube-scheduler", namespace: "kube-system" },
    spec: lead,
  } as never);
  const app = schedulerOn(env, cluster);
  const stop = new AbortController();
  const running = app.run(stop.signal);
  await env.advance(60_000);
  expect(app.leader!()).toBe(false);
  expect(app.facts!()).toMatchObject({ nodes: "1", "queue.active": "1" });
  expect(cluster.writes()).toEqual([]);
  stop.abort();
  await env.advance(1000);
  await running;
});
