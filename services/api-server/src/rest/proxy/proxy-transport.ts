// Carries one request, or one upgraded connection, to an address and back. Guarantees: neither side is read faster than the
// other takes it; a client that goes ends the connection behind the proxy; what cannot be reached is ServiceUnavailable
// before the first byte, and a cut answer is a cut connection.
import { request as httpRequest, STATUS_CODES } from "node:http";
import type { ClientRequest, IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions } from "node:tls";
import { createGunzip, createInflate } from "node:zlib";
import { newServiceUnavailable } from "@coxswain/apimachinery";
import type { StatusError } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import type { Timers } from "@coxswain/env";
import type { RestCall, UpgradeCall } from "../deps.ts";
import { HtmlLinks } from "./html-links.ts";
import { isPage, requestHeaders, responseHeaders, rewriteLocation } from "./proxy-headers.ts";
import type { ProxyPath, Rewriting } from "./proxy-headers.ts";
import type { ProxyLocation } from "./proxy-location.ts";

const DIAL_TIMEOUT_MS = 30_000;

/** Opens a connection; its errors are events. */
export type Dial = (host: string, port: number) => Socket;

export const dialTcp: Dial = (host, port) => connect({ host, port, noDelay: true });

export interface ProxyTarget extends ProxyLocation {
  readonly dial: Dial;
  readonly timers: Timers;
  /** For https: whom to trust, and who the api-server is. */
  readonly tls: ConnectionOptions;
  /** Told to the one behind, who believes the api-server. */
  readonly user?: UserInfo;
}

const hostPort = ({ host, port }: ProxyLocation): string => `${host.includes(":") ? `[${host}]` : host}:${port}`;

/** A new connection, with TLS where the location asks for it. */
export function openSocket(target: Omit<ProxyTarget, "user">): Socket {
  const socket = target.dial(target.host, target.port);
  const late = target.timers.setTimeout(() => socket.destroy(new Error("i/o timeout")), DIAL_TIMEOUT_MS);
  const known = (): void => target.timers.clear(late);
  socket.once("connect", known).once("close", known);
  return target.scheme === "https" ? connectTls({ ...target.tls, socket }) : socket;
}

function openRequest(target: ProxyTarget, incoming: IncomingMessage, path: ProxyPath, upgrade: boolean): ClientRequest {
  return httpRequest({
    method: incoming.method ?? "GET",
    path: (path.rest === "" ? "/" : path.rest) + path.query,
    headers: requestHeaders(incoming, path, upgrade, target.user),
    createConnection: () => openSocket(target),
  });
}

const CALLS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connect: connection refused",
  EHOSTUNREACH: "connect: no route to host",
  ENETUNREACH: "connect: network is unreachable",
  ETIMEDOUT: "connect: connection timed out",
};

/** What failed, in upstream's words. */
export function unreachableReason(target: ProxyLocation, error: unknown): string {
  const { code = "", message } = error as { code?: string; message: string };
  const call = CALLS[code] ?? (message === "i/o timeout" ? message : undefined);
  const closed = code === "ECONNRESET" ? "EOF" : message;
  return call === undefined ? closed : `dial tcp ${hostPort(target)}: ${call}`;
}

function unreachable(target: ProxyTarget, error: unknown): StatusError {
  return newServiceUnavailable(`error trying to reach service: ${unreachableReason(target, error)}`);
}

function rewritingOf(target: ProxyTarget, incoming: IncomingMessage, { prefix }: ProxyPath): Rewriting {
  return { prefix, backend: hostPort(target), requestHost: incoming.headers.host ?? "" };
}

/** The answer's end waits for more than its last byte. */
const UNENDED = { end: false };

async function sendPage(answer: IncomingMessage, rewriting: Rewriting, response: ServerResponse): Promise<void> {
  const links = new HtmlLinks((link) => rewriteLocation(link, rewriting));
  const encoding = answer.headers["content-encoding"];
  if (encoding === "gzip") await pipeline(answer, createGunzip(), links, response, UNENDED);
  else if (encoding === "deflate") await pipeline(answer, createInflate(), links, response, UNENDED);
  else await pipeline(answer, links, response, UNENDED);
}

