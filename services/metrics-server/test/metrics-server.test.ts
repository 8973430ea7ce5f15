// metrics-server: what two samples tell, what it registers, and the whole service over HTTPS with an in-memory API and kubelets
// that are given.
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpsRequest, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  API_SERVICES,
  CONFIG_MAPS,
  NAMESPACES,
  NODES,
  PODS,
  SERVICES,
  type APIService,
  type Service,
} from "@coxswain/api";
import { createInformerFactory } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { certificateUser, type AccessRequest } from "@coxswain/component-base/credentials";
import { certificateFiles, ensurePki } from "@coxswain/component-base/identity/pki";
import { createMetrics } from "@coxswain/component-base/metrics";
import { loadTlsMaterial } from "@coxswain/component-base/tls-files";
import { createRealEnv } from "@coxswain/env";
import { waitFor } from "@coxswain/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createMetricsServer } from "../src/app.ts";
import { accessOf, createMetricsHttpsServer } from "../src/https-server.ts";
import { goDuration } from "../src/metrics-objects.ts";
import { planObject, registrationProblem, wantedApiService, wantedService, wantedSlice } from "../src/registration.ts";
import { SampleStore, usageOf } from "../src/sample-store.ts";
import { addressesOf } from "../src/scraper.ts";
import type { NodeSample, Point } from "../src/stats-source.ts";

const MI = 1024 * 1024;
const point = (seconds: number, cpuSeconds: number, startMs = 0): Point => ({
  cpuNanos: cpuSeconds * 1e9,
  cpuNanoCores: 7,
  workingSetBytes: MI,
  startMs,
  timeMs: seconds * 1000,
});

describe("the use that samples tell", () => {
  test.each<[string, Point, Point | undefined, boolean, readonly [number, number] | undefined]>([
    ["is what was used between two of them", point(30, 8), point(15, 5), false, [200_000_000, 15_000]],
    ["is that since the start of a life old enough", point(20, 5), undefined, false, [250_000_000, 20_000]],
    ["is not known of a life too young", point(9, 5), undefined, false, undefined],
    ["does not mix two lives", point(30, 1, 25_000), point(15, 9), false, undefined],
    ["starts anew where a counter fell", point(30, 3), point(15, 9), false, [100_000_000, 30_000]],
    ["is believed at once where it is made up", point(1, 0), undefined, true, [7, 1_000]],
  ])("%s", (_, last, before, simulated, expected) => {
    const usage = usageOf(last, before, simulated);
    expect(usage && [usage.cpuNanoCores, usage.windowMs]).toEqual(expected);
  });

  const sample = (node: string, pods: readonly string[], at: number): NodeSample => ({
    node,
    simulated: false,
    usage: point(at, at),
    containers: pods.map((pod) => ({ namespace: "default", pod, container: "c", ...point(at, at / 2) })),
  });

  test("is forgotten with its pod and its node, and follows a pod that moves", () => {
    const store = new SampleStore();
    store.put(sample("node-1", ["a", "b"], 20));
    store.put(sample("node-1", ["b"], 35));
    expect(store.podUsage("default", "a")).toBeUndefined();
    expect(store.podUsage("default", "b")).toMatchObject([{ name: "c", cpuNanoCores: 500_000_000, windowMs: 15_000 }]);
    store.put(sample("node-2", ["b"], 40));
    store.put(sample("node-1", [], 50));
    expect(store.podUsage("default", "b")).toMatchObject([{ timeMs: 40_000 }]);
    store.keep(new Set(["node-1"]));
    expect(store.podUsage("default", "b")).toBeUndefined();
    expect(store.nodeUsage("node-2")).toBeUndefined();
    expect(store.nodeUsage("node-1")).toMatchObject({ cpuNanoCores: 1_000_000_000, windowMs: 15_000 });
  });

  test("is not told twice where a kubelet gives the same sample again", () => {
    const store = new SampleStore();
    store.put(sample("node-1", ["a"], 20));
    store.put(sample("node-1", ["a"], 40));
    store.put(sample("node-1", ["a"], 40));
    expect(store.podUsage("default", "a")).toMatchObject([{ windowMs: 20_000 }]);
  });
});

test("windows are written as Go writes durations", () => {
  expect([0, 392, 15_032, 60_000, 90_500, 3_661_000].map(goDuration)).toEqual([
    "0s",
    "392ms",
    "15.032s",
    "1m0s",
    "1m30.5s",
    "1h1m1s",
  ]);
});

