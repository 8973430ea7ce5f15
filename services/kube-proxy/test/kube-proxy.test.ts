// The whole proxy on the in-memory cluster: follows changes, resolves to ready endpoints only, survives failed writes.
import { ENDPOINT_SLICES, NODES, SERVICES, type EndpointSlice, type Node, type Service } from "@coxswain/api";
import { createInformerFactory } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { type Logger, noMetrics, silentLogger } from "@coxswain/component-base";
import { createSeededRandom, VirtualEnv } from "@coxswain/env";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { createKubeProxy, type KubeProxyDeps, Syncer } from "../src/app.ts";
import { createHealthCheckPorts, type HealthCheckPorts } from "../src/health-check-ports.ts";
import type { HealthCheck } from "../src/planner/plan-health-check.ts";
import { createSimulatedBackend } from "../src/backend/simulated.ts";

const IP = "10.96.0.10";

function slice(ready: readonly string[], notReady: readonly string[]): EndpointSlice {
  const make = (ip: string, isReady: boolean) => ({ addresses: [ip], nodeName: "a", conditions: { ready: isReady } });
  return {
    metadata: { name: "web-1", namespace: "default", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [{ name: "", port: 8080, protocol: "TCP" }],
    endpoints: [...ready.map((ip) => make(ip, true)), ...notReady.map((ip) => make(ip, false))],
  };
}

const web: Service = {
  metadata: { name: "web", namespace: "default" },
  spec: { type: "NodePort", clusterIP: IP, ports: [{ port: 80, protocol: "TCP", nodePort: 30080 }] },
};

function start(more: Partial<KubeProxyDeps> = {}) {
  const env = new VirtualEnv({ seed: 3 });
  const cluster = createMemoryCluster({ env });
  const client = cluster.client("system:kube-proxy");
  const informers = createInformerFactory({ env, client, logger: silentLogger });
  const backend = createSimulatedBackend({ env });
  const stop = new AbortController();
  const app = createKubeProxy({
    env,
    logger: silentLogger,
    metrics: noMetrics,
    client,
    informers,
    nodeNames: ["a"],
    createBackend: () => backend,
    ...more,
  });
  const running = app.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await env.advance(1000);
    await running;
  };
  return { env, cluster, client, backend, app, end };
}

const packet = { sourceIp: "10.244.0.9", destinationIp: IP, protocol: "TCP", port: 80 } as const;

test("follows Services, endpoints and node addresses", async () => {
  const { env, cluster, client, backend, app, end } = start();
  cluster.seed(NODES, {
    metadata: { name: "a" },
    status: { addresses: [{ type: "InternalIP", address: "198.18.0.5" }] },
  } as never);
  cluster.seed(SERVICES, web);
  expect(app.checks["proxy-sync"]!()).toContain("not been written");
  await env.advance(2000);
  expect(app.checks["proxy-sync"]!()).toBeUndefined();
  expect((await backend.resolve(packet)).verdict).toBe("REJECT");
  cluster.seed(ENDPOINT_SLICES, slice(["10.244.0.1"], ["10.244.0.2"]));
  await env.advance(2000);
  expect(await backend.resolve(packet)).toMatchObject({ verdict: "DNAT", endpoint: { ip: "10.244.0.1", port: 8080 } });
  expect((await backend.resolve({ ...packet, destinationIp: "198.18.0.5", port: 30080 })).verdict).toBe("DNAT");
  await client.delete(SERVICES, { namespace: "default", name: "web" });
  await env.advance(2000);
  expect((await backend.resolve(packet)).verdict).toBe("PASS");
  await end();
});

test("the health check ports are those of Services that ask for one, with this node's ready endpoints", async () => {
  let open: readonly HealthCheck[] = [];
  const ports: HealthCheckPorts = {
    sync: (checks) => Promise.resolve(void (open = checks)),
    close: () => Promise.resolve(void (open = [])),
  };
  const { env, cluster, client, end } = start({ createHealthCheckPorts: () => ports });
  const local = { ...web.spec, type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 31_000 };
  cluster.seed(SERVICES, { ...web, spec: local });
  await env.advance(2000);
  const told = { port: 31_000, namespace: "default", service: "web" };
  expect(open).toEqual([{ ...told, localEndpoints: 0 }]);
  cluster.seed(ENDPOINT_SLICES, slice(["10.244.0.1", "10.244.0.3"], ["10.244.0.2"]));
  await env.advance(2000);
  expect(open).toEqual([{ ...told, localEndpoints: 2 }]);
  const now = await client.get(SERVICES, { namespace: "default", name: "web" });
  await client.update(SERVICES, { ...now, spec: { ...local, externalTrafficPolicy: "Cluster" } });
  await env.advance(2000);
  expect(open).toEqual([]);
  await end();
});

