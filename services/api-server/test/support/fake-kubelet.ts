// A kubelet of a few lines for tests of the pods' streams: it answers over the real gRPC contract and remembers what it was
// asked. Pods "one" (container c), "two" (a and broken) and "starting" are on its node.
import { NODES, PODS } from "@coxswain/api";
import { StatusError } from "@coxswain/apimachinery";
import type { KubeObject } from "@coxswain/apimachinery";
import { silentLogger } from "@coxswain/component-base";
import { createGrpcServer } from "@coxswain/component-base/grpc-server";
import type { GrpcServer } from "@coxswain/component-base/grpc-server";
import type { GrpcService } from "@coxswain/component-base";
import type { ResponseStream } from "@coxswain/component-base/grpc-service";
import { implementService } from "@coxswain/component-base/grpc-service";
import type {
  AttachRequest,
  AttachResponseInput,
  ExecRequest,
  ExecResponseInput,
  PortForwardRequest,
  PortForwardResponseInput,
} from "@coxswain/protos/kubelet-v1.gen";
import type { LogsRequest } from "../../src/rest/kubelet-dialer.ts";
import type { TestServer } from "./test-server.ts";

/** What the command `produce` and port 82 give, bytes. */
export const PRODUCED_BYTES = 8 * 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, "x");

