// exec, attach and port-forward as a client of the kubelet's gRPC service sees them: real gRPC, a runtime of a few lines.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@grpc/grpc-js";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { silentLogger } from "@coxswain/component-base";
import { createChannel, createCredentials } from "@coxswain/component-base/grpc-channel";
import { createGrpcServer, type GrpcServer } from "@coxswain/component-base/grpc-server";
import { statusFromServiceError } from "@coxswain/component-base/grpc-status";
import { certificateFiles, ensurePki } from "@coxswain/component-base/identity/pki";
import { loadTlsMaterial } from "@coxswain/component-base/tls-files";
import { createRealEnv } from "@coxswain/env";
import { serviceDefinition, type ServiceTypes } from "@coxswain/protos";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Cri, ExecIo } from "../src/cri/contract.ts";
import type { PodManager } from "../src/pods/pod-manager.ts";
import { kubeletService } from "../src/server/kubelet-service.ts";

type Methods = ServiceTypes["coxswain.kubelet.v1.Kubelet"];

const MEGABYTES = 4;
const CHUNK = Buffer.alloc(64 * 1024, "z");
/** How far the flooding command has got, chunks, and whether its client's end was noticed. */
const flood = { sent: 0, held: false, aborted: false };

/** Writes until its client is gone; held where the client has not taken a chunk within a while. */
async function floodClient(io: ExecIo, signal: AbortSignal): Promise<void> {
  signal.addEventListener("abort", () => (flood.aborted = true));
  while (!signal.aborted) {
    io.stdout(CHUNK);
    flood.sent++;
    const timer = env.timers.setTimeout(() => (flood.held = true), 500);
    try {
      await io.drained?.();
    } finally {
      env.timers.clear(timer);
    }
  }
}

/** Commands: cat, sizes, flood, fail. Attach echoes. Port 80 echoes, 81 refuses. */
const runtime: Pick<Cri, "exec" | "attach" | "portForward"> = {
  async exec(_id, [program = ""], _tty, io, signal) {
    if (program === "fail") throw new Error("no such file");
    if (program === "cat") for await (const data of io.stdin ?? []) io.stdout(data);
    if (program === "sizes") {
      for await (const { width, height } of io.resize ?? []) io.stdout(Buffer.from(`${width}x${height} `));
    }
    if (program === "flood") await floodClient(io, signal);
    io.stderr(Buffer.from("done"));
    return 7;
  },
  async attach(_id, io) {
    io.stdout(Buffer.from("here "));
    for await (const data of io.stdin ?? []) io.stdout(data);
  },
  async portForward(_id, port, io) {
    if (port === 81) throw new Error("connection refused");
    for await (const data of io.input) await io.output(data);
    await io.output(Buffer.from("bye"));
  },
};

/** Pod p of node-1: main runs, ended does not. */
function onePod(): PodManager {
  const container = (name: string, state: string) => ({ name, kind: "main", run: { id: `id-${name}`, state } });
  const containers = [container("main", "running"), container("ended", "exited")];
  const worker = { state: { containers, sandbox: { id: "sandbox-1", ip: "" } } };
  const known = (namespace: string, name: string) => (namespace === "default" && name === "p" ? worker : undefined);
  return { context: { cri: runtime, node: "node-1" }, worker: known, pods: () => [] } as unknown as PodManager;
}

const env = createRealEnv();
const dir = mkdtempSync(join(tmpdir(), "cox-streams-"));
let server: GrpcServer;
let client: Client;

beforeAll(async () => {
  await ensurePki(dir, { nodes: ["node-1"] }, env);
  const tls = (name: string) => loadTlsMaterial(certificateFiles(dir, name));
  const user = { username: "system:apiserver", groups: [] };
  server = createGrpcServer({
    tls: tls("kubelet-node-1"),
    services: [kubeletService({ env, managers: new Map([["node-1", onePod()]]) })],
    authenticate: async () => user,
    authorize: async () => ({ allowed: true }),
    timers: env.timers,
    logger: silentLogger,
  });
  const address = `127.0.0.1:${await server.listen({ host: "127.0.0.1", port: 0 })}`;
  const own = tls("api-server-client");
  const channel = createChannel({ addresses: [address], tls: own });
  client = new Client(address, createCredentials(own), { channelOverride: channel });
});

afterAll(async () => {
  client.close();
  await server.close(0);
  rmSync(dir, { recursive: true, force: true });
});

type Joined = "exec" | "attach" | "portForward";
type Stream<M extends Joined> = ClientDuplexStream<Methods[M]["requestInput"], Methods[M]["response"]>;

function open<M extends Joined>(method: M): Stream<M> {
  const name = `${method.charAt(0).toUpperCase()}${method.slice(1)}`;
  const definition = serviceDefinition("coxswain.kubelet.v1.Kubelet")[name]!;
  return client.makeBidiStreamRequest(
    definition.path,
    definition.requestSerialize as (message: Methods[M]["requestInput"]) => Buffer,
    definition.responseDeserialize as (bytes: Buffer) => Methods[M]["response"],
  );
}

interface Answer {
  readonly text: string;
  readonly error: string;
  readonly exitCode: number | undefined;
  /** The Status that the call failed with. */
  readonly failure: string | undefined;
}

