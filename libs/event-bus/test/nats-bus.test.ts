// The bus on a real nats-server keeps the contract and starts without one.
import { expect, test } from "vitest";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { createNatsBus } from "@coxswain/event-bus";
import { busSuite, connected } from "../src/testing/bus-suite.ts";
import { startNats } from "../src/testing/nats-server.ts";

const env = createRealEnv();

busSuite("nats bus", async () => {
  const nats = await startNats();
  return {
    client: (name) => createNatsBus({ env, logger: silentLogger, servers: [nats.server], name }),
    disconnect: () => nats.kill(),
    reconnect: () => nats.restart(),
    stop: () => nats.stop(),
  };
});

test("starts while NATS is down, and joins when it comes up", async () => {
  const nats = await startNats();
  await nats.kill();
  const bus = createNatsBus({ env, logger: silentLogger, servers: [nats.server], name: "early" });
  const heard: string[] = [];
  bus.subscribe("a", ({ data }) => void heard.push(data.toString()));
  bus.publish("a", {}, Buffer.from("dropped"));
  expect(bus.connected).toBe(false);
  await nats.restart();
  await connected(bus);
  bus.publish("a", {}, Buffer.from("carried"));
  await bus.flush();
  expect(heard).toEqual(["carried"]);
  await nats.kill();
  await bus.close();
  await nats.stop();
});

test("closes though the server left a moment before and the bus has not heard of it", async () => {
  const nats = await startNats();
  for (let round = 0; round < 5; round += 1) {
    const bus = createNatsBus({ env, logger: silentLogger, servers: [nats.server], name: "late" });
    await connected(bus);
    bus.subscribe("a", () => undefined);
    bus.publish("a", {}, Buffer.from("queued"));
    const killed = nats.kill();
    await bus.close();
    await killed;
    await nats.restart();
  }
  await nats.stop();
});
