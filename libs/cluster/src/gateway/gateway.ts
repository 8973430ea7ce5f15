// The gateway: the one door from 127.0.0.1 of the machine into a cluster. It lives inside the cluster, listens on sockets that
// the supervisor has bound outside, and forwards to addresses of the fabric. What it cannot carry, it closes; it never ends.
import { createServer, type Server, type Socket } from "node:net";
import type { BaseDeps, ComponentApp } from "@coxswain/component-base";
import { forward, parseTarget, type Target } from "./forward.ts";
import type { FromGateway, ToGateway } from "./messages.ts";

/** The channel to the supervisor. A handle is a bound socket, as Node's IPC hands it over. */
export interface GatewayChannel {
  onMessage(take: (message: ToGateway, handle: unknown) => void): void;
  send(message: FromGateway): void;
}

export interface GatewayDeps extends BaseDeps {
  readonly channel: GatewayChannel;
}

interface Door {
  readonly server: Server;
  readonly targets: readonly Target[];
  readonly clients: Set<Socket>;
  turn: number;
}

/** Starts listening as soon as the channel says on what. */
export function createGateway({ channel, logger, metrics }: GatewayDeps): ComponentApp {
  const doors = new Map<number, Door>();
  const connections = metrics.counter("gateway_connections_total", "Connections taken from 127.0.0.1", ["port"]);

  const take = (door: Door, port: number, client: Socket): void => {
    connections.inc({ port: String(port) });
    door.clients.add(client);
    client.once("close", () => door.clients.delete(client));
    client.on("error", (error) => logger.debug({ port, err: error }, "client broke off"));
    const first = door.turn++ % door.targets.length;
    forward(client, [...door.targets.slice(first), ...door.targets.slice(0, first)], logger);
  };

  const open = (port: number, texts: readonly string[], handle: unknown): void => {
    const targets = texts.map(parseTarget).filter((target) => target !== undefined);
    if (targets.length === 0 || targets.length < texts.length) {
      return channel.send({ op: "failed", port, error: `no addresses: ${texts.join(", ")}` });
    }
    close(port);
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const door: Door = { server, targets, clients: new Set(), turn: 0 };
    server.on("connection", (client) => take(door, port, client));
    server.on("error", (error) => {
      doors.delete(port);
      channel.send({ op: "failed", port, error: error.message });
    });
    doors.set(port, door);
    server.listen(handle, () => channel.send({ op: "listening", port }));
  };

  const close = (port: number): void => {
    const door = doors.get(port);
    if (door === undefined) return;
    doors.delete(port);
    door.server.close();
    for (const client of door.clients) client.destroy();
  };

  channel.onMessage((message, handle) => {
    if (message.op === "map") open(message.port, message.targets, handle);
    else close(message.port);
  });
  return {
    grpcServices: [],
    checks: {},
    facts: () => ({ ports: String(doors.size) }),
    run: async (signal) => {
      if (!signal.aborted)
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      for (const port of doors.keys()) close(port);
    },
  };
}
