// The gateway carries bytes both ways, ends each way on its own, passes over targets that do not answer, and its ports
// outlive it.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { parseTarget } from "../src/gateway/forward.ts";
import { createGateway } from "../src/gateway/gateway.ts";
import { createLoopbackSockets } from "../src/gateway/loopback-sockets.ts";
import type { FromGateway, ToGateway } from "../src/gateway/messages.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function serve(onClient: (socket: Socket) => void): Promise<string> {
  const server = createServer({ allowHalfOpen: true }, onClient).listen(0, "127.0.0.1");
  await once(server, "listening");
  ends.push(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A gateway in this process whose "handle" is a listen option: where it listens is not the point here. */
async function gatewayTo(targets: string[]): Promise<number> {
  const probe: Server = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  const told = Promise.withResolvers<FromGateway>();
  let take: (message: ToGateway, handle: unknown) => void = () => {};
  const app = createGateway({
    env: createRealEnv(),
    logger: silentLogger,
    metrics: noMetrics,
    channel: { onMessage: (given) => void (take = given), send: told.resolve },
  });
  const stop = new AbortController();
  const ran = app.run(stop.signal);
  ends.push(() => {
    stop.abort();
    return ran;
  });
  take({ op: "map", port, targets }, { port, host: "127.0.0.1" });
  expect(await told.promise).toEqual({ op: "listening", port });
  return port;
}

async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test("an answer comes after the question has ended", async () => {
  const target = await serve((socket) => {
    void readAll(socket).then((question) => socket.end(`answer to ${question}`));
  });
  const client = connect({ port: await gatewayTo([target]), host: "127.0.0.1", allowHalfOpen: true });
  client.end("question");
  expect(await readAll(client)).toBe("answer to question");
});

test("many bytes arrive whole at a slow reader", async () => {
  const size = 8 << 20;
  const target = await serve((socket) => socket.end(Buffer.alloc(size, 7)));
  const client = connect({ port: await gatewayTo([target]), host: "127.0.0.1" });
  let seen = 0;
  for await (const chunk of client as AsyncIterable<Buffer>) {
    seen += chunk.length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(seen).toBe(size);
});

test("a target that does not answer is passed over; with none left the connection closes", async () => {
  const dead = "127.0.0.1:1";
  const live = await serve((socket) => socket.end("here"));
  const port = await gatewayTo([dead, live]);
  for (let round = 0; round < 3; round++) expect(await readAll(connect({ port, host: "127.0.0.1" }))).toBe("here");
  expect(await readAll(connect({ port: await gatewayTo([dead]), host: "127.0.0.1" }))).toBe("");
});

test("only an IPv4 address with a port is a target", () => {
  expect(parseTarget("198.18.3.10:6443")).toEqual({ host: "198.18.3.10", port: 6443 });
  for (const bad of ["", "web:80", "1.2.3.4", "1.2.3.4:0", "1.2.3.4:70000", "[::1]:80"])
    expect(parseTarget(bad)).toBeUndefined();
});

/** Listens on what it is handed, and says its pid. */
const CHILD = `process.on("message",({port},handle)=>{if(handle)require("net").createServer((c)=>c.end(String(process.pid))).listen(handle,()=>process.send({op:"listening",port}))})`;

test("who connects while no process listens is served by the next one", async () => {
  const sockets = createLoopbackSockets();
  ends.push(() => sockets.close());
  const start = (): ChildProcess => {
    const child = spawn(process.execPath, ["-e", CHILD], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    ends.push(() => child.kill("SIGKILL"));
    sockets.attach(child);
    return child;
  };
  const port = await sockets.choose(0);
  const first = start();
  await sockets.map({ port, targets: ["127.0.0.1:1"] });
  expect(await readAll(connect({ port, host: "127.0.0.1" }))).toBe(String(first.pid));
  first.kill("SIGKILL");
  await once(first, "exit");
  const waiting = readAll(connect({ port, host: "127.0.0.1" }));
  const second = start();
  expect(await waiting).toBe(String(second.pid));
});

test("a port that one cluster has bound, another does not get", async () => {
  const [one, two] = [createLoopbackSockets(), createLoopbackSockets()];
  ends.push(
    () => one.close(),
    () => two.close(),
  );
  const port = await one.choose(0);
  expect(await two.choose(port)).not.toBe(port);
});
