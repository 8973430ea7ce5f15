// A process in a network namespace of a test: it serves TCP and UDP, and connects where it is told to, one JSON line each
// way. A server answers with "<its address> <the client's address>". Ends when its input does.
import { createRealEnv } from "@coxswain/env";
import { createSocket } from "node:dgram";
import { createServer, connect as connectTcp, type Socket } from "node:net";
import { createInterface } from "node:readline";

export interface AgentRequest {
  readonly id: number;
  readonly act: "listen" | "tcp" | "udp" | "open" | "talk" | "latency";
  readonly host: string;
  readonly port: number;
  /** The source port; any where 0. */
  readonly sourcePort: number;
  /** For latency: how many connections, one after the other. */
  readonly count: number;
  readonly timeoutMs: number;
}

const env = createRealEnv();
let held: Socket | undefined;

/** Serves both protocols at one address until the process ends. */
async function listen(host: string, port: number): Promise<string> {
  const server = createServer((socket) => {
    const hello = `${socket.localAddress} ${socket.remoteAddress}`;
    // A client that ends at once resets the connection: that is its right.
    socket.on("error", () => socket.destroy());
    socket.on("data", () => socket.write(hello));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: 1024 }, resolve);
  });
  const udp = createSocket("udp4");
  udp.on("message", (_message, from) => udp.send(`${host} ${from.address}`, from.port, from.address));
  await new Promise<void>((resolve) => udp.bind(port, host, resolve));
  return "ready";
}

function ask(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once("data", (data) => resolve(data.toString()));
    socket.once("error", reject);
    socket.write("?");
  });
}

function open(request: AgentRequest): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { host, port, sourcePort, timeoutMs } = request;
    const socket = connectTcp({ host, port, ...(sourcePort > 0 ? { localPort: sourcePort } : {}) });
    const timer = env.timers.setTimeout(() => socket.destroy(new Error("timeout")), timeoutMs);
    socket.once("connect", () => {
      env.timers.clear(timer);
      resolve(socket);
    });
    socket.once("error", (error) => {
      env.timers.clear(timer);
      reject(error);
    });
  });
}

async function tcp(request: AgentRequest): Promise<string> {
  const socket = await open(request);
  try {
    return await ask(socket);
  } finally {
    socket.resetAndDestroy();
  }
}

/** On a connected socket, so that the kernel reports refusals. */
function udp({ host, port, sourcePort, timeoutMs }: AgentRequest): Promise<string> {
  const socket = createSocket("udp4");
  return new Promise<string>((resolve, reject) => {
    const timer = env.timers.setTimeout(() => reject(new Error("timeout")), timeoutMs);
    socket.once("message", (message) => {
      env.timers.clear(timer);
      resolve(message.toString());
    });
    socket.once("error", (error) => {
      env.timers.clear(timer);
      reject(error);
    });
    socket.bind(sourcePort, () => socket.connect(port, host, () => socket.send("?")));
  }).finally(() => socket.close());
}

/** Milliseconds to connect, each, as JSON. */
async function latency(request: AgentRequest): Promise<string> {
  const took: number[] = [];
  for (let at = 0; at < request.count; at++) {
    const start = env.clock.monotonic();
    const socket = await open(request);
    took.push(env.clock.monotonic() - start);
    socket.resetAndDestroy();
  }
  return JSON.stringify(took);
}

const ACTS: Readonly<Record<AgentRequest["act"], (request: AgentRequest) => Promise<string>>> = {
  listen: ({ host, port }) => listen(host, port),
  tcp,
  udp,
  async open(request) {
    held = await open(request);
    return ask(held);
  },
  async talk() {
    if (held === undefined) throw new Error("nothing is open");
    return ask(held);
  },
  latency,
};

if (import.meta.main) {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as AgentRequest;
    const text = await ACTS[request.act](request).then(
      (value) => ({ id: request.id, value }),
      (error: NodeJS.ErrnoException) => ({ id: request.id, error: error.code ?? error.message }),
    );
    process.stdout.write(`${JSON.stringify(text)}\n`);
  }
  process.exit(0);
}
