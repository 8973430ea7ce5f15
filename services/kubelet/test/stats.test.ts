// Figures of containers and nodes: what simulated ones use, what real ones read, and the pages and rights of the HTTPS API.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get as httpsGet, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EVENTS, NODES, PODS, type Event, type Node, type Pod } from "@coxswain/api";
import { createEventRecorder, createInformerFactory } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import type { AccessRequest } from "@coxswain/component-base/credentials";
import { certificateFiles, ensurePki } from "@coxswain/component-base/identity/pki";
import { createMetrics } from "@coxswain/component-base/metrics";
import { loadTlsMaterial } from "@coxswain/component-base/tls-files";
import { createRealEnv, VirtualEnv } from "@coxswain/env";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createKubelet } from "../src/app.ts";
import { createHttpsApi } from "../src/server/https-api.ts";
import { subresourcesOf } from "../src/server/node-authorization.ts";
import { createCgroupUsage } from "../src/stats/cgroup-usage.ts";
import { collectStats } from "../src/stats/node-stats.ts";
import { resourceMetrics } from "../src/stats/prometheus.ts";
import { simulatedUsage } from "../src/stats/simulated-usage.ts";

const CPU = "simulation.coxswain.dev/cpu-usage";
const MEMORY = "simulation.coxswain.dev/memory-usage";
const MI = 1024 * 1024;

function pod(annotations: Record<string, string> = {}): Pod {
  const requests = { cpu: "200m", memory: "128Mi" };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default", annotations },
    spec: {
      nodeName: "node-1",
      containers: [
        { name: "web", image: "web", resources: { requests } },
        { name: "proxy", image: "proxy" },
      ],
    },
  };
}

describe("what a simulated container uses", () => {
  const of = (annotations: Record<string, string>, container: string) => {
    const { cpuNanoCores, memoryBytes } = simulatedUsage(pod(annotations), container);
    return [cpuNanoCores / 1e6, memoryBytes / MI];
  };
  test.each([
    ["a tenth and a half of its requests by itself", {}, "web", [20, 64]],
    ["a little where it requests nothing", {}, "proxy", [1, 8]],
    ["its share of what the pod is said to use", { [CPU]: "500m", [MEMORY]: "1Gi" }, "proxy", [250, 512]],
    ["what is said of it by name", { [CPU]: "web=1500m, proxy=2" }, "proxy", [2000, 8]],
    ["nothing where that is said", { [CPU]: "0" }, "web", [0, 64]],
    ["what it would where others are named", { [CPU]: "proxy=1" }, "web", [20, 64]],
  ])("is %s", (_, annotations, container, expected) => {
    expect(of(annotations as Record<string, string>, container)).toEqual(expected);
  });

  test("is refused with the annotation's path where it cannot be read", () => {
    expect(() => of({ [CPU]: "much" }, "web")).toThrow(
      `metadata.annotations[${CPU}]: Invalid value: "much": quantities must match the regular expression`,
    );
    expect(() => of({ [MEMORY]: "web=-1" }, "web")).toThrow(
      `metadata.annotations[${MEMORY}]: Invalid value: "-1": must be greater than or equal to 0`,
    );
  });
});

function startKubelet() {
  const env = new VirtualEnv({ seed: 7 });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const client = cluster.client("kubelet");
  const recorder = createEventRecorder({ env, client, component: "kubelet" });
  const informers = createInformerFactory({ env, client, logger: silentLogger });
  const nodes = ["node-1"];
  const app = createKubelet({ env, logger: silentLogger, metrics: noMetrics, client, recorder, informers, nodes });
  const stop = new AbortController();
  const running = app.run(stop.signal);
  const manager = app.managers.get("node-1")!;
  const end = async (): Promise<void> => {
    stop.abort();
    await env.advance(1_000);
    await running;
  };
  const isRunning = (): boolean => cluster.objects<Pod>(PODS)[0]?.status?.phase === "Running";
  return { env, cluster, manager, admin: cluster.client("admin"), end, isRunning };
}

/** The outcome of a call that takes virtual time. */
async function settled<T>(env: VirtualEnv, call: Promise<T>): Promise<T> {
  let done = false;
  const ended = call.finally(() => (done = true));
  await env.runUntil(() => done, env.elapsedMs + 5_000);
  return ended;
}

test("counters of simulated containers grow by what they use, and follow an annotation that changes", async () => {
  const { env, cluster, manager, admin, end, isRunning } = startKubelet();
  cluster.seed(PODS, pod({ [CPU]: "web=500m,proxy=0" }));
  expect(await env.runUntil(isRunning, env.elapsedMs + 30_000)).toBe(true);
  const web = async () => (await collectStats(manager)).pods[0]?.containers.find(({ name }) => name === "web");
  const first = await web();
  await env.advance(10_000);
  const second = await web();
  expect(second!.cpuNanos - first!.cpuNanos).toBe(5_000_000_000);
  const target = { namespace: "default", name: "p" };
  const patch = { metadata: { annotations: { [CPU]: "web=100m" } } };
  await settled(env, admin.patch(PODS, target, "application/merge-patch+json", patch));
  await env.advance(10_000);
  const third = await web();
  expect(third!.cpuNanoCores).toBe(100_000_000);
  expect(third!.cpuNanos - second!.cpuNanos).toBe((third!.timeMs - second!.timeMs) * 100_000);
  await end();
});

