// Both providers run the contract: the double, and the one that a supervisor serves on its socket.
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createRealEnv } from "@coxswain/env";
import { NodePool } from "@coxswain/cluster/node-pool";
import { nodeProviderService, serveNodeProvider } from "@coxswain/cluster/node-provider";
import { nodeTemplate } from "@coxswain/cluster/node-template";
import { expect, test } from "vitest";
import { parseCloudConfig } from "../src/cloud-config.ts";
import { createExternalGrpcProvider } from "../src/external-grpc-provider.ts";
import { cloudProviderSuite, type ProviderSubject } from "../src/testing/cloud-provider-suite.ts";
import { createMemoryProvider } from "../src/testing/memory-provider.ts";

const RANGE = { min: 1, max: 4 };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

cloudProviderSuite("in memory", async () => {
  const group = { id: "nodes", minSize: RANGE.min, maxSize: RANGE.max };
  const provider = createMemoryProvider(group, ["a", "b"], nodeTemplate(undefined));
  return {
    provider,
    finish: async () => void provider.finish(),
    fail: async (message) => provider.fail(message),
    [Symbol.asyncDispose]: async () => {},
  };
});

async function supervisors(): Promise<ProviderSubject & { readonly socket: string }> {
  const folder = mkdtempSync(path.join(tmpdir(), "cox-provider-"));
  const socket = path.join(folder, "nodes.sock");
  const making: { done: () => void; fail: (error: Error) => void }[] = [];
  const maker = {
    make: () => new Promise<void>((done, fail) => making.push({ done, fail })),
    remove: async () => {},
  };
  const pool = new NodePool({ range: RANGE, nodes: ["node-1", "node-2"], maker, save: () => {} });
  const service = nodeProviderService({ cluster: "blue", pool, template: () => nodeTemplate(undefined) });
  const end = await serveNodeProvider(socket, service);
  const provider = createExternalGrpcProvider(parseCloudConfig(`address: unix:${socket}`), createRealEnv().clock);
  const settle = async (each: (one: (typeof making)[number]) => void): Promise<void> => {
    for (let one = making.shift(); one !== undefined; one = making.shift()) {
      each(one);
      await turn();
    }
  };
  return {
    provider,
    socket,
    finish: () => settle(({ done }) => done()),
    fail: (message) => settle(({ fail }) => fail(new Error(message))),
    [Symbol.asyncDispose]: async () => {
      await provider.cleanup();
      end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

cloudProviderSuite("a supervisor's, over its socket", supervisors);

test("only the owner of the cluster's files reaches a supervisor's provider, and its nodes are this cluster's", async () => {
  await using subject = await supervisors();
  expect(statSync(subject.socket).mode & 0o777).toBe(0o600);
  const { provider } = subject;
  expect((await provider.instances("nodes")).map(({ id }) => id)).toEqual([
    "coxswain://blue/node-1",
    "coxswain://blue/node-2",
  ]);
  expect(await provider.groupForNode({ providerId: "coxswain://red/node-1", name: "node-1" })).toBeUndefined();
});

test.each<[string, string]>([
  ["", "must be a YAML object"],
  ["key: /x", "address: Required value"],
  ["address: unix:/x\nport: 1", 'unknown field "port"'],
  ["address: 127.0.0.1:8086", "only a unix socket is spoken to without TLS"],
  ["address: 127.0.0.1:8086\nkey: /k", "all three must be set, or none"],
  ["address: unix:/x\ngrpc_timeout: soon", "grpc_timeout: must be whole seconds"],
])("a cloud config %j is refused", (text, message) => {
  expect(() => parseCloudConfig(text)).toThrow(message);
});

test("a cloud config may name a provider with TLS", () => {
  const text = "address: provider:8086\nkey: /k\ncert: /c\ncacert: /ca\ngrpc_timeout: 30s\n";
  expect(parseCloudConfig(text)).toEqual({
    address: "provider:8086",
    key: "/k",
    cert: "/c",
    cacert: "/ca",
    timeoutMs: 30_000,
  });
});
