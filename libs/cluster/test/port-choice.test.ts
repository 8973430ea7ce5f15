// Ports are chosen where no connection of the machine can take them before the process that is to listen there starts.
import { expect, test } from "vitest";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { createPortChooser, createPortWalk, takenPort } from "../src/port-choice.ts";

const takes =
  (taken: ReadonlySet<number>) =>
  (port: number): Promise<number | undefined> =>
    Promise.resolve(taken.has(port) ? undefined : port);

test("a wish is granted once, and else a free port below those of connections", async () => {
  const choose = createPortChooser(takes(new Set([12_062])), createPortWalk(1, 32_768));
  expect(await choose(10_250)).toBe(10_250);
  expect(await choose(10_250)).toBe(12_061);
  expect(await choose(0)).toBe(12_063);
});

test("clusters that start at once begin at other ports, and none leaves the range", () => {
  for (const pid of [1, 2, 999, 31_000, 4_194_303]) {
    const [one, two] = [createPortWalk(pid, 32_768), createPortWalk(pid + 1, 32_768)];
    const [mine, others] = [Array.from({ length: 61 }, one), Array.from({ length: 61 }, two)];
    expect(mine.some((port) => others.includes(port))).toBe(false);
    expect(mine.every((port) => port >= 12_000 && port < 32_768)).toBe(true);
  }
});

test("where the machine gives nearly all ports to connections, any port will do", () => {
  expect(createPortWalk(7, 12_100)()).toBe(0);
});

test("a port is taken while somebody listens there", async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  expect(await takenPort([0, port])).toBe(port);
  server.close();
  await once(server, "close");
  expect(await takenPort([0, port])).toBeUndefined();
});
