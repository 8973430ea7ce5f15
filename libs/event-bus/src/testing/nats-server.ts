// A private nats-server for tests: on a free loopback port, ended by `stop`.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRealEnv } from "@coxswain/env";

export interface TestNats {
  /** As in "127.0.0.1:12345". */
  readonly server: string;
  readonly pid: number | undefined;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same port after `kill`. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const env = createRealEnv();

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("data", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
    socket.once("end", () => resolve(false));
  });
}

/**
 * Starts nats-server (from PATH, or `binary`) and waits until it greets.
 * `config` makes the configuration for the port; absent: plain text, everything allowed.
 */
export async function startNats(
  options: { binary?: string; config?: (port: number) => string } = {},
): Promise<TestNats> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), "coxswain-nats-"));
  const file = join(folder, "nats.conf");
  await writeFile(file, options.config?.(port) ?? `host: "127.0.0.1"\nport: ${port}\n`);
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    let output = "";
    const started = spawn(options.binary ?? "nats-server", ["-c", file], { stdio: ["ignore", "pipe", "pipe"] });
    child = started;
    let failure: Error | undefined;
    started.once("error", (error) => (failure = error));
    for (const stream of [started.stdout, started.stderr]) {
      stream.on("data", (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4000)));
    }
    const deadline = env.clock.monotonic() + 15_000;
    while (!(await accepts(port))) {
      if (failure !== undefined) throw failure;
      if (started.exitCode !== null || env.clock.monotonic() > deadline) {
        throw new Error(`nats-server did not start: ${output}`);
      }
      await env.timers.sleep(10);
    }
  };
  const kill = async (): Promise<void> => {
    const victim = child;
    child = undefined;
    if (victim === undefined) return;
    const gone = new Promise((resolve) => victim.once("exit", resolve));
    if (victim.exitCode === null && victim.signalCode === null) {
      victim.kill("SIGKILL");
      await gone;
    }
  };
  await start();
  return {
    server: `127.0.0.1:${port}`,
    get pid() {
      return child?.pid;
    },
    kill,
    restart: start,
    stop: async () => {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