async function answerOf(stream: Stream<"exec"> | Stream<"attach"> | Stream<"portForward">): Promise<Answer> {
  let [text, error] = ["", ""];
  let exitCode: number | undefined;
  try {
    for await (const message of stream as AsyncIterable<Record<string, unknown>>) {
      const bytes = (name: string): string => (message[name] as Buffer | undefined)?.toString() ?? "";
      text += bytes("stdout") + bytes("data");
      error += bytes("stderr");
      exitCode ??= message["exitCode"] as number | undefined;
    }
  } catch (failure) {
    return { text, error, exitCode, failure: statusFromServiceError(failure).message };
  }
  return { text, error, exitCode, failure: undefined };
}

const target = (container: string) => ({ node: "node-1", namespace: "default", pod: "p", container });

describe("exec", () => {
  test("input, its end by word, output and the exit code", async () => {
    const call = open("exec");
    call.write({ start: { ...target("main"), command: ["cat"], stdin: true } });
    for (let index = 0; index < MEGABYTES * 16; index++) call.write({ stdin: CHUNK });
    call.write({ stdinEof: true });
    const { text, ...rest } = await answerOf(call);
    expect(text.length).toBe(MEGABYTES * 1024 * 1024);
    expect(rest).toEqual({ error: "done", exitCode: 7, failure: undefined });
  });

  test("a client that has said all before the command answers", async () => {
    for (let round = 0; round < 20; round++) {
      const call = open("exec");
      call.write({ start: { ...target("main"), command: ["cat"], stdin: true } });
      call.end({ stdin: Buffer.from("all") });
      expect(await answerOf(call)).toEqual({ text: "all", error: "done", exitCode: 7, failure: undefined });
    }
  });

  test("a command that reads nothing", async () => {
    for (let round = 0; round < 20; round++) {
      const call = open("exec");
      call.end({ start: { ...target("main"), node: "", command: ["hostname"] } });
      expect(await answerOf(call)).toEqual({ text: "", error: "done", exitCode: 7, failure: undefined });
    }
  });

  test("sizes", async () => {
    const call = open("exec");
    call.write({ start: { ...target("main"), command: ["sizes"], tty: true } });
    call.write({ resize: { width: 80, height: 24 } });
    call.end({ resize: { width: 132, height: 50 } });
    expect(await answerOf(call)).toMatchObject({ text: "80x24 132x50 ", exitCode: 7 });
  });

  test("a client that stops reading holds the command up, and one that leaves ends it", async () => {
    const call = open("exec");
    call.on("error", () => undefined);
    call.once("data", () => call.pause());
    call.write({ start: { ...target("main"), command: ["flood"] } });
    await expect.poll(() => flood.held).toBe(true);
    expect(flood.sent * CHUNK.length).toBeLessThan(64 * 1024 * 1024);
    call.cancel();
    await expect.poll(() => flood.aborted).toBe(true);
  });

  test.each([
    ["main", "fail", "error executing command in container: no such file"],
    ["ended", "cat", 'unable to upgrade connection: container not found ("ended")'],
    ["ghost", "cat", "container ghost is not valid for pod p"],
  ])("container %s, command %s: %s", async (container, command, failure) => {
    const call = open("exec");
    call.write({ start: { ...target(container), command: [command] } });
    expect(await answerOf(call)).toMatchObject({ failure });
  });

  test("a pod that is not here, and a call without a start", async () => {
    const absent = open("exec");
    absent.write({ start: { ...target("main"), pod: "ghost", command: ["cat"] } });
    expect(await answerOf(absent)).toMatchObject({ failure: "unable to upgrade connection: pod does not exist" });
    const empty = open("exec");
    empty.end();
    expect(await answerOf(empty)).toMatchObject({ failure: "the first message of the call must carry start" });
  });
});

test("attach", async () => {
  const call = open("attach");
  call.write({ start: { ...target("main"), stdin: true } });
  call.write({ stdin: Buffer.from("input") });
  call.end();
  expect(await answerOf(call)).toMatchObject({ text: "here input", failure: undefined });
  const refused = open("attach");
  refused.write({ start: target("ended") });
  expect(await answerOf(refused)).toMatchObject({
    failure: 'unable to upgrade connection: container not found ("ended")',
  });
});

describe("port-forward", () => {
  const start = (port: number) => ({ start: { node: "node-1", namespace: "default", pod: "p", port } });

  test("bytes both ways, and the client's end before the answer's", async () => {
    const calls = Array.from({ length: 10 }, async (_unused, index) => {
      const call = open("portForward");
      call.write(start(80));
      call.end({ data: Buffer.from(`${index} `) });
      return (await answerOf(call)).text;
    });
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 10 }, (_unused, index) => `${index} bye`));
  });

  test("what cannot be reached", async () => {
    const refused = open("portForward");
    refused.write(start(81));
    const failure = "error forwarding port 81 to pod sandbox-1, uid : connection refused";
    expect(await answerOf(refused)).toMatchObject({ failure });
    const invalid = open("portForward");
    invalid.write(start(0));
    expect(await answerOf(invalid)).toMatchObject({ failure: "port 0 must be between 1 and 65535" });
    const absent = open("portForward");
    absent.write({ start: { ...start(80).start, pod: "ghost" } });
    expect(await answerOf(absent)).toMatchObject({
      failure: 'unable to upgrade connection: pod not found ("ghost_default")',
    });
  });
});
