// Ports that another program takes after they were chosen, before the process listens there that they were chosen for: a process
// that others do not look for there moves, and where it cannot the cluster says which process and which port it is about.
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startCluster, stopCluster, type Cluster } from "@coxswain/cluster";
import { eventually } from "./cluster-fixture.ts";

let home: string;
const others: Server[] = [];

beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), "cox-"));
});
afterEach(async () => {
  for (const server of others.splice(0)) await letGo(server);
  await stopCluster("default", { home, purge: true });
  rmSync(home, { recursive: true, force: true });
});

async function letGo(server: Server): Promise<void> {
  if (!server.listening) return;
  server.close();
  await once(server, "close");
}

/** Listens on the port as another program would; false where somebody does already. */
async function take(port: number): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  const listening = new Promise<boolean>((resolve) => {
    server.once("listening", () => resolve(true));
    server.once("error", () => resolve(false));
  });
  server.listen({ port, host: "127.0.0.1", exclusive: true });
  if (!(await listening)) return undefined;
  others.push(server);
  return server;
}

/** The port that was chosen for a process, as soon as it is. */
async function chosen(key: string): Promise<number> {
  const file = path.join(home, "default", "ports.json");
  const text = await eventually(
    async () => (existsSync(file) ? readFileSync(file, "utf8") : ""),
    (found) => found.endsWith("}"),
  );
  return (JSON.parse(text) as Record<string, { main: number }>)[key]?.main ?? 0;
}

const record = async (cluster: Cluster, component: string) =>
  (await cluster.status()).records.find(({ spec }) => spec.component === component);

const options = { freePorts: true, nodes: 1, runtime: "simulated" } as const;

test("at the start: who can listen elsewhere does, and the cluster gets ready", async () => {
  const said: string[] = [];
  const starting = startCluster({ ...options, home, onProgress: (line) => said.push(line) });
  const port = await chosen("scheduler/0");
  expect(await take(port)).toBeDefined();
  const cluster = await starting;
  const scheduler = await record(cluster, "scheduler");
  expect(scheduler?.state).toBe("ready");
  expect(scheduler?.spec.ports.main).not.toBe(port);
  expect(said).toContain(`scheduler/0: port ${port} is taken by another program; another one is used`);
  expect(await chosen("scheduler/0")).toBe(scheduler?.spec.ports.main);
});

test("at the start: a port that all others count on is named, and nothing stays", async () => {
  const starting = startCluster({ ...options, home });
  const port = await chosen("api-server/0");
  expect(await take(port)).toBeDefined();
  await expect(starting).rejects.toThrow(
    `port ${port} on 127.0.0.1, chosen for api-server/0, was taken by another program`,
  );
});

test("later: who dies and finds the port taken moves, or says so until it is free again", async () => {
  const cluster = await startCluster({ ...options, home });
  const kill = async (component: string): Promise<Server> => {
    const before = await record(cluster, component);
    const port = before?.spec.ports.main ?? 0;
    // Whoever is back before somebody else has the port is killed again.
    const once = async (): Promise<Server | undefined> => {
      const pid = (await record(cluster, component))?.pid ?? 0;
      if (pid > 0) process.kill(pid, "SIGKILL");
      return take(port);
    };
    return (await eventually(once, (server) => server !== undefined))!;
  };
  const had = (await record(cluster, "controller-manager"))?.spec.ports.main;
  await kill("controller-manager");
  const moved = await eventually(
    () => record(cluster, "controller-manager"),
    (one) => one?.state === "ready" && one.spec.ports.main !== had,
  );
  expect(moved?.restarts).toBeGreaterThan(0);
  const other = await kill("nats");
  const nats = await eventually(
    () => record(cluster, "nats"),
    (one) => one?.message.includes("is taken by another program") ?? false,
  );
  expect(nats?.message).toContain(`port ${nats?.spec.ports.main} is taken by another program`);
  await letGo(other);
  await eventually(
    () => record(cluster, "nats"),
    (one) => one?.state === "ready",
  );
});
