// Hands queries on to one upstream server, over the transport they came by. Off unless an upstream is given.
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import type { Timers } from "@coxswain/env";
import type { Transport } from "./responder.ts";

/** The upstream's response; undefined where there was none in time. Never rejects. */
export type Forwarder = (query: Buffer, transport: Transport) => Promise<Buffer | undefined>;

export interface Upstream {
  readonly host: string;
  readonly port: number;
}

/** "10.0.0.2", "10.0.0.2:5353" or "[::1]:53". Throws Error where the text is no address. */
export function parseUpstream(text: string): Upstream {
  const match = /^(?:\[(?<six>[0-9a-fA-F:.]+)\]|(?<four>[0-9.]+))(?::(?<port>\d{1,5}))?$/.exec(text);
  const host = match?.groups?.["six"] ?? match?.groups?.["four"];
  const port = Number(match?.groups?.["port"] ?? 53);
  if (host === undefined || port < 1 || port > 65_535)
    throw new Error(`${JSON.stringify(text)} must be an IP address with an optional port`);
  return { host, port };
}

export function createForwarder(upstream: Upstream, timers: Timers, timeoutMs = 3_000): Forwarder {
  return (query, transport) =>
    transport === "udp"
      ? overUdp(upstream, query, timers.timeoutSignal(timeoutMs))
      : overTcp(upstream, query, timers.timeoutSignal(timeoutMs));
}

function overUdp(upstream: Upstream, query: Buffer, signal: AbortSignal): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(upstream.host) ? "udp6" : "udp4");
    const end = (response: Buffer | undefined): void => {
      signal.removeEventListener("abort", late);
      socket.close();
      resolve(response);
    };
    const late = (): void => end(undefined);
    signal.addEventListener("abort", late, { once: true });
    socket.once("error", late);
    socket.connect(upstream.port, upstream.host, () => socket.send(query));
    // Connected, the socket hears the upstream alone; another answer than to this query is still not one.
    socket.on("message", (response) => {
      if (response.length >= 12 && response.readUInt16BE(0) === query.readUInt16BE(0)) end(response);
    });
  });
}

function overTcp(upstream: Upstream, query: Buffer, signal: AbortSignal): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port: upstream.port, host: upstream.host, signal });
    let received = Buffer.alloc(0);
    const end = (response: Buffer | undefined): void => {
      socket.destroy();
      resolve(response);
    };
    socket.on("error", () => end(undefined));
    socket.on("close", () => end(undefined));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      const length = received.length < 2 ? Number.POSITIVE_INFINITY : received.readUInt16BE(0);
      if (received.length >= length + 2) end(received.subarray(2, length + 2));
    });
    socket.write(frame(query));
  });
}

/** A message with its length in front, as TCP carries it. */
export function frame(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}
