// The DNS sockets: UDP and TCP on one address and port. A connection may carry many queries; it is ended when it is idle, and
// the oldest go when there are too many.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, isIPv6, type Server, type Socket } from "node:net";
import type { Logger } from "@coxswain/component-base";
import { frame } from "./forwarder.ts";
import type { Responder } from "./responder.ts";

export interface DnsServer {
  readonly port: number;
  close(): Promise<void>;
}

const IDLE_MS = 10_000;
const MOST_CONNECTIONS = 512;
const TRIES_FOR_A_PORT = 20;

/** Listens; port 0 finds a free one. Rejects where the address cannot be had. */
export async function listenDns(address: string, port: number, respond: Responder, logger: Logger): Promise<DnsServer> {
  for (let tries = 1; ; tries++) {
    const tcp = await listenTcp(address, port, respond, logger);
    const taken = (tcp.address() as { port: number }).port;
    try {
      const udp = await listenUdp(address, taken, respond, logger);
      return { port: taken, close: () => closeBoth(tcp, udp) };
    } catch (error) {
      tcp.close();
      // A port that was free for one need not be for the other.
      if (port !== 0 || tries >= TRIES_FOR_A_PORT) throw error;
    }
  }
}

async function closeBoth(tcp: TcpServer, udp: UdpSocket): Promise<void> {
  const closed = [once(tcp, "close"), once(udp, "close")];
  tcp.close();
  tcp.endConnections();
  udp.close();
  await Promise.all(closed);
}

async function listenUdp(address: string, port: number, respond: Responder, logger: Logger): Promise<UdpSocket> {
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  const listening = once(socket, "listening");
  socket.bind({ port, address, exclusive: true });
  await listening;
  let open = true;
  socket.on("close", () => {
    open = false;
  });
  socket.on("error", (error) => logger.warn({ err: error }, "the UDP socket reported an error"));
  const answer = async (query: Buffer, to: { port: number; address: string }): Promise<void> => {
    const response = await respond(query, "udp");
    if (response === undefined || !open) return;
    socket.send(response, to.port, to.address, (error) => {
      if (error !== null) logger.debug({ err: error, client: to.address }, "could not send an answer");
    });
  };
  socket.on("message", (query, from) => void answer(query, from));
  return socket;
}

type TcpServer = Server & { endConnections(): void };

async function listenTcp(address: string, port: number, respond: Responder, logger: Logger): Promise<TcpServer> {
  const connections = new Set<Socket>();
  const server = createServer((socket) => {
    connections.add(socket);
    if (connections.size > MOST_CONNECTIONS) connections.values().next().value?.destroy();
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on("close", () => connections.delete(socket));
    socket.on("error", (error) => logger.debug({ err: error }, "a client's connection broke"));
    serveConnection(socket, respond);
  });
  const listening = once(server, "listening");
  server.listen({ host: address, port });
  await listening;
  server.on("error", (error) => logger.warn({ err: error }, "the TCP socket reported an error"));
  return Object.assign(server, { endConnections: () => connections.forEach((one) => one.destroy()) });
}

/** Answers one query after the other, in the order they came. */
function serveConnection(socket: Socket, respond: Responder): void {
  let received = Buffer.alloc(0);
  let work = Promise.resolve();
  const answer = async (query: Buffer): Promise<void> => {
    const response = await respond(query, "tcp");
    if (response === undefined) socket.destroy();
    else if (socket.writable) socket.write(frame(response));
  };
  socket.on("data", (chunk) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= received.readUInt16BE(0) + 2) {
      const end = received.readUInt16BE(0) + 2;
      const query = received.subarray(2, end);
      received = received.subarray(end);
      work = work.then(() => answer(query));
    }
  });
}