test("a node that is simulated uses what its pods do and a little more, or what its annotations say", async () => {
  const { env, cluster, manager, admin, end, isRunning } = startKubelet();
  cluster.seed(PODS, pod({ [CPU]: "300m", [MEMORY]: "64Mi" }));
  expect(await env.runUntil(isRunning, env.elapsedMs + 30_000)).toBe(true);
  const stats = await collectStats(manager);
  expect(stats).toMatchObject({ node: "node-1", simulated: true, errors: 0 });
  expect(stats.usage).toMatchObject({ cpuNanoCores: 350_000_000, workingSetBytes: (64 + 256) * MI });
  const text = resourceMetrics([stats]);
  expect(text).toContain('coxswain_node_simulated{node="node-1"} 1');
  expect(text).toMatch(/^node_memory_working_set_bytes 335544320 \d+$/m);
  const patch = { metadata: { annotations: { [CPU]: "3" } } };
  await settled(env, admin.patch<Node>(NODES, { name: "node-1" }, "application/merge-patch+json", patch));
  await env.advance(1_000);
  expect((await collectStats(manager)).usage?.cpuNanoCores).toBe(3_000_000_000);
  await end();
});

test("an annotation that cannot be read is told in an event", async () => {
  const { env, cluster, manager, end, isRunning } = startKubelet();
  cluster.seed(PODS, pod({ [CPU]: "much" }));
  expect(await env.runUntil(isRunning, env.elapsedMs + 30_000)).toBe(true);
  const stats = await collectStats(manager);
  expect(stats.pods[0]?.containers[0]?.cpuNanoCores).toBe(20_000_000);
  await collectStats(manager);
  const told = (): Event[] => cluster.objects<Event>(EVENTS).filter(({ reason }) => reason === "InvalidSimulation");
  expect(await env.runUntil(() => told().length > 0, env.elapsedMs + 10_000)).toBe(true);
  expect(told()).toMatchObject([{ type: "Warning", message: expect.stringContaining(CPU) }]);
  await end();
});

describe("what a real node uses", () => {
  const dir = mkdtempSync(join(tmpdir(), "cox-cgroups-"));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const write = (mount: string, files: Record<string, string>): string => {
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(join(dir, mount, file, ".."), { recursive: true });
      writeFileSync(join(dir, mount, file), text);
    }
    return join(dir, mount);
  };
  const V1 = {
    "cpuacct/c/node-1/cpuacct.usage": "5000000000\n",
    "memory/c/node-1/memory.usage_in_bytes": "1000\n",
    "memory/c/node-1/memory.stat": "cache 5\ninactive_file 1\ntotal_inactive_file 300\n",
  };
  const V2 = {
    "cgroup.controllers": "cpu memory\n",
    "c/node-1/cpu.stat": "usage_usec 5000000\nuser_usec 1\n",
    "c/node-1/memory.current": "1000\n",
    "c/node-1/memory.stat": "anon 1\ninactive_file 300\n",
  };
  test.each([
    ["1", V1, "cpuacct/c/node-1/cpuacct.usage", "7000000000\n"],
    ["2", V2, "c/node-1/cpu.stat", "usage_usec 7000000\n"],
  ] as const)("is that of its cgroup, version %s", async (version, files, counter, later) => {
    const env = new VirtualEnv({ seed: 1 });
    const mount = write(`v${version}`, files);
    const usage = createCgroupUsage("/c/node-1", env.clock, mount);
    expect(await usage()).toMatchObject({ cpuNanos: 5e9, cpuNanoCores: 0, workingSetBytes: 700 });
    write(`v${version}`, { [counter]: later });
    await env.advance(4_000);
    expect(await usage()).toMatchObject({ cpuNanos: 7e9, cpuNanoCores: 5e8 });
  });

  test("is unknown, by name, where the cgroup is not there", async () => {
    const usage = createCgroupUsage("/c/none", new VirtualEnv({ seed: 1 }).clock, write("v1", V1));
    await expect(usage()).rejects.toThrow("cpuacct/c/none/cpuacct.usage");
  });
});

test("each path of the HTTPS API belongs to upstream's subresource", () => {
  const rights = [
    "/stats/summary",
    "/metrics",
    "/metrics/resource",
    "/metrics/cadvisor",
    "/pods",
    "/configz",
    "/exec/x",
  ];
  expect(rights.map((path) => subresourcesOf(path).join())).toEqual([
    "stats",
    "metrics",
    "metrics",
    "metrics",
    "pods,proxy",
    "configz,proxy",
    "proxy",
  ]);
  expect(subresourcesOf("/statsx")).toEqual(["proxy"]);
});

