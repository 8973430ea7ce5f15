// The gRPC client against a server over TLS: the contract suite, failures, and failover.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { CONFIG_MAPS } from "@coxswain/api";
import { mayHaveLanded, type KubeObject } from "@coxswain/apimachinery";
import { silentLogger } from "@coxswain/component-base";
import { certificateFiles, ensurePki } from "@coxswain/component-base/identity/index";
import { loadTlsMaterial, type TlsMaterial } from "@coxswain/component-base/tls-files";
import { createRealEnv, nextTurn } from "@coxswain/env";
import { createGrpcResourceClient } from "../src/grpc/grpc-resource-client.ts";
import { createMemoryCluster } from "../src/memory/memory-cluster.ts";
import type { ResourceClient } from "../src/resource-client.ts";
import { resourceClientSuite } from "../src/testing/resource-client-suite.ts";
import { serveResources, type ResourcesServer } from "./resources-over-memory.ts";

const env = createRealEnv();
const dir = mkdtempSync(join(tmpdir(), "coxswain-client-"));
const servers: ResourcesServer[] = [];
const clients: ResourceClient[] = [];
let serverTls: TlsMaterial;
let clientTls: TlsMaterial;

beforeAll(async () => {
  await ensurePki(dir, {}, env);
  serverTls = loadTlsMaterial(certificateFiles(dir, "api-server"));
  clientTls = loadTlsMaterial(certificateFiles(dir, "controller-manager"));
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await Promise.all(servers.splice(0).map(({ server }) => server.close(0)));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const makeCluster = () => createMemoryCluster({ env, requireNamespaces: false });

async function serve(cluster = makeCluster(), batch = true): Promise<ResourcesServer> {
  const server = await serveResources(env, cluster.client(), serverTls, batch);
  servers.push(server);
  return server;
}

function connect(ports: number[], timeoutMs = 5_000): ResourceClient {
  const addresses = ports.map((port) => `127.0.0.1:${port}`);
  const client = createGrpcResourceClient({ env, logger: silentLogger, addresses, tls: clientTls, timeoutMs });
  clients.push(client);
  return client;
}

const configMap = (name: string): KubeObject => ({ metadata: { name, namespace: "ns" } });

resourceClientSuite("gRPC, writes over the Batch stream", {
  makeClient: async () => connect([(await serve()).port]),
  unique: () => "stream",
});
resourceClientSuite("gRPC, unary writes", {
  makeClient: async () => connect([(await serve(makeCluster(), false)).port]),
  unique: () => "unary",
});

describe("the gRPC client", () => {
  test("sends many writes over one stream", async () => {
    const server = await serve();
    const client = connect([server.port]);
    await Promise.all(Array.from({ length: 100 }, (_, n) => client.create(CONFIG_MAPS, configMap(`c${n}`))));
    expect(server.seen).toEqual({ batch: 1 });
    expect((await client.list(CONFIG_MAPS)).items).toHaveLength(100);
  });

  test("sends Leases over a stream of their own, so that they wait behind no other writes", async () => {
    const server = await serve();
    const client = connect([server.port]);
    await client.create(CONFIG_MAPS, configMap("a"));
    const leases = { group: "coordination.k8s.io", version: "v1", resource: "leases" };
    await client.create(leases, { metadata: { name: "a", namespace: "ns" } });
    expect(server.seen).toEqual({ batch: 2 });
  });

  test("reads go on with another server when one dies", async () => {
    const cluster = makeCluster();
    const [one, two] = [await serve(cluster), await serve(cluster)];
    const client = connect([one.port, two.port]);
    await client.create(CONFIG_MAPS, configMap("a"));
    await one.server.close(0);
    for (let n = 0; n < 5; n++) {
      expect((await client.get(CONFIG_MAPS, { namespace: "ns", name: "a" })).metadata?.name).toBe("a");
    }
  });

  test("a write that was not sent yet waits for a server; with none it may be tried again", async () => {
    const server = await serve();
    const { port } = server;
    await server.server.close(0);
    const client = connect([port], 400);
    const failure = await client.create(CONFIG_MAPS, configMap("a")).catch((error: unknown) => error);
    expect(failure).toMatchObject({ reason: "ServiceUnavailable", message: "no api-server could be reached" });
  });

  test("an answer that does not come is a Timeout, and the write may have landed", async () => {
    const cluster = makeCluster();
    const server = await serve(cluster);
    const client = connect([server.port], 300);
    server.hold(true);
    const failure = await client.create(CONFIG_MAPS, configMap("a")).catch((error: unknown) => error);
    expect(failure).toMatchObject({ reason: "Timeout" });
    expect(mayHaveLanded(failure)).toBe(true);
    expect(cluster.objects(CONFIG_MAPS)).toHaveLength(1);
  });

  test("a connection that breaks before the answer may have landed; the next write opens another stream", async () => {
    const cluster = makeCluster();
    const [one, two] = [await serve(cluster), await serve(cluster)];
    const client = connect([one.port]);
    one.hold(true);
    const written = client.create(CONFIG_MAPS, configMap("a")).catch((error: unknown) => error);
    while (cluster.objects(CONFIG_MAPS).length === 0) await nextTurn(env.timers);
    await one.server.close(0);
    const failure = await written;
    expect(failure).toMatchObject({ reason: "ServiceUnavailable" });
    expect(mayHaveLanded(failure)).toBe(true);
    await connect([two.port]).create(CONFIG_MAPS, configMap("b"));
    expect(cluster.objects(CONFIG_MAPS)).toHaveLength(2);
  });

  test("a watch ends with ServiceUnavailable when its server dies, quietly on abort", async () => {
    const server = await serve();
    const client = connect([server.port]);
    const abort = new AbortController();
    const read = async (signal: AbortSignal): Promise<number> => {
      let seen = 0;
      for await (const event of client.watch(CONFIG_MAPS, {}, signal)) {
        if (event.type === "ADDED") seen++;
        if (seen === 1) abort.abort();
      }
      return seen;
    };
    const quiet = read(abort.signal);
    await client.create(CONFIG_MAPS, configMap("a"));
    expect(await quiet).toBe(1);
    const broken = read(new AbortController().signal);
    while ((server.seen["watch"] ?? 0) < 2) await nextTurn(env.timers);
    const failing = expect(broken).rejects.toMatchObject({ reason: "ServiceUnavailable" });
    await server.server.close(0);
    await failing;
  });
});