test("kubelets that share a process are asked once", () => {
  const node = (name: string, address?: string) => ({
    metadata: { name, ...(address === undefined ? {} : { annotations: { "coxswain.dev/kubelet-grpc": address } }) },
  });
  const addresses = addressesOf([node("a", "h:1"), node("b", "h:1"), node("c", "h:2"), node("d")]);
  expect([...addresses].map(([address, nodes]) => [address, [...nodes]])).toEqual([
    ["h:1", ["a", "b"]],
    ["h:2", ["c"]],
  ]);
});

test("RBAC is asked about exactly what is read", () => {
  const base = "/apis/metrics.k8s.io/v1beta1";
  const asked = (path: string): string => {
    const { verb, resource } = accessOf(path);
    return resource === undefined
      ? `${verb} ${path}`
      : `${verb} ${resource.resource} ${resource.namespace}/${resource.name}`;
  };
  expect(asked(`${base}/nodes`)).toBe("list nodes /");
  expect(asked(`${base}/nodes/node-1`)).toBe("get nodes /node-1");
  expect(asked(`${base}/namespaces/a/pods`)).toBe("list pods a/");
  expect(asked(`${base}/namespaces/a/pods/p`)).toBe("get pods a/p");
  expect(asked(`${base}/pods/p`)).toBe(`get ${base}/pods/p`);
  expect(asked(`${base}/namespaces/a/nodes`)).toBe(`get ${base}/namespaces/a/nodes`);
});

describe("what it registers", () => {
  const place = { address: "198.18.0.12", port: 10_272, instance: "0", ca: "CA" };
  const loopback = { ...place, address: "127.0.0.1" };

  test("is a Service with an endpoint where it has an address, and another name of this machine on loopback", () => {
    expect(wantedService(place).spec).toMatchObject({ type: "ClusterIP", ports: [{ port: 443, targetPort: 10_272 }] });
    expect(wantedSlice(place)).toMatchObject({
      endpoints: [{ addresses: ["198.18.0.12"] }],
      ports: [{ port: 10_272 }],
    });
    expect(wantedApiService(place).spec?.service?.port).toBe(443);
    expect(wantedService(loopback).spec).toEqual({ type: "ExternalName", externalName: "localhost" });
    expect(wantedSlice(loopback)).toBeUndefined();
    expect(wantedApiService(loopback).spec).toMatchObject({ service: { port: 10_272 }, caBundle: "Q0E=" });
  });

  test("is put right where it was changed, and left alone where it is somebody else's", () => {
    const wanted = wantedApiService(place);
    expect(planObject(undefined, wanted)).toEqual({ do: "create", object: wanted });
    const stored: APIService = {
      ...wanted,
      metadata: { ...wanted.metadata, uid: "u", resourceVersion: "1" },
      status: {},
    };
    expect(planObject(stored, wanted)).toEqual({ do: "keep" });
    const changed = { ...stored, spec: { ...stored.spec!, versionPriority: 1 } };
    expect(planObject(changed, wanted)).toMatchObject({ do: "update", object: { spec: { versionPriority: 100 } } });
    expect(planObject({ ...stored, metadata: { name: stored.metadata?.name } }, wanted)).toEqual({ do: "leave" });
  });

  test("says what is missing until api-servers have found it", () => {
    const name = "v1beta1.metrics.k8s.io";
    expect(registrationProblem(undefined)).toBe(`APIService ${name} is not registered`);
    const condition = { type: "Available", status: "False", message: "no route" };
    const told = (status: string): APIService => ({ status: { conditions: [{ ...condition, status }] } });
    expect(registrationProblem(told("False"))).toBe(`APIService ${name} is not available: no route`);
    expect(registrationProblem(told("True"))).toBeUndefined();
  });
});