export interface FakeKubelet {
  readonly asked: LogsRequest[];
  /** Users that asked for logs. */
  readonly callers: string[];
  /** Calls that ended because the client went away: followed logs, and connections to port 84. */
  readonly gone: { followers: number; connections: number };
  /** Connections to port 84 so far. */
  readonly opened: { connections: number };
  /** Ends it at once; `start` brings it back at the same address. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

const pod = (name: string, containers: string[], waiting = false): KubeObject & Record<string, unknown> => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: { nodeName: "node-1", containers: containers.map((container) => ({ name: container, image: "x" })) },
  status: {
    phase: "Running",
    containerStatuses: containers.map((container) => ({
      name: container,
      image: "x",
      imageID: "",
      ready: !waiting,
      restartCount: 0,
      state: waiting
        ? { waiting: { reason: "ContainerCreating" } }
        : { running: { startedAt: "2026-01-01T00:00:00Z" } },
    })),
  },
});

async function produce(send: (data: Buffer) => Promise<void>): Promise<void> {
  for (let sent = 0; sent < PRODUCED_BYTES; sent += CHUNK.length) await send(CHUNK);
}

/** `echo-input` gives its input back, `produce` a lot, `fail` cannot be run; everything else says what it was and exits with 3. */
async function exec(messages: AsyncIterable<ExecRequest>, responses: ResponseStream<ExecResponseInput>): Promise<void> {
  // Not `for await`: what follows start is read further down.
  const input = messages[Symbol.asyncIterator]();
  const first: IteratorResult<ExecRequest, undefined> = await input.next();
  const [program, ...rest] = first.value?.start?.command ?? [];
  if (program === "fail") {
    throw new StatusError("InternalError", 500, "error executing command in container: no such file");
  }
  if (program === "produce") await produce((stdout) => responses.send({ stdout }));
  else if (program !== "echo-input") {
    await responses.send({ stdout: Buffer.from(`$ ${[program, ...rest].join(" ")}\n`) });
  }
  let size = "";
  for (let more = first.value?.start?.stdin === true; more;) {
    const { value: message }: IteratorResult<ExecRequest, undefined> = await input.next();
    if (message?.stdin && program === "echo-input") await responses.send({ stdout: message.stdin });
    else if (message?.stdin) await responses.send({ stderr: Buffer.from(`got ${message.stdin.toString()}`) });
    if (message?.resize) size = ` ${message.resize.width}x${message.resize.height}`;
    more = message !== undefined && message.stdinEof !== true && program !== "size";
    if (program === "size" && size !== "") await responses.send({ stdout: Buffer.from(`size${size}\r\n`) });
  }
  await responses.send({ exitCode: program === "produce" || program === "echo-input" ? 0 : 3 });
}

async function attach(
  messages: AsyncIterable<AttachRequest>,
  responses: ResponseStream<AttachResponseInput>,
): Promise<void> {
  const input = messages[Symbol.asyncIterator]();
  for (;;) {
    const { value }: IteratorResult<AttachRequest, undefined> = await input.next();
    const { start, stdin, stdinEof } = value ?? {};
    if (value === undefined) return;
    if (start) await responses.send({ stdout: Buffer.from(`attached to ${start.container}\n`) });
    if (start?.container === "broken") {
      const message = 'unable to upgrade connection: container not found ("broken")';
      throw new StatusError("InternalError", 500, message);
    }
    if (start?.stdin === false || stdinEof === true) return;
    if (stdin) await responses.send({ stdout: stdin });
  }
}

/** 80 echoes and says bye at the end, 81 refuses, 82 sends a lot, 83 greets and leaves, 84 never reads. */
async function portForward(
  messages: AsyncIterable<PortForwardRequest>,
  responses: ResponseStream<PortForwardResponseInput>,
  signal: AbortSignal,
  opened: FakeKubelet["opened"],
): Promise<boolean> {
  const input = messages[Symbol.asyncIterator]();
  const first: IteratorResult<PortForwardRequest, undefined> = await input.next();
  const port = first.value?.start?.port;
  if (port === 81) {
    throw new StatusError("InternalError", 500, "error forwarding port 81 to pod one, uid : connection refused");
  }
  if (port === 82) await produce((data) => responses.send({ data }));
  if (port === 83) await responses.send({ data: Buffer.from("hello") });
  if (port === 84) {
    opened.connections++;
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    return true;
  }
  if (port !== 80) return false;
  for (;;) {
    const { value }: IteratorResult<PortForwardRequest, undefined> = await input.next();
    if (value === undefined) break;
    if (value.data) await responses.send({ data: value.data });
  }
  await responses.send({ data: Buffer.from("bye") });
  return false;
}

function service({ asked, callers, gone, opened }: Omit<FakeKubelet, "stop" | "start" | "close">): GrpcService {
  return implementService("coxswain.kubelet.v1.Kubelet", {
    listPods: async () => ({ pods: [] }),
    getStats: async () => ({ nodes: [] }),
    listStats: async () => undefined,
    getLogs: async (message, responses, { user, signal }) => {
      asked.push(message);
      callers.push(user.username);
      if (message.container === "broken") throw new StatusError("BadRequest", 400, "the log is gone");
      await responses.send({ data: Buffer.from("line one\n") });
      await responses.send({ data: Buffer.from("line two\n") });
      if (!message.follow) return;
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      gone.followers++;
    },
    exec: (messages, responses) => exec(messages, responses),
    attach: (messages, responses) => attach(messages, responses),
    portForward: async (messages, responses, { signal }) => {
      if (await portForward(messages, responses, signal, opened)) gone.connections++;
    },
  });
}

/** Starts it for `server`, and puts its node and pods there. */
export async function startFakeKubelet(server: TestServer): Promise<FakeKubelet> {
  const state = { asked: [], callers: [], gone: { followers: 0, connections: 0 }, opened: { connections: 0 } };
  const make = (): GrpcServer =>
    createGrpcServer({
      tls: server.tls("kubelet-node-1"),
      services: [service(state)],
      ...server.component.auth,
      timers: server.env.timers,
      logger: silentLogger,
    });
  let grpc = make();
  const port = await grpc.listen({ host: "127.0.0.1", port: 0 });
  const address = `127.0.0.1:${port}`;
  const { loopback } = server.component.server;
  await loopback.create(NODES, {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "node-1", annotations: { "coxswain.dev/kubelet-grpc": address } },
  });
  for (const one of [pod("one", ["c"]), pod("two", ["a", "broken"]), pod("starting", ["c"], true)]) {
    const created = await loopback.create(PODS, one);
    await loopback.update(PODS, { ...created, status: one["status"] }, { subresource: "status" });
  }
  const stop = (): Promise<void> => grpc.close(0);
  const start = async (): Promise<void> => {
    grpc = make();
    await grpc.listen({ host: "127.0.0.1", port });
  };
  return { ...state, stop, start, close: stop };
}
