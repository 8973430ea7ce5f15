// What pods and nodes use, by the real kubectl on simulated nodes: kubectl top, and the figures' way to it.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { APIService, Pod } from "@coxswain/api";
import { deployment, eventually, type TestCluster, testCluster } from "./cluster-fixture.ts";

const CPU = "simulation.coxswain.dev/cpu-usage";
const MEMORY = "simulation.coxswain.dev/memory-usage";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ nodes: 2, name: "autoscaling" });
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
});

/** The lines of a table without its headings, each as its cells. */
const rows = async (args: readonly string[]): Promise<string[][]> =>
  (await k.ok([...args, "--no-headers"]))
    .trimEnd()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));

describe("kubectl top", () => {
  test("works as soon as a cluster is up", async () => {
    const nodes = await rows(["top", "nodes"]);
    expect(nodes.map(([name]) => name)).toEqual(["node-1", "node-2"]);
    for (const [, cpu, cpuShare, memory, memoryShare] of nodes) {
      expect([cpu, cpuShare, memory, memoryShare]).toEqual(["50m", "1%", "256Mi", "3%"]);
    }
    const { status } = await k.get<APIService>(["apiservice", "v1beta1.metrics.k8s.io"]);
    expect(status?.conditions).toMatchObject([{ type: "Available", status: "True", reason: "Passed" }]);
  });

  test("shows what pods are said to use, container by container", async () => {
    await k.apply(
      JSON.stringify({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "two", annotations: { [CPU]: "web=250m,proxy=20m", [MEMORY]: "100Mi" } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: ["web", "proxy"].map((name) => ({ name, image: "example.test/app:v1" })),
        },
      }),
    );
    const containers = await eventually(
      () => rows(["top", "pod", "two", "--containers"]),
      (found) => found.length === 2,
    );
    expect(containers).toEqual([
      ["two", "proxy", "20m", "50Mi"],
      ["two", "web", "250m", "50Mi"],
    ]);
    await k.ok(["annotate", "pod", "two", `${CPU}=1500m`, "--overwrite"]);
    await eventually(
      () => rows(["top", "pod", "two"]),
      ([row]) => row?.[1] === "1500m",
    );
    const { spec } = await k.get<Pod>(["pod", "two"]);
    const node = await eventually(
      () => rows(["top", "node", spec?.nodeName ?? ""]),
      ([row]) => row?.[1] === "1550m",
    );
    expect(node).toEqual([[spec?.nodeName, "1550m", "38%", "356Mi", "4%"]]);
    await k.ok(["delete", "pod", "two"]);
  });

  test("has other columns for kubectl get, and follows labels and rights", async () => {
    await k.apply(deployment({ name: "web", replicas: 2 }));
    await k.ok(["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"]);
    const found = await eventually(
      () => rows(["top", "pods", "-l", "app=web"]),
      (all) => all.length === 2,
    );
    expect(found.map(([, cpu, memory]) => [cpu, memory])).toEqual([
      ["1m", "8Mi"],
      ["1m", "8Mi"],
    ]);
    const table = await k.ok(["get", "pods.metrics.k8s.io", "-l", "app=web"]);
    expect(table).toMatch(/^NAME\s+CPU\s+MEMORY\s+WINDOW\nweb-\S+\s+1m\s+8Mi\s+[\d.]+m?s/);
    const refused = await k.kubectl(["top", "pods", "--as", "jane"]);
    expect(refused).toMatchObject({
      code: 1,
      stderr:
        'Error from server (Forbidden): pods.metrics.k8s.io is forbidden: User "jane" cannot list resource "pods" in API group "metrics.k8s.io" in the namespace "default"\n',
    });
    await k.ok(["create", "rolebinding", "jane", "--clusterrole=view", "--user=jane"]);
    expect(await k.ok(["top", "pods", "-l", "app=web", "--as", "jane"])).toMatch(/^NAME\s+CPU\(cores\)/);
  });

  test("says so while the metrics-server is away, and works again once it is back", async () => {
    const killed = await k.cluster.chaos.kill("metrics-server");
    expect(killed).toHaveLength(1);
    const { status } = await eventually(
      () => k.cluster.status().then(({ records }) => ({ status: records })),
      ({ status }) => {
        const record = status.find(({ spec }) => spec.component === "metrics-server");
        return record?.restarts === 1 && record.state === "ready";
      },
    );
    expect(status.filter(({ spec }) => spec.component === "metrics-server")).toHaveLength(1);
    await eventually(
      () => rows(["top", "nodes"]),
      (nodes) => nodes.length === 2,
    );
  });
});

test("a kubelet's own pages are read through the api-server by who may read them", async () => {
  const page = "/api/v1/nodes/node-1/proxy/metrics/resource";
  expect(await k.ok(["get", "--raw", page])).toMatch(/^node_memory_working_set_bytes \d+ \d+$/m);
  const summary = JSON.parse(await k.ok(["get", "--raw", "/api/v1/nodes/node-1/proxy/stats/summary"])) as object;
  expect(summary).toMatchObject({ node: { nodeName: "node-1", simulated: true } });
});
