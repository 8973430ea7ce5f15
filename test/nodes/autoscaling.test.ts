// What real containers really use, by the real kubectl.
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, type TestCluster, testCluster } from "../integration/cluster-fixture.ts";

const BUSYBOX = "coxswain.local/busybox:1";
const BUSY = "while true; do :; done";
/** 24 MiB, and nothing to do. */
const HOLDS_MEMORY = "x=$(dd if=/dev/zero bs=1M count=24 | tr '\\0' x); sleep 100000; true";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ runtime: "containerd", nodes: 1, egress: "none", name: "autoscaling" });
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
});

const rows = async (args: readonly string[]): Promise<string[][]> =>
  (await k.ok([...args, "--no-headers"]))
    .trimEnd()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));

const millis = (text = ""): number => Number(/^(\d+)m$/.exec(text)?.[1] ?? Number.NaN);
const mebibytes = (text = ""): number => Number(/^(\d+)Mi$/.exec(text)?.[1] ?? Number.NaN);

test("kubectl top tells a busy container from an idle one, and what the node uses", async () => {
  const container = (name: string, script: string, limits: object = {}) => ({
    name,
    image: BUSYBOX,
    command: ["sh", "-c", script],
    resources: { limits },
  });
  await k.apply(
    JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "two" },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [container("busy", BUSY, { cpu: "200m" }), container("idle", HOLDS_MEMORY)],
      },
    }),
  );
  await k.ok(["wait", "--for=condition=Ready", "pod/two", "--timeout=60s"]);
  const containers = await eventually(
    () => rows(["top", "pod", "two", "--containers"]),
    (found) =>
      found.length === 2 &&
      millis(found.find(([, name]) => name === "busy")?.[2]) > 50 &&
      millis(found.find(([, name]) => name === "idle")?.[2]) < 50 &&
      mebibytes(found.find(([, name]) => name === "idle")?.[3]) >= 24,
  );
  const busy = containers.find(([, name]) => name === "busy");
  expect(millis(busy?.[2])).toBeLessThan(400);
  expect(mebibytes(busy?.[3])).toBeLessThan(16);
  const [node] = await rows(["top", "node"]);
  expect(node?.[0]).toBe("node-1");
  expect(millis(node?.[1])).toBeGreaterThan(50);
  expect(mebibytes(node?.[3])).toBeGreaterThan(16);
  const page = await k.ok(["get", "--raw", "/api/v1/nodes/node-1/proxy/metrics/resource"]);
  expect(page).toMatch(
    /^container_cpu_usage_seconds_total\{container="busy",namespace="default",pod="two"\} [\d.]+ \d+$/m,
  );
  expect(page).toMatch(/^resource_scrape_error 0$/m);
  expect(page).not.toContain("simulated");
  await k.ok(["delete", "pod", "two"]);
});

test("an autoscaler follows a real load up, and down after it", async () => {
  // Busy while the file is there; a pod that comes later is busy from its start. It asks for little, so that it is above its
  // target also on a machine that has little left for it.
  const script = "while true; do if [ -e /load/on ]; then :; else sleep 1; fi; done";
  await k.apply(
    JSON.stringify({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "shop" },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: "shop" } },
        template: {
          metadata: { labels: { app: "shop" } },
          spec: {
            terminationGracePeriodSeconds: 1,
            volumes: [{ name: "load", hostPath: { path: "/tmp/load", type: "DirectoryOrCreate" } }],
            containers: [
              {
                name: "main",
                image: BUSYBOX,
                command: ["sh", "-c", script],
                resources: { requests: { cpu: "20m" }, limits: { cpu: "200m" } },
                volumeMounts: [{ name: "load", mountPath: "/load" }],
              },
            ],
          },
        },
      },
    }),
  );
  await k.ok(["wait", "--for=condition=Available", "deployment/shop", "--timeout=60s"]);
  await k.apply(
    JSON.stringify({
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: { name: "shop" },
      spec: {
        maxReplicas: 2,
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "shop" },
        metrics: [
          { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 100 } } },
        ],
        behavior: { scaleDown: { stabilizationWindowSeconds: 0 } },
      },
    }),
  );
  const inPod = (command: string): Promise<string> => k.ok(["exec", "deployment/shop", "--", "sh", "-c", command]);
  const replicas = (): Promise<string> => k.ok(["get", "deployment", "shop", "-o", "jsonpath={.spec.replicas}"]);
  await inPod("touch /load/on");
  await eventually(replicas, (count) => count === "2", 120_000);
  expect(await k.ok(["describe", "hpa", "shop"])).toContain(
    "New size: 2; reason: cpu resource utilization (percentage of request) above target",
  );
  await inPod("rm /load/on");
  await eventually(replicas, (count) => count === "1", 120_000);
  await k.ok(["delete", "hpa,deployment", "shop"]);
});
