// A private etcd for tests: on free loopback ports, with its data in a temporary folder, ended by `stop`.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRealEnv } from "@coxswain/env";

export interface TestEtcd {
  /** As in "http://127.0.0.1:12345". */
  readonly endpoint: string;
  /** The same etcd's socket, as in "unix:/tmp/x/etcd:0". */
  readonly socket: string;
  /** Undefined while it is killed. */
  readonly pid: number | undefined;
  /** SIGKILL; the data stays. */
  kill(): Promise<void>;
  /** SIGSTOP. */
  freeze(): void;
  /** SIGCONT. */
  thaw(): void;
  /** Starts it again on the same port and data after `kill`. */
  restart(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/** etcd names a socket as an address. */
const SOCKET = "etcd:0";

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function healthy(child: ChildProcess, endpoint: string, output: () => string): Promise<void> {
  const { clock, timers } = createRealEnv();
  const deadline = clock.monotonic() + 30_000;
  while (clock.monotonic() < deadline) {
    if (child.exitCode !== null) throw new Error(`etcd ended with code ${child.exitCode}: ${output()}`);
    const answer = await fetch(`${endpoint}/health`).catch(() => undefined);
    if (answer?.ok === true) return;
    await timers.sleep(20);
  }
  throw new Error(`etcd at ${endpoint} did not become healthy: ${output()}`);
}

function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once("exit", () => resolve()));
}

/** Starts etcd (from PATH, or `binary`) and waits until it answers. */
export async function startEtcd(options: { binary?: string } = {}): Promise<TestEtcd> {
  const binary = options.binary ?? "etcd";
  const folder = await mkdtemp(join(tmpdir(), "coxswain-etcd-"));
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const peer = `http://127.0.0.1:${await freePort()}`;
  const help = spawnSync(binary, ["--help"], { encoding: "utf8" });
  if (help.error !== undefined) throw help.error;
  const noFsync = `${help.stdout}${help.stderr}`.includes("--unsafe-no-fsync") ? ["--unsafe-no-fsync"] : [];
  const flags = [
    "--name=test",
    `--data-dir=${folder}`,
    `--listen-client-urls=${endpoint},unix://${SOCKET}`,
    "--log-level=error",
  ];
  flags.push(`--advertise-client-urls=${endpoint}`, `--listen-peer-urls=${peer}`, "--logger=zap", ...noFsync);
  flags.push(`--initial-advertise-peer-urls=${peer}`, `--initial-cluster=test=${peer}`);
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    let output = "";
    await rm(join(folder, SOCKET), { force: true });
    const started = spawn(binary, flags, { stdio: ["ignore", "pipe", "pipe"], cwd: folder });
    child = started;
    for (const stream of [started.stdout, started.stderr]) {
      stream.on("data", (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4000)));
    }
    await healthy(started, endpoint, () => output);
  };
  const kill = async (): Promise<void> => {
    const victim = child;
    child = undefined;
    victim?.kill("SIGKILL");
    if (victim !== undefined) await exited(victim);
  };
  await start();
  return {
    endpoint,
    socket: `unix:${join(folder, SOCKET)}`,
    get pid() {
      return child?.pid;
    },
    kill,
    freeze: () => void child?.kill("SIGSTOP"),
    thaw: () => void child?.kill("SIGCONT"),
    restart: start,
    stop: async () => {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
