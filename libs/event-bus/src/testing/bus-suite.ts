// The contract of EventBus as tests that every implementation runs.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createRealEnv } from "@coxswain/env";
import type { BusMessage, EventBus } from "../contract.ts";

const env = createRealEnv();

export interface BusFixture {
  client(name: string): EventBus;
  /** The server goes away, for all clients. */
  disconnect(): Promise<void>;
  reconnect(): Promise<void>;
  stop(): Promise<void>;
}

/** Waits until `done` holds. */
export async function eventually(done: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  const deadline = env.clock.monotonic() + timeoutMs;
  while (!done()) {
    if (env.clock.monotonic() > deadline) throw new Error(`not in ${timeoutMs} ms: ${what}`);
    await env.timers.sleep(2);
  }
}

export const connected = (bus: EventBus): Promise<void> => eventually(() => bus.connected, "connected");

const text = ({ subject, data }: BusMessage): string => `${subject} ${data.toString()}`;

/** Runs the whole contract against what `start` makes. */
export function busSuite(name: string, start: () => Promise<BusFixture>): void {
  describe(name, () => {
    let fixture: BusFixture;
    let clients: EventBus[] = [];
    const client = async (name: string): Promise<EventBus> => {
      const bus = fixture.client(name);
      clients.push(bus);
      await connected(bus);
      return bus;
    };
    beforeAll(async () => {
      fixture = await start();
    }, 30_000);
    afterEach(async () => {
      await Promise.all(clients.map((bus) => bus.close()));
      clients = [];
    });
    afterAll(() => fixture.stop());

    test("carries subject, headers and bytes, in order, to every subscriber", async () => {
      const from = await client("from");
      const to = await Promise.all([client("a"), client("b")]);
      const heard = to.map((bus) => {
        const messages: BusMessage[] = [];
        bus.subscribe("kube.core.pods.>", (message) => void messages.push(message));
        return messages;
      });
      await Promise.all(to.map((bus) => bus.flush()));
      for (let n = 0; n < 500; n++) {
        from.publish("kube.core.pods.default", { v: String(n) }, Buffer.from([n & 255, 0, 255]));
      }
      await from.flush();
      for (const messages of heard) {
        await eventually(() => messages.length === 500, "500 messages");
        expect(messages.map(({ headers }) => headers["v"])).toEqual(Array.from({ length: 500 }, (_, n) => String(n)));
        expect(messages[7]).toEqual({
          subject: "kube.core.pods.default",
          headers: { v: "7" },
          data: Buffer.from([7, 0, 255]),
        });
      }
    });

    test("matches wildcards as NATS does", async () => {
      const bus = await client("one");
      const heard: Record<string, string[]> = {};
      for (const pattern of ["a.b", "a.*", "a.>", "a.*.c", "*.b.>", ">"]) {
        heard[pattern] = [];
        bus.subscribe(pattern, ({ subject }) => void heard[pattern]!.push(subject));
      }
      await bus.flush();
      for (const subject of ["a", "a.b", "a.b.c", "b.b.c.d", "a.x"]) bus.publish(subject, {}, Buffer.alloc(0));
      await bus.flush();
      await eventually(() => heard[">"]!.length === 5, "all five");
      expect(heard).toEqual({
        "a.b": ["a.b"],
        "a.*": ["a.b", "a.x"],
        "a.>": ["a.b", "a.b.c", "a.x"],
        "a.*.c": ["a.b.c"],
        "*.b.>": ["a.b.c", "b.b.c.d"],
        ">": ["a", "a.b", "a.b.c", "b.b.c.d", "a.x"],
      });
      expect(() => bus.publish("a.*", {}, Buffer.alloc(0))).toThrow("not a subject");
    });

    test("after unsubscribe nothing more is heard", async () => {
      const bus = await client("one");
      const heard: string[] = [];
      const all: string[] = [];
      const subscription = bus.subscribe("a", (message) => void heard.push(text(message)));
      bus.subscribe("a", (message) => void all.push(text(message)));
      await bus.flush();
      bus.publish("a", {}, Buffer.from("1"));
      await eventually(() => all.length === 1, "the first");
      subscription.unsubscribe();
      bus.publish("a", {}, Buffer.from("2"));
      await eventually(() => all.length === 2, "the second");
      expect(heard).toEqual(["a 1"]);
    });

    test("drops while disconnected, tells of it, and subscriptions are there again afterwards", async () => {
      const [from, to] = [await client("from"), await client("to")];
      const heard: string[] = [];
      const states: boolean[] = [];
      to.subscribe("a", (message) => void heard.push(text(message)));
      to.onConnection((up) => void states.push(up));
      await fixture.disconnect();
      await eventually(() => !from.connected && !to.connected, "disconnected");
      from.publish("a", {}, Buffer.from("lost"));
      await expect(from.flush()).rejects.toThrow("not connected");
      await fixture.reconnect();
      await Promise.all([connected(from), connected(to)]);
      await to.flush();
      from.publish("a", {}, Buffer.from("found"));
      await eventually(() => heard.length > 0, "a message after the reconnect");
      expect(heard).toEqual(["a found"]);
      expect(states).toEqual([false, true]);
    });
  });
}
