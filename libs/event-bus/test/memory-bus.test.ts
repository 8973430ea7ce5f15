// The memory bus keeps the contract, and loses what it is told to lose.
import { expect, test } from "vitest";
import { createRealEnv, VirtualEnv } from "@coxswain/env";
import { createMemoryBus, MemoryBusHub } from "@coxswain/event-bus";
import { busSuite } from "../src/testing/bus-suite.ts";

busSuite("memory bus", async () => {
  const env = createRealEnv();
  const hub = await Promise.resolve(new MemoryBusHub({ env }));
  return {
    client: (name) => createMemoryBus({ env, hub, name }),
    disconnect: () => Promise.resolve(hub.disconnect()),
    reconnect: () => Promise.resolve(hub.reconnect()),
    stop: () => Promise.resolve(),
  };
});

test("loses the next messages of a pattern, to one client", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const hub = new MemoryBusHub({ env });
  const heard: string[] = [];
  const [from, one, two] = ["from", "one", "two"].map((name) => hub.client(name));
  for (const bus of [one!, two!]) bus.subscribe("a.>", ({ subject }) => void heard.push(`${bus.name} ${subject}`));
  hub.loseNext(2, "a.*", "one");
  for (const subject of ["a.1", "a.2", "a.3"]) from!.publish(subject, {}, Buffer.alloc(0));
  await env.advance(1);
  expect(heard).toEqual(["two a.1", "two a.2", "one a.3", "two a.3"]);
  expect(hub.lost).toBe(2);
});
