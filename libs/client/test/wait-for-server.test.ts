// A component that starts beside its api-server goes on at once when that serves, and does not wait for ever.
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { silentLogger } from "@coxswain/component-base";
import { createHealthService } from "@coxswain/component-base/grpc-health";
import { createGrpcServer, type GrpcServer } from "@coxswain/component-base/grpc-server";
import { certificateFiles, ensurePki } from "@coxswain/component-base/identity/index";
import { loadTlsMaterial, type TlsMaterial } from "@coxswain/component-base/tls-files";
import { createRealEnv } from "@coxswain/env";
import { createServerChannel } from "../src/grpc/grpc-resource-client.ts";
import { waitForServer } from "../src/grpc/wait-for-server.ts";

const env = createRealEnv();
const dir = mkdtempSync(join(tmpdir(), "coxswain-wait-"));
const stop = new AbortController();
const never = new AbortController().signal;
const servers: GrpcServer[] = [];
let serverTls: TlsMaterial;
let tls: TlsMaterial;

beforeAll(async () => {
  await ensurePki(dir, {}, env);
  serverTls = loadTlsMaterial(certificateFiles(dir, "api-server"));
  tls = loadTlsMaterial(certificateFiles(dir, "scheduler"));
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close(0)));
});
afterAll(() => {
  stop.abort();
  rmSync(dir, { recursive: true, force: true });
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

async function serve(port: number, ready: () => boolean): Promise<number> {
  const health = createHealthService({ services: [], ready, timers: env.timers, signal: stop.signal });
  const server = createGrpcServer({
    tls: serverTls,
    services: [],
    openServices: [health],
    authenticate: () => Promise.resolve(undefined),
    timers: env.timers,
    logger: silentLogger,
  });
  servers.push(server);
  return server.listen({ host: "127.0.0.1", port });
}

async function waitFor(addresses: readonly string[], timeoutMs = 20_000, signal = never): Promise<boolean> {
  const channel = createServerChannel({ addresses, tls });
  try {
    return await waitForServer({ env, addresses, channel, timeoutMs }, signal);
  } finally {
    channel.close();
  }
}

const wait = (port: number, timeoutMs?: number, signal?: AbortSignal): Promise<boolean> =>
  waitFor([`127.0.0.1:${port}`], timeoutMs, signal);

test("a server that comes later, and is ready later still, is waited for", async () => {
  const port = await freePort();
  let ready = false;
  let done = false;
  const waiting = wait(port).finally(() => (done = true));
  let asked = 0;
  await serve(port, () => {
    asked++;
    return ready;
  });
  await expect.poll(() => asked).toBeGreaterThan(2);
  expect(done).toBe(false);
  ready = true;
  expect(await waiting).toBe(true);
});

test("of two servers one that serves is enough", async () => {
  const port = await serve(0, () => true);
  const addresses = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${port}`];
  expect(await waitFor(addresses)).toBe(true);
});

test("the wait ends without a server, and when it is told to", async () => {
  const port = await freePort();
  expect(await wait(port, 200)).toBe(false);
  const told = new AbortController();
  const waiting = wait(await serve(0, () => false), 60_000, told.signal);
  told.abort();
  expect(await waiting).toBe(false);
});