/** Writes the whole answer. Rejects with StatusError before its first byte. */
export async function forwardRequest(target: ProxyTarget, call: RestCall, path: ProxyPath): Promise<void> {
  const { request, response, signal } = call;
  const outgoing = openRequest(target, request, path, false);
  const stop = (): void => void outgoing.destroy();
  signal.addEventListener("abort", stop, { once: true });
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once("response", resolve).on("error", reject);
      request.pipe(outgoing);
    });
    const rewriting = rewritingOf(target, request, path);
    const page = isPage(request.method, answer);
    const headers = responseHeaders(answer, rewriting, page);
    const code = answer.statusCode ?? 502;
    await call.starting(code);
    response.writeHead(code, answer.statusMessage, headers).flushHeaders();
    if (page) await sendPage(answer, rewriting, response);
    else await pipeline(answer, response, UNENDED);
    await call.ending(code);
    response.end();
    await finished(response);
  } catch (error) {
    if (!response.headersSent && !signal.aborted) throw unreachable(target, error);
    response.destroy();
  } finally {
    signal.removeEventListener("abort", stop);
    outgoing.destroy();
  }
}

function head(answer: IncomingMessage, headers: readonly string[], more: string): string {
  const code = answer.statusCode ?? 502;
  let text = `HTTP/1.1 ${code} ${answer.statusMessage ?? STATUS_CODES[code] ?? ""}\r\n`;
  for (let at = 0; at + 1 < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`;
  return `${text}${more}\r\n`;
}

function join(client: Duplex, backend: Duplex): void {
  for (const [one, other] of [
    [client, backend],
    [backend, client],
  ] as const) {
    one.pipe(other);
    one.on("error", () => other.destroy()).once("close", () => other.destroy());
  }
}

/** Takes over the client's socket once the one behind has answered. Rejects with StatusError before that. */
export async function forwardUpgrade(target: ProxyTarget, call: UpgradeCall, path: ProxyPath): Promise<void> {
  const { request, socket, signal } = call;
  const outgoing = openRequest(target, request, path, true);
  signal.addEventListener("abort", () => void outgoing.destroy(), { once: true });
  const rewriting = rewritingOf(target, request, path);
  const answered = await new Promise<Upgraded | { readonly answer: IncomingMessage }>((resolve, reject) => {
    outgoing.on("error", (error) => reject(unreachable(target, error)));
    outgoing.once("upgrade", (answer, backend, early) => resolve({ answer, backend, early }));
    outgoing.once("response", (answer) => resolve({ answer }));
    outgoing.end();
  });
  const { answer } = answered;
  const headers = responseHeaders(answer, rewriting, false);
  // Who ends early is heard of when it is joined to the client.
  const ignore = (): void => undefined;
  if (!("backend" in answered)) {
    answer.on("error", ignore);
    await call.starting(answer.statusCode ?? 502);
    socket.write(head(answer, headers, "Connection: close\r\n"));
    await pipeline(answer, socket).catch(() => void socket.destroy());
    return;
  }
  const { backend, early } = answered;
  backend.on("error", ignore);
  await call.starting(answer.statusCode ?? 101);
  if (backend.destroyed || socket.destroyed) {
    backend.destroy();
    socket.destroy();
    return;
  }
  const upgrade = `Connection: Upgrade\r\nUpgrade: ${answer.headers.upgrade ?? ""}\r\n`;
  socket.write(head(answer, headers, upgrade));
  if (early.length > 0) backend.unshift(early);
  if (call.head.length > 0) socket.unshift(call.head);
  join(socket, backend);
}

interface Upgraded {
  readonly answer: IncomingMessage;
  readonly backend: Duplex;
  /** What has come with the answer's head. */
  readonly early: Buffer;
}