describe("the HTTPS API", () => {
  const env = createRealEnv();
  const dir = mkdtempSync(join(tmpdir(), "cox-kubelet-https-"));
  const asked: AccessRequest[] = [];
  let allowed: readonly string[] = [];
  let server: Server;
  let client: { ca: string; cert: string; key: string };
  let kubelet: ReturnType<typeof startKubelet>;

  beforeAll(async () => {
    await ensurePki(dir, { nodes: ["node-1"] }, env);
    const tls = (name: string) => loadTlsMaterial(certificateFiles(dir, name));
    kubelet = startKubelet();
    kubelet.cluster.seed(PODS, pod({ [CPU]: "web=250m,proxy=1m" }));
    expect(await kubelet.env.runUntil(kubelet.isRunning, kubelet.env.elapsedMs + 30_000)).toBe(true);
    server = createHttpsApi(tls("kubelet-node-1"), {
      checks: {},
      metrics: createMetrics(),
      managers: new Map([["node-1", kubelet.manager]]),
      auth: {
        authenticate: ({ certificate }) =>
          certificate === undefined ? undefined : { username: "reader", groups: ["system:authenticated"] },
        authorize: async (_user, access) => {
          asked.push(access);
          return { allowed: allowed.includes(access.resource?.subresource ?? "") };
        },
      },
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { ca, cert, key } = tls("scheduler");
    client = { ca: String(ca), cert: String(cert), key: String(key) };
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await kubelet.end();
    rmSync(dir, { recursive: true, force: true });
  });
  const get = (path: string): Promise<{ code: number; text: string }> => {
    const { port } = server.address() as AddressInfo;
    return new Promise((resolve, reject) => {
      httpsGet({ host: "127.0.0.1", servername: "localhost", port, path, ...client }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", reject);
        answer.on("end", () => resolve({ code: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      }).on("error", reject);
    });
  };

  test("tells nothing to who may not read it, in upstream's words", async () => {
    allowed = [];
    asked.length = 0;
    const { code, text } = await get("/stats/summary");
    expect(code).toBe(403);
    const message = "Forbidden (user=reader, verb=get, resource=nodes, subresource(s)=[stats])\n";
    expect(JSON.parse(text)).toMatchObject({ kind: "Status", message });
    expect(asked).toMatchObject([
      { verb: "get", resource: { resource: "nodes", subresource: "stats", name: "node-1" } },
    ]);
    expect((await get("/pods")).text).toContain("subresource(s)=[pods proxy]");
    expect((await get("/healthz")).code).toBe(200);
  });

  test("serves a summary of pods and the node", async () => {
    allowed = ["stats"];
    const { code, text } = await get("/stats/summary");
    expect(code).toBe(200);
    expect(JSON.parse(text)).toMatchObject({
      node: { nodeName: "node-1", simulated: true, cpu: { usageNanoCores: 301_000_000 } },
      pods: [
        {
          podRef: { name: "p", namespace: "default" },
          containers: [
            { name: "web", cpu: { usageNanoCores: 250_000_000 }, memory: { workingSetBytes: 64 * MI } },
            { name: "proxy", cpu: { usageNanoCores: 1_000_000 } },
          ],
          cpu: { usageNanoCores: 251_000_000 },
        },
      ],
    });
    expect((await get("/metrics/resource")).code).toBe(403);
  });

  test("serves metrics by upstream's names", async () => {
    allowed = ["metrics"];
    const { code, text } = await get("/metrics/resource");
    expect(code).toBe(200);
    for (const line of [
      /^container_cpu_usage_seconds_total\{container="web",namespace="default",pod="p"\} [\d.]+ \d+$/m,
      /^container_memory_working_set_bytes\{container="web",namespace="default",pod="p"\} 67108864 \d+$/m,
      /^container_start_time_seconds\{container="web",namespace="default",pod="p"\} [\d.]+$/m,
      /^node_cpu_usage_seconds_total [\d.]+ \d+$/m,
      /^pod_cpu_usage_seconds_total\{namespace="default",pod="p"\} [\d.]+ \d+$/m,
      /^pod_memory_working_set_bytes\{namespace="default",pod="p"\} 75497472 \d+$/m,
      /^resource_scrape_error 0$/m,
    ]) {
      expect(text).toMatch(line);
    }
    const cadvisor = await get("/metrics/cadvisor");
    expect(cadvisor.text).toMatch(
      /^container_cpu_usage_seconds_total\{container="web",cpu="total",id="[0-9a-f]+",image=/m,
    );
    expect((await get("/metrics")).code).toBe(200);
  });
});
