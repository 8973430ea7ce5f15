// The port before several api-servers: who takes a new connection, whose connections end, and what is tried where none is ready.
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { createApiFront, planFront } from "../src/api-front.ts";
import type { ProcessRecord } from "../src/supervisor.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const record = (main: number, state: ProcessRecord["state"], component = "api-server"): ProcessRecord =>
  ({
    spec: { component, instance: String(main), ports: { main, grpc: 0 } },
    pid: ["backoff", "down", "stopped"].includes(state) ? 0 : 1,
    state,
  }) as ProcessRecord;

describe("the plan", () => {
  test("takes those that are ready, and cuts off those that are frozen", () => {
    const records = [
      record(1, "ready"),
      record(2, "frozen"),
      record(3, "unready"),
      record(4, "ready"),
      record(5, "backoff"),
    ];
    expect(planFront(records)).toEqual({ take: [1, 4], cut: [2] });
  });

  test("with none ready, tries whoever runs and cuts nobody off", () => {
    expect(planFront([record(1, "starting"), record(2, "frozen"), record(3, "down")])).toEqual({
      take: [1, 2],
      cut: [],
    });
    expect(planFront([record(9, "ready", "scheduler")])).toEqual({ take: [], cut: [] });
  });
});

/** A server that says its name to whoever connects, and keeps the connection. */
async function namedServer(name: string): Promise<{ port: number; clients: Set<Socket>; close: () => void }> {
  const clients = new Set<Socket>();
  const server = createServer((socket) => {
    clients.add(socket);
    socket.on("error", () => undefined).write(name);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    server.close();
    for (const client of clients) client.destroy();
  };
  ends.push(close);
  return { port: (server.address() as AddressInfo).port, clients, close };
}

const front = async (): ReturnType<typeof createApiFront> => {
  const made = await createApiFront({ wanted: 0, claims: false });
  ends.push(() => made.close());
  return made;
};

async function dial(port: number): Promise<{ client: Socket; name: string }> {
  const client = connect({ port, host: "127.0.0.1" });
  ends.push(() => client.destroy());
  const [name] = (await Promise.race([once(client, "data"), once(client, "close").then(() => ["closed"])])) as [
    Buffer | string,
  ];
  return { client, name: String(name) };
}

test("connections go to each in its turn, and past one that is gone but not known to be", async () => {
  const [a, b] = [await namedServer("a"), await namedServer("b")];
  const made = await front();
  made.follow([record(a.port, "ready"), record(b.port, "ready")]);
  const names = [await dial(made.port), await dial(made.port), await dial(made.port)].map(({ name }) => name);
  expect(names).toEqual(["a", "b", "a"]);
  b.close();
  expect([(await dial(made.port)).name, (await dial(made.port)).name]).toEqual(["a", "a"]);
});

test("a connection to one that is frozen ends; one to another stays", async () => {
  const [a, b] = [await namedServer("a"), await namedServer("b")];
  const made = await front();
  made.follow([record(a.port, "ready"), record(b.port, "ready")]);
  const [first, second] = [await dial(made.port), await dial(made.port)];
  const ended = once(second.client, "close");
  made.follow([record(a.port, "ready"), record(b.port, "frozen")]);
  await ended;
  for (const each of a.clients) each.write("still here");
  expect(String((await once(first.client, "data"))[0])).toBe("still here");
  expect((await dial(made.port)).name).toBe("a");
});

test("with nobody behind it a connection closes; another port is taken where the wanted one is", async () => {
  const taken = await namedServer("somebody else");
  const made = await createApiFront({ wanted: taken.port, claims: false });
  ends.push(() => made.close());
  expect(made.port).not.toBe(taken.port);
  expect((await dial(made.port)).name).toBe("closed");
});

test("a port that a cluster has bound and not listened on yet is left to it", async () => {
  const { createLoopbackSockets } = await import("../src/gateway/loopback-sockets.ts");
  const sockets = createLoopbackSockets();
  ends.push(() => sockets.close());
  const bound = await sockets.choose(0);
  const made = await createApiFront({ wanted: bound, claims: true });
  ends.push(() => made.close());
  expect(made.port).not.toBe(bound);
});
