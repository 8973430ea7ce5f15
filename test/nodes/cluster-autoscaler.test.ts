// Real nodes come and go: namespaces, containerd and all, by the real kubectl.
import { existsSync } from "node:fs";
import path from "node:path";
import type { Node, Pod } from "@coxswain/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, type TestCluster, testCluster } from "../integration/cluster-fixture.ts";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({
    runtime: "containerd",
    egress: "none",
    name: "elastic",
    nodes: 1,
    autoscale: { min: 1, max: 2 },
    autoscalerFlags: ["--scan-interval=1s", "--scale-down-unneeded-time=5s", "--scale-down-delay-after-add=5s"],
  });
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
});

const list = async <T>(...args: readonly string[]): Promise<T[]> => (await k.get<{ items: T[] }>(args)).items;
const nodeNames = async (): Promise<string[]> =>
  (await list<Node>("nodes")).map((node) => node.metadata?.name ?? "").toSorted();

test("a pod that finds no room gets a real node, runs there, and the node goes with it", async () => {
  const [first] = await list<Node>("nodes");
  const cpu =
    Number(/^(\d+)m$/.exec(String(first?.status?.allocatable?.["cpu"]))?.[1] ?? Number.NaN) ||
    1000 * Number(first?.status?.allocatable?.["cpu"]);
  // Two fit no node together.
  const requests = { cpu: `${Math.floor(cpu * 0.6)}m` };
  const container = {
    name: "main",
    image: "coxswain.local/busybox:1",
    command: ["sh", "-c", "hostname > /tmp/up; trap exit TERM; sleep 100000 & wait"],
    resources: { requests },
  };
  const template = {
    metadata: { labels: { app: "web" } },
    spec: { terminationGracePeriodSeconds: 2, containers: [container] },
  };
  const spec = { replicas: 2, selector: { matchLabels: { app: "web" } }, template };
  await k.apply(JSON.stringify({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web" }, spec }));
  await k.ok(["rollout", "status", "deployment/web", "--timeout=120s"]);
  expect(await nodeNames()).toEqual(["node-1", "node-2"]);
  const pods = await list<Pod>("pods", "-l", "app=web");
  expect(new Set(pods.map((pod) => pod.spec?.nodeName)).size).toBe(2);
  const far = pods.find((pod) => pod.spec?.nodeName === "node-2");
  const near = pods.find((pod) => pod.spec?.nodeName === "node-1");
  // The new node's network, kubelet and containers are real: a pod there is reached, and reaches one on the other.
  expect(await k.ok(["exec", far?.metadata?.name ?? "", "--", "cat", "/tmp/up"])).toBe(`${far?.metadata?.name}\n`);
  await k.ok(["exec", far?.metadata?.name ?? "", "--", "ping", "-c", "1", "-W", "5", near?.status?.podIP ?? ""]);
  const folder = path.join(k.cluster.paths.dataDir, "nodes", "node-2");
  expect(existsSync(folder)).toBe(true);

  await k.ok(["scale", "deployment", "web", "--replicas=1"]);
  await eventually(nodeNames, (names) => names.length === 1, 120_000);
  const left = await eventually(
    () => list<Pod>("pods", "-l", "app=web"),
    (all) => all.length === 1 && all[0]?.status?.phase === "Running",
    90_000,
  );
  expect(left.map((pod) => pod.spec?.nodeName)).toEqual(await nodeNames());
  const [gone = ""] = ["node-1", "node-2"].filter((name) => name !== left[0]?.spec?.nodeName);
  expect(existsSync(path.join(k.cluster.paths.dataDir, "nodes", gone))).toBe(false);
  const records = (await k.cluster.status()).records.filter(({ spec: one }) => one.node === gone);
  expect(records).toEqual([]);

  // It comes again under the same name and address, and its neighbours find it at once.
  await k.ok(["scale", "deployment", "web", "--replicas=2"]);
  await k.ok(["rollout", "status", "deployment/web", "--timeout=120s"]);
  expect(await nodeNames()).toEqual(["node-1", "node-2"]);
  const back = (await list<Pod>("pods", "-l", "app=web")).find((pod) => pod.spec?.nodeName === gone);
  const other = left[0]?.status?.podIP ?? "";
  await k.ok(["exec", back?.metadata?.name ?? "", "--", "ping", "-c", "1", "-W", "5", other]);
});