describe("the service", () => {
  const env = createRealEnv();
  const dir = mkdtempSync(join(tmpdir(), "cox-metrics-"));
  const cluster = createMemoryCluster({ env });
  const client = cluster.client();
  const stop = new AbortController();
  const asked: { user: string; access: AccessRequest }[] = [];
  let allowed = true;
  let server: Server;
  let running: Promise<void>;
  const tls = (name: string) => loadTlsMaterial(certificateFiles(dir, name));

  beforeAll(async () => {
    await ensurePki(dir, {}, env);
    cluster.seed(NAMESPACES, { metadata: { name: "kube-system" } });
    for (const name of ["node-1", "node-2"]) {
      const annotations = { "coxswain.dev/kubelet-grpc": "pack:1" };
      cluster.seed(NODES, { metadata: { name, annotations, labels: { disk: name } } });
    }
    const pod = (name: string, phase: string) =>
      cluster.seed(PODS, {
        metadata: { name, namespace: "default", labels: { app: name } },
        spec: { nodeName: "node-1", containers: [] },
        status: { phase },
      } as never);
    pod("web", "Running");
    pod("done", "Succeeded");
    const data = { "requestheader-allowed-names": '["system:apiserver"]' };
    cluster.seed(CONFIG_MAPS, {
      metadata: { name: "extension-apiserver-authentication", namespace: "kube-system" },
      data,
    } as never);
    const container = (pod: string, name: string, cpuNanoCores: number) => ({
      ...point(20, 1),
      namespace: "default",
      pod,
      container: name,
      cpuNanoCores,
    });
    const app = createMetricsServer({
      env,
      logger: silentLogger,
      metrics: noMetrics,
      client,
      informers: createInformerFactory({ env, client, logger: silentLogger }),
      source: {
        keep: () => {},
        collect: async () => [
          {
            node: "node-1",
            simulated: true,
            usage: { ...point(20, 1), cpuNanoCores: 311_650_879 },
            containers: [
              container("web", "a", 250_000_000),
              container("web", "b", 1_500_000),
              container("done", "a", 1),
            ],
          },
          // Of a node that is not in the API.
          { node: "node-9", simulated: true, usage: point(20, 1), containers: [] },
        ],
      },
      options: { advertiseAddress: "127.0.0.1", instance: "0", ca: "CA", resolutionMs: 50 },
      serve: async ({ api, proxies, checks }, listening, signal) => {
        server = createMetricsHttpsServer(tls("metrics-server"), {
          api,
          proxies,
          checks,
          metrics: createMetrics(),
          auth: {
            authenticate: ({ certificate }) => (certificate === undefined ? undefined : certificateUser(certificate)),
            authorize: async (user, access) => {
              asked.push({ user: user.username, access });
              return { allowed };
            },
          },
        });
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        listening((server.address() as AddressInfo).port);
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
        server.closeAllConnections();
        server.close();
      },
    });
    running = app.run(stop.signal);
    const registered = (): boolean => cluster.objects(API_SERVICES).length === 1;
    await waitFor(env, "the registration", registered);
    const [apiService] = cluster.objects<APIService>(API_SERVICES);
    const conditions = [{ type: "Available", status: "True" }];
    await client.update(
      API_SERVICES,
      { ...apiService!, status: { conditions } },
      {
        subresource: "status",
      },
    );
    await waitFor(env, "readiness", () => Object.values(app.checks).every((check) => check() === undefined));
  });
  afterAll(async () => {
    stop.abort();
    await running;
    rmSync(dir, { recursive: true, force: true });
  });
  beforeEach(() => {
    allowed = true;
    asked.length = 0;
  });

  const get = (
    path: string,
    { as = "api-server-client", headers = {}, method = "GET" }: { as?: string; headers?: object; method?: string } = {},
  ): Promise<{ code: number; body: Record<string, unknown> }> => {
    const { port } = server.address() as AddressInfo;
    const identity = as === "" ? { ca: tls("admin").ca } : tls(as);
    const options = { host: "127.0.0.1", servername: "metrics-server.kube-system.svc", port, path, method };
    return new Promise((resolve, reject) => {
      const call = httpsRequest({ ...options, ...identity, headers: { ...headers } }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", reject);
        answer.on("end", () =>
          resolve({ code: answer.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) as never }),
        );
      });
      call.on("error", reject).end();
    });
  };
  const JANE = { headers: { "X-Remote-User": "jane", "X-Remote-Group": "devs", "X-Remote-Extra-Team": "a" } };
  const BASE = "/apis/metrics.k8s.io/v1beta1";

  test("makes itself known by a Service", () => {
    const found = cluster.objects<Service>(SERVICES).find(({ metadata }) => metadata?.name === "metrics-server");
    expect(found?.spec?.externalName).toBe("localhost");
  });

  test("tells of nodes in upstream's form", async () => {
    const { code, body } = await get(`${BASE}/nodes`, JANE);
    expect(code).toBe(200);
    expect(body).toMatchObject({ kind: "NodeMetricsList", apiVersion: "metrics.k8s.io/v1beta1", metadata: {} });
    expect(body["items"]).toMatchObject([
      {
        metadata: {
          name: "node-1",
          labels: { disk: "node-1" },
          annotations: { "simulation.coxswain.dev/simulated": "true" },
        },
        timestamp: "1970-01-01T00:00:20Z",
        window: "20s",
        usage: { cpu: "311650879n", memory: "1Mi" },
      },
    ]);
    expect((await get(`${BASE}/nodes?labelSelector=disk%3Dnode-2`, JANE)).body["items"]).toEqual([]);
    expect((await get(`${BASE}/nodes?fieldSelector=metadata.name%3Dnode-1`, JANE)).body["items"]).toHaveLength(1);
    const missing = await get(`${BASE}/nodes/node-2`, JANE);
    expect(missing).toMatchObject({ code: 404, body: { message: 'nodemetrics.metrics.k8s.io "node-2" not found' } });
  });

  test("tells of pods that run", async () => {
    const containers = [
      { name: "a", usage: { cpu: "250m", memory: "1Mi" } },
      { name: "b", usage: { cpu: "1500u", memory: "1Mi" } },
    ];
    const one = await get(`${BASE}/namespaces/default/pods/web`, JANE);
    expect(one.body).toMatchObject({ kind: "PodMetrics", metadata: { name: "web", namespace: "default" }, containers });
    const all = await get(`${BASE}/pods`, JANE);
    expect(all.body["items"]).toMatchObject([{ metadata: { name: "web" }, containers }]);
    expect((await get(`${BASE}/namespaces/other/pods`, JANE)).body["items"]).toEqual([]);
    const done = await get(`${BASE}/namespaces/default/pods/done`, JANE);
    expect(done).toMatchObject({ code: 404, body: { message: 'podmetrics.metrics.k8s.io "default/done" not found' } });
    const selector = await get(`${BASE}/pods?labelSelector=%21%21`, JANE);
    expect(selector).toMatchObject({ code: 400, body: { reason: "BadRequest" } });
  });

  test("prints tables for kubectl get", async () => {
    const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    const { body } = await get(`${BASE}/namespaces/default/pods`, { headers: { ...JANE.headers, accept } });
    expect(body).toMatchObject({ kind: "Table", rows: [{ cells: ["web", "251500u", "2Mi", "20s"] }] });
  });

  test("has discovery and OpenAPI documents", async () => {
    expect((await get(BASE, JANE)).body).toMatchObject({
      kind: "APIResourceList",
      resources: [{ name: "nodes" }, { name: "pods" }],
    });
    expect((await get("/apis/metrics.k8s.io", JANE)).body).toMatchObject({ kind: "APIGroup" });
    expect((await get(`/openapi/v3${BASE}`, JANE)).body).toMatchObject({ openapi: "3.0.0" });
    expect((await get("/apis/other", JANE)).code).toBe(404);
  });

  test("believes who the api-server says is asking, and nobody else", async () => {
    await get(`${BASE}/nodes`, JANE);
    await get(`${BASE}/nodes`, { ...JANE, as: "scheduler" });
    expect(asked.map(({ user }) => user)).toEqual(["jane", "system:kube-scheduler"]);
    expect(asked[0]?.access).toMatchObject({ verb: "list", resource: { group: "metrics.k8s.io", resource: "nodes" } });
    expect((await get(`${BASE}/nodes`, { ...JANE, as: "" })).code).toBe(401);
  });

  test("refuses what RBAC does not allow, and what is no reading", async () => {
    allowed = false;
    const refused = await get(`${BASE}/namespaces/a/pods`, JANE);
    expect(refused).toMatchObject({
      code: 403,
      body: {
        message:
          'pods.metrics.k8s.io is forbidden: User "jane" cannot list resource "pods" in API group "metrics.k8s.io" in the namespace "a"',
      },
    });
    allowed = true;
    expect((await get(`${BASE}/nodes`, { ...JANE, method: "DELETE" })).code).toBe(405);
    expect((await get(`${BASE}/nodes?watch=true`, JANE)).code).toBe(405);
  });
});
