// Pods bring nodes, and nodes go when nobody needs them, by the real kubectl on simulated nodes.
import { nodeTemplate } from "@coxswain/cluster/node-template";
import { attach, startCluster } from "@coxswain/cluster";
import type { ConfigMap, Event, Node, Pod } from "@coxswain/api";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, type TestCluster, testCluster } from "./cluster-fixture.ts";

const AUTOSCALE = {
  nodes: 1,
  autoscale: { min: 1, max: 3 },
  autoscalerFlags: ["--scan-interval=1s", "--scale-down-unneeded-time=2s", "--scale-down-delay-after-add=2s"],
};

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ ...AUTOSCALE, name: "elastic" });
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
});

const list = async <T>(...args: readonly string[]): Promise<T[]> => (await k.get<{ items: T[] }>(args)).items;
const nodeNames = async (): Promise<string[]> =>
  (await list<Node>("nodes")).map((node) => node.metadata?.name ?? "").toSorted();
const reasons = async (kind: string): Promise<string[]> =>
  (await list<Event>("events", "-A"))
    .filter((event) => event.involvedObject.kind === kind)
    .map(({ reason, message }) => `${reason}: ${message}`);

/** A simulated node has 4 cpus: one pod a node. */
function large(name: string, replicas: number, cpu = "3"): string {
  return JSON.stringify({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [{ name: "main", image: "example.test/app:v1", resources: { requests: { cpu } } }],
        },
      },
    },
  });
}

test("a Deployment that is too large brings nodes, as many as it needs and are allowed", async () => {
  await k.apply(large("big", 4));
  await eventually(nodeNames, (names) => names.length === 3);
  const pods = await eventually(
    () => list<Pod>("pods", "-l", "app=big"),
    (all) => all.filter((pod) => pod.status?.phase === "Running").length === 3,
  );
  expect(new Set(pods.map((pod) => pod.spec?.nodeName).filter(Boolean)).size).toBe(3);
  const told = await eventually(
    () => reasons("Pod"),
    (all) => all.some((one) => one.startsWith("NotTriggerScaleUp")),
  );
  expect(told).toEqual(
    expect.arrayContaining([
      "TriggeredScaleUp: pod triggered scale-up: [{nodes 1->3 (max: 3)}]",
      "NotTriggerScaleUp: pod didn't trigger scale-up: 1 max node group size reached",
    ]),
  );
  expect(await reasons("ConfigMap")).toContain(
    "ScaledUpGroup: Scale-up: group nodes size set to 3 instead of 1 (max: 3)",
  );
});

test("nodes are what the provider has said that they would be, and say where they are from", async () => {
  const template = nodeTemplate(undefined);
  for (const node of await list<Node>("nodes")) {
    const name = node.metadata?.name ?? "";
    expect(node.spec?.providerID).toBe(`coxswain://elastic/${name}`);
    expect(node.status?.capacity).toEqual(template.status?.capacity);
    expect(node.status?.allocatable).toEqual(template.status?.allocatable);
    expect(node.metadata?.labels).toEqual({ ...template.metadata?.labels, "kubernetes.io/hostname": name });
  }
});

test("a restart of the cluster has the nodes that had been added", async () => {
  const { home, name } = { home: path.dirname(k.cluster.paths.dataDir), name: k.cluster.name };
  await k.cluster.down();
  await startCluster({ ...AUTOSCALE, name, home, runtime: "simulated" });
  const again = await attach(name, home);
  const kubelets = (await again.status()).records.filter(({ spec }) => spec.component === "kubelet");
  expect(kubelets.map(({ spec, state }) => `${spec.node} ${state}`)).toEqual([
    "node-1 ready",
    "node-2 ready",
    "node-3 ready",
  ]);
  expect(await nodeNames()).toEqual(["node-1", "node-2", "node-3"]);
});

test("an autoscaler that dies in the middle is followed by one that goes on", async () => {
  await k.cluster.chaos.kill("cluster-autoscaler");
  await k.ok(["scale", "deployment", "big", "--replicas=1"]);
  // The lease of the dead one has to run out first.
  await eventually(nodeNames, (names) => names.length === 1, 120_000);
  const [pod] = await eventually(
    () => list<Pod>("pods", "-l", "app=big"),
    (all) => all.length === 1 && all[0]?.status?.phase === "Running",
  );
  expect([pod?.spec?.nodeName]).toEqual(await nodeNames());
  const records = (await k.cluster.status()).records.filter(({ spec }) => spec.node !== "");
  expect(records).toHaveLength(2);
  expect(await reasons("ConfigMap")).toEqual(expect.arrayContaining([expect.stringMatching(/^ScaleDown/)]));
});

test("two pods that fit one node are brought together on it: the other is drained and goes, but not against a budget", async () => {
  const budget = {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "small" },
    spec: { minAvailable: 2, selector: { matchLabels: { app: "small" } } },
  };
  await k.apply(large("small", 2, "1"));
  await eventually(nodeNames, (names) => names.length === 2);
  await k.ok(["rollout", "status", "deployment/small", "--timeout=60s"]);
  await k.apply(JSON.stringify(budget));
  await k.ok(["scale", "deployment", "big", "--replicas=0"]);
  // Both nodes are hardly used now, and would be one.
  const spread = async (): Promise<number> =>
    new Set((await list<Pod>("pods", "-l", "app=small")).map((pod) => pod.spec?.nodeName)).size;
  const status = async (): Promise<string> =>
    (await k.get<ConfigMap>(["configmap", "-n", "kube-system", "cluster-autoscaler-status"])).data?.["status"] ?? "";
  const scannedAt = async (): Promise<number> => Date.parse(/^time: (.*)$/m.exec(await status())?.[1] ?? "");
  expect(await spread()).toBe(2);
  await eventually(
    () => list<Pod>("pods", "-l", "app=big"),
    (all) => all.length === 0,
  );
  // Three times as long as a node has to be unneeded.
  const idleSince = await scannedAt();
  await eventually(scannedAt, (now) => now > idleSince + 6_000);
  expect(await nodeNames()).toHaveLength(2);
  await k.ok(["delete", "pdb", "small"]);
  await eventually(nodeNames, (names) => names.length === 1, 90_000);
  await k.ok(["rollout", "status", "deployment/small", "--timeout=60s"]);
  expect(await spread()).toBe(1);
  const [node] = await list<Node>("nodes");
  expect(node?.spec?.taints ?? []).toEqual([]);
  expect(await status()).toContain("autoscalerStatus: Running");
});