test("a health check port says how many endpoints there are, and is closed when it is not asked for any more", async () => {
  const warnings: object[] = [];
  const logger = { warn: (fields: object) => void warnings.push(fields) } as Pick<Logger, "warn">;
  let healthy = true;
  const ports = createHealthCheckPorts("127.0.0.1", logger, () => healthy);
  const found = createServer();
  await once(found.listen(0, "127.0.0.1"), "listening");
  const { port } = found.address() as AddressInfo;
  await once(found.close(), "close");
  const check = { port, namespace: "default", service: "web", localEndpoints: 2 };
  const ask = async (): Promise<unknown[]> => {
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`);
    return [answer.status, answer.headers.get("x-load-balancing-endpoint-weight"), await answer.json()];
  };
  const body = { service: { namespace: "default", name: "web" }, localEndpoints: 2, serviceProxyHealthy: true };
  await ports.sync([check]);
  expect(await ask()).toEqual([200, "2", body]);
  healthy = false;
  expect(await ask()).toEqual([503, "2", { ...body, serviceProxyHealthy: false }]);
  healthy = true;
  await ports.sync([{ ...check, localEndpoints: 0 }]);
  expect(await ask()).toEqual([503, "0", { ...body, localEndpoints: 0 }]);
  // Another one has the port: that is told of once, and tried again.
  const others = createHealthCheckPorts("127.0.0.1", logger, () => true);
  await others.sync([check]);
  await others.sync([check]);
  expect(warnings).toMatchObject([{ port, service: "web" }]);
  await ports.sync([]);
  await expect(ask()).rejects.toThrow("fetch failed");
  await others.sync([check]);
  expect(await ask()).toEqual([200, "2", body]);
  await others.close();
});

test("a failed write is made good, and the health check tells when it takes too long", async () => {
  const { env, cluster, backend, app, end } = start();
  cluster.seed(SERVICES, web);
  await env.advance(2000);
  const fault = { id: "f", action: "error", delayMs: 0, probability: 1, count: 0 } as const;
  env.failpoints.inject({ ...fault, failpoint: "proxy.apply" });
  env.failpoints.inject({ ...fault, failpoint: "proxy.sync" });
  cluster.seed(ENDPOINT_SLICES, slice(["10.244.0.1"], []));
  await env.advance(120_000);
  expect(app.checks["proxy-sync"]!()).toMatch(/has waited/);
  env.failpoints.heal();
  await env.advance(60_000);
  expect(app.checks["proxy-sync"]!()).toBeUndefined();
  expect((await backend.resolve(packet)).endpoint?.ip).toBe("10.244.0.1");
  await end();
});

test("under a random history only ready endpoints are ever chosen once changes have settled", async () => {
  const { env, cluster, client, backend, end } = start();
  cluster.seed(SERVICES, web);
  await client.create(ENDPOINT_SLICES, slice([], []));
  const random = createSeededRandom(11);
  for (let round = 0; round < 30; round++) {
    const all = Array.from({ length: 8 }, (_, at) => `10.244.0.${at + 1}`);
    const ready = all.filter(() => random.float() < 0.5);
    const rest = all.filter((ip) => !ready.includes(ip));
    const now = await client.get<EndpointSlice>(ENDPOINT_SLICES, { namespace: "default", name: "web-1" });
    await client.update(ENDPOINT_SLICES, { ...slice(ready, rest), metadata: now.metadata! });
    await env.advance(1000);
    for (let at = 0; at < 20; at++) {
      const found = await backend.resolve(packet);
      if (ready.length === 0) expect(found.verdict).toBe("REJECT");
      else expect(ready).toContain(found.endpoint?.ip);
    }
  }
  await end();
});

test("rules of a further packed node are planned when somebody asks, and follow changes from then on", async () => {
  const env = new VirtualEnv({ seed: 4 });
  const cluster = createMemoryCluster({ env });
  const client = cluster.client();
  const informers = createInformerFactory({ env, client, logger: silentLogger });
  const services = informers.informer<Service>(SERVICES);
  const slices = informers.informer<EndpointSlice>(ENDPOINT_SLICES);
  slices.addIndex("service", () => ["default/web"]);
  cluster.seed(SERVICES, { ...web, spec: { ...web.spec, internalTrafficPolicy: "Local" } });
  const stop = new AbortController();
  const backends: string[] = [];
  const syncer = new Syncer(
    {
      env,
      logger: silentLogger,
      metrics: noMetrics,
      client,
      informers,
      nodeNames: ["a", "b"],
      createBackend: (node) => {
        backends.push(node);
        return createSimulatedBackend({ env });
      },
      options: { onDemand: true },
    },
    services.lister,
    slices.lister,
    informers.informer<Node>(NODES).lister,
  );
  informers.start(stop.signal);
  await env.advance(1000);
  expect(backends).toEqual(["a"]);
  const proxier = await syncer.proxierOf("b");
  expect(backends).toEqual(["a", "b"]);
  expect((await proxier.backend.resolve(packet)).verdict).toBe("REJECT");
  cluster.seed(ENDPOINT_SLICES, slice(["10.244.0.1"], []));
  await env.advance(1000);
  syncer.dirty("default/web");
  await syncer.sync(false);
  // The only endpoint is on node a, and the policy keeps packets on their node.
  expect((await proxier.backend.resolve(packet)).verdict).toBe("DROP");
  expect((await syncer.first.backend.resolve(packet)).verdict).toBe("DNAT");
  await expect(syncer.proxierOf("c")).rejects.toMatchObject({ reason: "NotFound" });
  stop.abort();
});
