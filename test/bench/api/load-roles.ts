// The program of a load process: it takes its role as the first message, then answers questions. Roles:
// - bare-server: what node:http alone can do: ready bytes by path, and the same line to everybody who watches;
// - rest-watchers, grpc-watchers, nats-listeners: many who hear the changes of one resource, and count them.
import { createServer, type ServerResponse } from "node:http";
import { connect as connectTcp, type AddressInfo, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Client } from "@grpc/grpc-js";
import { silentLogger } from "@coxswain/component-base";
import { API_SERVER_NAME, channelOptions, createCredentials } from "@coxswain/component-base/grpc-channel";
import { createRealEnv } from "@coxswain/env";
import { createNatsBus, decodeChanges } from "@coxswain/event-bus";
import { serviceDefinition, type ServiceTypes } from "@coxswain/protos";

interface Tls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export type LoadRole =
  | { readonly role: "bare-server" }
  | {
      readonly role: "rest-watchers";
      readonly port: number;
      readonly path: string;
      readonly count: number;
      /** Events that each hears first and that do not count. */
      readonly initial: number;
      readonly tls?: Tls;
    }
  | {
      readonly role: "grpc-watchers";
      readonly address: string;
      readonly namespace: string;
      readonly count: number;
      /** Events that each hears first and that do not count. */
      readonly initial: number;
      readonly tls: Tls;
    }
  | {
      readonly role: "nats-listeners";
      readonly server: string;
      readonly pattern: string;
      readonly count: number;
      readonly tls: Tls;
    };

type Answer = (question: string, argument: unknown) => unknown;
type Watch = ServiceTypes["coxswain.api.v1.Resources"]["watch"];

const env = createRealEnv();
/** Connections that are opened at once. */
const OPENING = 50;

/** Counts what comes in, and tells how long it took from the first to the last. */
class Counter {
  #count = 0;
  #firstMs = 0;
  #lastMs = 0;
  #wanted = 0;
  #done: ((ms: number) => void) | undefined;

  add(count: number): void {
    if (count === 0) return;
    this.#lastMs = env.clock.monotonic();
    if (this.#count === 0) this.#firstMs = this.#lastMs;
    this.#count += count;
    this.#check();
  }

  /** Resolves with the milliseconds between the first and the last of `wanted`; begins anew then. */
  await(wanted: number): Promise<number> {
    this.#wanted = wanted;
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#check();
    });
  }

  #check(): void {
    if (this.#done === undefined || this.#count < this.#wanted) return;
    this.#done(this.#lastMs - this.#firstMs);
    this.#done = undefined;
    this.#count = 0;
  }
}

/** Opens `count` of something, some at a time. */
async function openAll(count: number, open: (at: number) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) await open(next++);
  };
  await Promise.all(Array.from({ length: OPENING }, work));
}

/** Resolves once the line is handed over to every watcher, `count` times, as fast as they take it. */
async function push(watchers: ReadonlySet<ServerResponse>, line: Buffer, count: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    const full = [...watchers].filter((response) => !response.write(line));
    await Promise.all(full.map((response) => new Promise((resolve) => response.once("drain", resolve))));
  }
}

async function bareServer(): Promise<Answer> {
  const bodies = new Map<string, Buffer>();
  const watchers = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    const body = bodies.get(request.url ?? "");
    if (body !== undefined) {
      response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
      response.end(body);
      return;
    }
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    watchers.add(response);
    response.once("close", () => watchers.delete(response));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return (question, argument) => {
    if (question === "port") return (server.address() as AddressInfo).port;
    if (question === "pid") return process.pid;
    if (question === "push") {
      const { line, count } = argument as { line: string; count: number };
      return push(watchers, Buffer.from(line), count);
    }
    const { path, body } = argument as { path: string; body: string };
    bodies.set(path, Buffer.from(body));
    return null;
  };
}

