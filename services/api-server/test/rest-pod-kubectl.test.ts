// kubectl's attach, exec, cp-like input and port-forward through the api-server to a kubelet: over WebSockets, and over SPDY
// where kubectl is told to.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { repositoryRoot } from "@coxswain/cluster";
import { ensureKubectl } from "@coxswain/cluster/external-programs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { PRODUCED_BYTES, startFakeKubelet } from "./support/fake-kubelet.ts";
import type { FakeKubelet } from "./support/fake-kubelet.ts";
import { startTestServer } from "./support/test-server.ts";
import type { TestServer } from "./support/test-server.ts";

let server: TestServer;
let kubelet: FakeKubelet;
let program: string;
const running: ChildProcess[] = [];

beforeAll(async () => {
  server = await startTestServer(["ServiceAccount"]);
  kubelet = await startFakeKubelet(server);
  program = await ensureKubectl(join(repositoryRoot(), ".tools"), () => {});
}, 120_000);

afterEach(() => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
});

afterAll(async () => {
  await server.close();
  await kubelet.close();
});

interface Finished {
  readonly code: number | null;
  readonly out: Buffer;
  readonly err: string;
}

function start(args: readonly string[], env: Readonly<Record<string, string>>): ChildProcess {
  const common = [`--kubeconfig=${server.kubeconfig}`, `--cache-dir=${join(server.dir, "cache")}`];
  const child = spawn(program, [...common, ...args], { env: { ...process.env, ...env }, stdio: "pipe" });
  running.push(child);
  return child;
}

async function kubectl(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input: string | Buffer = "",
): Promise<Finished> {
  const child = start(args, env);
  const out: Buffer[] = [];
  let err = "";
  child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => (err += chunk.toString()));
  child.stdin?.on("error", () => undefined).end(input);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out: Buffer.concat(out), err };
}

const BIG = Buffer.alloc(5 * 1024 * 1024, "0123456789abcdef\n");

describe.each([
  ["WebSocket", {}],
  ["SPDY", { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: "false" }],
])("commands over %s", (_name, env) => {
  test("output and exit code", async () => {
    const { code, out, err } = await kubectl(["exec", "one", "--", "uname", "-a"], env);
    expect([code, out.toString(), err]).toEqual([3, "$ uname -a\n", "command terminated with exit code 3\n"]);
  });

  test("megabytes of input and its end, and all of it back", async () => {
    const { code, out, err } = await kubectl(["exec", "-i", "one", "--", "echo-input"], env, BIG);
    expect([code, err]).toEqual([0, ""]);
    expect(out.equals(BIG)).toBe(true);
  });

  test("megabytes of output", async () => {
    const { code, out } = await kubectl(["exec", "one", "--", "produce"], env);
    expect([code, out.length]).toEqual([0, PRODUCED_BYTES]);
  });

  test("a command that cannot be run", async () => {
    const { code, err } = await kubectl(["exec", "one", "--", "fail"], env);
    expect([code, err]).toEqual([
      1,
      "error: Internal error occurred: error executing command in container: no such file\n",
    ]);
  });

  test("attach: output, input and its end", async () => {
    const { code, out } = await kubectl(["attach", "-i", "one"], env, "over here");
    expect([code, out.toString()]).toEqual([0, "attached to c\nover here"]);
    const quiet = await kubectl(["attach", "one"], env);
    expect([quiet.code, quiet.out.toString()]).toEqual([0, "attached to c\n"]);
  });

  test("attach to a container that does not run", async () => {
    const { code, err } = await kubectl(["attach", "two", "-c", "broken"], env);
    expect(code).toBe(1);
    expect(err).toContain('unable to upgrade connection: container not found ("broken")');
  });
});

/** Starts port-forward for remote ports and resolves with the local ones; `errors` grows with what kubectl says. */
async function portForward(
  ports: readonly number[],
  env: Readonly<Record<string, string>>,
): Promise<{ local: number[]; errors: string[] }> {
  const child = start(["port-forward", "--address=127.0.0.1", "pod/one", ...ports.map((port) => `:${port}`)], env);
  const errors: string[] = [];
  child.stderr?.on("data", (chunk: Buffer) => errors.push(chunk.toString()));
  const local: number[] = [];
  for await (const line of createInterface({ input: child.stdout! })) {
    const port = /^Forwarding from 127\.0\.0\.1:(\d+) -> \d+$/.exec(line)?.[1];
    if (port !== undefined) local.push(Number(port));
    if (local.length === ports.length) return { local, errors };
  }
  throw new Error(`kubectl port-forward ended: ${errors.join("")}`);
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function talk(port: number, input: Buffer): Promise<Buffer> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.end(input);
  return await readAll(socket);
}

describe.each([
  ["a WebSocket", {}],
  ["SPDY", { KUBECTL_PORT_FORWARD_WEBSOCKETS: "false" }],
])("port-forward over %s", (_name, env) => {
  test("several ports, many connections at once, half-close, both sides ending first", async () => {
    const { local, errors } = await portForward([80, 83], env);
    const [echo = 0, greeter = 0] = local;
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_unused, index) => {
        const text = await talk(echo, Buffer.from(`connection ${index} `));
        return text.toString();
      }),
    );
    expect(answers).toEqual(Array.from({ length: 20 }, (_unused, index) => `connection ${index} bye`));
    expect((await readAll(connect({ host: "127.0.0.1", port: greeter }))).toString()).toBe("hello");
    expect(errors).toEqual([]);
  });

  test("megabytes both ways at once", async () => {
    const { local, errors } = await portForward([80, 82], env);
    const [echo = 0, producer = 0] = local;
    const [back, produced] = await Promise.all([talk(echo, BIG), talk(producer, Buffer.alloc(0))]);
    expect(back.length).toBe(BIG.length + 3);
    expect(back.subarray(0, BIG.length).equals(BIG)).toBe(true);
    expect(produced.length).toBe(PRODUCED_BYTES);
    expect(errors).toEqual([]);
  });

  test("a port that nothing listens on", async () => {
    const { local, errors } = await portForward([81], env);
    expect(await talk(local[0] ?? 0, Buffer.from("x")).catch(() => Buffer.alloc(0))).toEqual(Buffer.alloc(0));
    await expect.poll(() => errors.join("")).toContain("error forwarding port 81 to pod one, uid : connection refused");
  });

  test("kubectl's end ends its connections at the node", async () => {
    const { gone, opened } = kubelet;
    const before = { opened: opened.connections, gone: gone.connections };
    const { local } = await portForward([84], env);
    const socket = connect({ host: "127.0.0.1", port: local[0] ?? 0 });
    socket.on("error", () => undefined).write("nobody reads this");
    await expect.poll(() => opened.connections).toBe(before.opened + 1);
    running.at(-1)?.kill("SIGKILL");
    await expect.poll(() => gone.connections).toBe(before.gone + 1);
    socket.destroy();
  });
});
