// What pods and nodes use, and autoscaling by it, by the real kubectl on simulated nodes.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { APIService, HorizontalPodAutoscaler, Pod } from "@coxswain/api";
import { deployment, eventually, type TestCluster, testCluster } from "./cluster-fixture.ts";

const CPU = "simulation.coxswain.dev/cpu-usage";
const MEMORY = "simulation.coxswain.dev/memory-usage";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ nodes: 2, name: "autoscaling", waitFor: "processes" });
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
  test("works as soon as all processes do", async () => {
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

describe("kubectl autoscale", () => {
  /** Pods that are said to use so much each; those that come later too, where the template says so. */
  const load = (app: string, cpu: string): Promise<string> =>
    k.ok(["annotate", "pods", "-l", `app=${app}`, `${CPU}=${cpu}`, "--overwrite"]);
  const replicas = async (resource: string): Promise<number> =>
    Number(await k.ok(["get", resource, "-o", "jsonpath={.spec.replicas}"]));
  const autoscaler = (name: string): Promise<HorizontalPodAutoscaler> => k.get<HorizontalPodAutoscaler>(["hpa", name]);

  test("scales a Deployment up under load, and down after it", async () => {
    await k.apply(deployment({ name: "shop", replicas: 1 }));
    await k.ok(["wait", "--for=condition=Available", "deployment/shop", "--timeout=60s"]);
    await load("shop", "20m");
    await k.ok(["autoscale", "deployment", "shop", "--min=1", "--max=3", "--cpu=50%"]);
    const behavior = { scaleDown: { stabilizationWindowSeconds: 0 } };
    await k.ok(["patch", "hpa", "shop", "--type=merge", "-p", JSON.stringify({ spec: { behavior } })]);
    // 20m of the 10m that each requests are 200%: four replicas, of which three are allowed.
    await eventually(
      () => replicas("deployment/shop"),
      (count) => count === 3,
    );
    const table = await k.ok(["get", "hpa", "shop"]);
    expect(table).toMatch(
      /^NAME\s+REFERENCE\s+TARGETS\s+MINPODS\s+MAXPODS\s+REPLICAS\s+AGE\nshop\s+Deployment\/shop\s+cpu: /,
    );
    const described = await k.ok(["describe", "hpa", "shop"]);
    expect(described).toMatch(
      /SuccessfulRescale\s+\S+\s+horizontal-pod-autoscaler\s+New size: 3; reason: cpu resource utilization \(percentage of request\) above target/,
    );
    expect(described).toMatch(
      /ScalingLimited\s+True\s+TooManyReplicas\s+the desired replica count is more than the maximum/,
    );
    await k.ok(["wait", "--for=condition=Available", "deployment/shop", "--timeout=60s"]);
    await load("shop", "1m");
    await eventually(
      () => replicas("deployment/shop"),
      (count) => count === 1,
    );
    const { status } = await eventually(
      () => autoscaler("shop"),
      (found) => found.status?.currentReplicas === 1,
    );
    expect(status).toMatchObject({ desiredReplicas: 1, lastScaleTime: expect.any(String) });
    expect(await k.ok(["describe", "hpa", "shop"])).toContain("New size: 1; reason: All metrics below target");
    await k.ok(["delete", "hpa,deployment", "shop"]);
  });

  test("scales a custom resource by its scale subresource, and tells of what has none", async () => {
    const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
    await k.apply(
      JSON.stringify({
        apiVersion: "apiextensions.k8s.io/v1",
        kind: "CustomResourceDefinition",
        metadata: { name: "boats.example.com" },
        spec: {
          group: "example.com",
          scope: "Namespaced",
          names: { plural: "boats", singular: "boat", kind: "Boat" },
          versions: [
            {
              name: "v1",
              served: true,
              storage: true,
              schema: { openAPIV3Schema: schema },
              subresources: {
                scale: {
                  specReplicasPath: ".spec.replicas",
                  statusReplicasPath: ".status.replicas",
                  labelSelectorPath: ".status.selector",
                },
              },
            },
          ],
        },
      }),
    );
    await k.ok(["wait", "--for=condition=Established", "crd/boats.example.com", "--timeout=60s"]);
    const target = (apiVersion: string, kind: string, name: string) => ({ apiVersion, kind, name });
    const hpa = (name: string, scaleTargetRef: object) =>
      JSON.stringify({
        apiVersion: "autoscaling/v2",
        kind: "HorizontalPodAutoscaler",
        metadata: { name },
        spec: { minReplicas: 2, maxReplicas: 5, scaleTargetRef },
      });
    const boat = { apiVersion: "example.com/v1", kind: "Boat", metadata: { name: "eight" }, spec: { replicas: 9 } };
    await k.apply(JSON.stringify(boat));
    await k.apply(hpa("boat", target("example.com/v1", "Boat", "eight")));
    await eventually(
      () => replicas("boat/eight"),
      (count) => count === 5,
    );
    await k.apply(hpa("none", target("apps/v1", "Deployment", "none")));
    const { status } = await eventually(
      () => autoscaler("none"),
      (found) => found.status?.conditions !== undefined,
    );
    expect(status?.conditions).toMatchObject([{ type: "AbleToScale", status: "False", reason: "FailedGetScale" }]);
    await k.ok(["delete", "hpa", "boat", "none"]);
  });
});
