// The use of tokens that live in Secrets is noted, by the day, and a ConfigMap says since when.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  CONFIG_MAPS,
  SECRETS,
  SERVICE_ACCOUNTS,
  type ConfigMap,
  type Secret,
  type ServiceAccount,
} from "@coxswain/api";
import { isDay } from "@coxswain/apimachinery";
import { silentLogger } from "@coxswain/component-base";
import { createLegacyTokenSigner } from "@coxswain/component-base/identity/legacy-tokens";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { VirtualEnv } from "@coxswain/env";
import { Agent, request } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runLegacyTokenTracking } from "../src/auth/legacy-token-tracking.ts";
import { planLastUsed } from "../src/auth/legacy-token-use.ts";
import type { ObjectSource } from "../src/pipeline/extension.ts";
import { startTestServer, type TestServer } from "./support/test-server.ts";

const WHERE = { namespace: "kube-system", name: "kube-apiserver-legacy-service-account-token-tracking" };
const USED = "kubernetes.io/legacy-token-last-used";
const INVALID = "kubernetes.io/legacy-token-invalid-since";
const NOW = Date.parse("2026-06-15T12:00:00Z");

test.each([
  [undefined, "2026-06-15"],
  ["2026-06-14", "2026-06-15"],
  ["2026-06-15", undefined],
  ["2026-06-16", undefined],
  ["2026-06-17", "2026-06-15"],
  ["never", "2026-06-15"],
])("where the label says %s it becomes %s", (label, expected) => {
  const labels = label === undefined ? {} : { [USED]: label };
  expect(planLastUsed({ metadata: { labels } } as Secret, NOW)).toBe(expected);
});

test("the day is said again where it was taken away, every half hour at most, and where it is none", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const cluster = createMemoryCluster({ env });
  const listeners = new Set<() => void>();
  const found = (): ConfigMap | undefined => cluster.objects<ConfigMap>(CONFIG_MAPS)[0];
  const source = {
    get: () => (found() === undefined ? undefined : { object: found() }),
    onChange: (_ref: unknown, listener: () => void) => (listeners.add(listener), () => listeners.delete(listener)),
  } as unknown as ObjectSource;
  const change = (): void => listeners.forEach((listener) => listener());
  const client = cluster.client();
  const stop = new AbortController();
  const running = runLegacyTokenTracking({ env, logger: silentLogger, client, source }, stop.signal);
  await env.runUntil(() => found() !== undefined, 60_000);
  const today = new Date(env.clock.now()).toISOString().slice(0, 10);
  expect(found()).toMatchObject({ metadata: WHERE, data: { since: today } });

  const broken = client.update(CONFIG_MAPS, { ...found()!, data: { since: "once", other: "stays" } });
  await env.advance(10);
  await broken;
  change();
  await env.runUntil(() => found()?.data?.["since"] === today, env.elapsedMs + 60_000);
  expect(found()?.data).toEqual({ since: today, other: "stays" });

  const removed = client.delete(CONFIG_MAPS, WHERE);
  await env.advance(10);
  await removed;
  change();
  await env.advance(29 * 60_000);
  expect(found()).toBeUndefined();
  await env.advance(2 * 60_000);
  expect(found()).toBeDefined();
  stop.abort();
  await env.advance(10);
  await running;
  expect(listeners.size).toBe(0);
});

let server: TestServer;
let agent: Agent;
beforeAll(async () => {
  server = await startTestServer();
  agent = new Agent({ connect: { ca: server.tls("admin").ca as Buffer } });
});
afterAll(async () => {
  await agent.destroy();
  await server.close();
});

test("an api-server notes who used what, also where it was no good any more", async () => {
  const { loopback } = server.component.server;
  await expect
    .poll(async () => (await loopback.get<ConfigMap>(CONFIG_MAPS, WHERE).catch(() => undefined))?.data?.["since"])
    .toSatisfy((since: unknown) => typeof since === "string" && isDay(since));

  const where = { namespace: "default", name: "web-token" };
  const account = await loopback.create<ServiceAccount>(SERVICE_ACCOUNTS, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { namespace: "default", name: "web" },
  });
  const uid = account.metadata?.uid ?? "";
  const token = await createLegacyTokenSigner(readFileSync(join(server.dir, "sa.key"), "utf8")).sign({
    namespace: "default",
    serviceAccount: { name: "web", uid },
    secret: "web-token",
  });
  await loopback.create<Secret>(SECRETS, {
    apiVersion: "v1",
    kind: "Secret",
    type: "kubernetes.io/service-account-token",
    metadata: {
      ...where,
      annotations: { "kubernetes.io/service-account.name": "web", "kubernetes.io/service-account.uid": uid },
    },
    data: { token: Buffer.from(token).toString("base64") },
  });
  const call = async (): Promise<number> => {
    const answer = await request(`${server.url}/version`, {
      dispatcher: agent,
      headers: { authorization: `Bearer ${token}` },
    });
    await answer.body.dump();
    return answer.statusCode;
  };
  const labels = async (): Promise<Record<string, string>> =>
    (await loopback.get<Secret>(SECRETS, where)).metadata?.labels ?? {};
  expect(await call()).toBe(200);
  await expect.poll(labels).toEqual({ [USED]: expect.toSatisfy(isDay) as string });
  const { resourceVersion } = (await loopback.get<Secret>(SECRETS, where)).metadata ?? {};
  expect(await call()).toBe(200);

  const patch = { metadata: { labels: { [INVALID]: "2026-01-01" } } };
  const marked = await loopback.patch<Secret>(SECRETS, where, "application/merge-patch+json", patch);
  expect(Number(marked.metadata?.resourceVersion)).toBeGreaterThan(Number(resourceVersion));
  expect(await call()).toBe(401);
  expect(await labels()).toEqual({ [INVALID]: "2026-01-01", [USED]: expect.toSatisfy(isDay) as string });
});
