// A port is open exactly as long as its component runs.
import { createServer } from "node:http";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { serveUntilAborted } from "../src/serve-until-aborted.ts";

const anyPort = { host: "127.0.0.1", port: 0 };

/** Serves; says the port, and what becomes of it. */
async function serve(signal: AbortSignal): Promise<{ port: number; ended: Promise<void> }> {
  const { promise: port, resolve } = Promise.withResolvers<number>();
  const ended = serveUntilAborted(createServer(), anyPort, signal, resolve);
  return { port: await port, ended };
}

test("it serves until told to stop, and then cuts off who is still connected", async () => {
  const stop = new AbortController();
  const { port, ended } = await serve(stop.signal);
  const client = connect(port, "127.0.0.1");
  // Cut off between two packets, it may hear of a reset.
  client.on("error", (error) => expect(error).toMatchObject({ code: "ECONNRESET" }));
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  await new Promise<void>((resolve) => client.once("connect", () => resolve()));
  client.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
  stop.abort();
  await ended;
  await closed;
  const refused = new Promise((resolve) => connect(port, "127.0.0.1").once("error", resolve));
  expect(await refused).toMatchObject({ code: "ECONNREFUSED" });
});

test("a port that is taken is an error", async () => {
  const stop = new AbortController();
  const { port, ended } = await serve(stop.signal);
  const second = serveUntilAborted(createServer(), { host: "127.0.0.1", port }, stop.signal);
  await expect(second).rejects.toMatchObject({ code: "EADDRINUSE" });
  stop.abort();
  await ended;
});

test("told to stop before it listens, it ends at once and says no port", async () => {
  const server = createServer();
  const ports: number[] = [];
  await serveUntilAborted(server, anyPort, AbortSignal.abort(), (port) => ports.push(port));
  expect([server.listening, ports]).toEqual([false, []]);
});

test("a server that fails while it listens is an error, not silence", async () => {
  const server = createServer();
  const ended = serveUntilAborted(server, anyPort, new AbortController().signal, () =>
    server.emit("error", new Error("no more descriptors")),
  );
  await expect(ended).rejects.toThrow("no more descriptors");
  expect(server.listening).toBe(false);
});