/** Ends of lines that are not those of a chunk of HTTP. */
function linesIn(chunk: Buffer, before: number): number {
  let lines = 0;
  for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) {
    if ((at === 0 ? before : chunk[at - 1]) !== 13) lines++;
  }
  return lines;
}

async function restWatchers(role: LoadRole & { role: "rest-watchers" }): Promise<Answer> {
  const counter = new Counter();
  const { port, tls, path, initial } = role;
  await openAll(
    role.count,
    () =>
      new Promise((resolve, reject) => {
        const target = { host: "127.0.0.1", port };
        const socket: Socket = tls === undefined ? connectTcp(target) : connectTls({ ...target, ...tls });
        let [before, missing] = [0, initial];
        socket.on("data", (chunk: Buffer) => {
          const lines = linesIn(chunk, before);
          before = chunk.at(-1) ?? before;
          counter.add(lines - Math.min(missing, lines));
          missing -= Math.min(missing, lines);
          if (missing === 0) resolve();
        });
        socket.on("error", reject);
        socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: application/json\r\n\r\n`);
      }),
  );
  return (_, wanted) => counter.await(Number(wanted));
}

async function grpcWatchers(role: LoadRole & { role: "grpc-watchers" }): Promise<Answer> {
  const counter = new Counter();
  const { address, namespace, initial, tls } = role;
  const method = Object.values(serviceDefinition("coxswain.api.v1.Resources")).find(
    ({ originalName }) => originalName === "watch",
  )!;
  const target = { addresses: [address], serverName: API_SERVER_NAME, tls };
  // Each listener is a process of its own in a cluster, so each has a connection, as listeners by NATS do: channels to the same
  // place share one otherwise.
  const options = { ...channelOptions(target), "grpc.use_local_subchannel_pool": 1 };
  const request: Watch["requestInput"] = {
    target: { group: "", version: "v1", resource: "pods", namespace },
  };
  await openAll(
    role.count,
    () =>
      new Promise((resolve, reject) => {
        const client = new Client(address, createCredentials(tls), options);
        const call = client.makeServerStreamRequest<Watch["requestInput"], Watch["response"]>(
          method.path,
          method.requestSerialize,
          method.responseDeserialize as (bytes: Buffer) => Watch["response"],
          request,
        );
        let missing = initial;
        call.on("data", ({ events }: Watch["response"]) => {
          counter.add(events.length - Math.min(missing, events.length));
          missing -= Math.min(missing, events.length);
          if (missing === 0) resolve();
        });
        call.on("error", reject);
      }),
  );
  return (_, wanted) => counter.await(Number(wanted));
}

async function natsListeners(role: LoadRole & { role: "nats-listeners" }): Promise<Answer> {
  const counter = new Counter();
  await openAll(
    role.count,
    (at) =>
      new Promise((resolve) => {
        const bus = createNatsBus({
          env,
          logger: silentLogger,
          servers: [role.server],
          tls: role.tls,
          name: `bench-${at}`,
        });
        bus.onConnection((connected) => {
          if (connected) resolve();
        });
        bus.subscribe(role.pattern, (message) => {
          counter.add(decodeChanges(message).filter(({ header }) => header.type !== "BOOKMARK").length);
        });
      }),
  );
  return (_, wanted) => counter.await(Number(wanted));
}

function play(role: LoadRole): Promise<Answer> {
  if (role.role === "bare-server") return bareServer();
  if (role.role === "rest-watchers") return restWatchers(role);
  return role.role === "grpc-watchers" ? grpcWatchers(role) : natsListeners(role);
}

if (import.meta.main) {
  const send = (message: object): void => void process.send?.(message);
  const fail = (error: unknown): void =>
    send({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  const begin = async (role: LoadRole): Promise<void> => {
    const answer = await play(role);
    process.on("message", ({ question, argument }: { question: string; argument: unknown }) => {
      void (async () => send({ value: (await answer(question, argument)) ?? null }))().catch(fail);
    });
    send({ value: null });
  };
  process.once("message", (role: LoadRole) => {
    begin(role).catch(fail);
  });
}
