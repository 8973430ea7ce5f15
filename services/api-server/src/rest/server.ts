// The HTTPS server. Guarantees: a client certificate is asked for and never required; a peer that sends rubbish, or nothing,
// costs a socket for a limited time; close() lets running requests finish for a while and then cuts what is left.
// HTTP/1.1 only: measured, HTTP/2 gives JSON no speed, and one connection a watch makes backpressure simple.
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import type { Duplex } from "node:stream";
import { STATUS_CODES } from "node:http";
import { listenOn, type ListenTarget } from "@coxswain/component-base/listen";
import { serverTlsOptions } from "@coxswain/component-base/tls-files";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import type { AuditRecord } from "../audit/auditor.ts";
import { resourceNotFound } from "../pipeline/not-served.ts";
import { misplaced } from "../pipeline/scope.ts";
import type { RestDeps } from "./deps.ts";
import {
  admitConnection,
  attributesOf,
  authorize,
  authorizePath,
  createRestHandler,
  isLongRunning,
  remoteOf,
} from "./handler.ts";
import { serveInTurn } from "./pipelined.ts";
import { parseRequest } from "./request-info.ts";
import { upgradeKind } from "./streams/upgrade.ts";
import { serveWatchSocket } from "./watch-socket.ts";
import { toStatusError } from "./respond.ts";

export interface RestServer {
  /** Resolves with the port (0 for an inherited unix socket). */
  listen(target: ListenTarget): Promise<number>;
  setTls(tls: TlsMaterial): void;
  /** Ends watches at once, other requests after `graceMs` at the latest. */
  close(graceMs?: number): Promise<void>;
}

function refuseUpgrade(socket: Duplex, error: unknown): void {
  const status = toStatusError(error);
  const body = JSON.stringify(status.toStatus());
  socket.end(
    `HTTP/1.1 ${status.code} ${STATUS_CODES[status.code] ?? "Error"}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** URL and headers of a request, as upstream bounds them. */
const MAX_HEADER_BYTES = 1 << 20;

/** Nothing listens until `listen`. */
export function createRestServer(deps: RestDeps, tls: TlsMaterial): RestServer {
  const stop = new AbortController();
  const handler = createRestHandler(deps, stop.signal);
  const server = createServer(
    {
      ...serverTlsOptions(tls),
      ALPNProtocols: ["http/1.1"],
      noDelay: true,
      keepAliveTimeout: 120_000,
      headersTimeout: 30_000,
      requestTimeout: 60_000,
      maxHeaderSize: MAX_HEADER_BYTES,
    },
    (request, response) => {
      serveInTurn(request, response, () => void handler.handle(request, response));
    },
  );
  const upgraded = new Set<Duplex>();

  const upgrade = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const controller = new AbortController();
    upgraded.add(socket);
    socket.on("error", (error) => deps.logger.debug({ error: error.message }, "upgraded connection failed"));
    socket.once("close", () => {
      upgraded.delete(socket);
      controller.abort();
    });
    let audit: AuditRecord | undefined;
    let starting = (_code: number): Promise<void> | undefined => undefined;
    socket.once("close", () => void audit?.complete(101));
    try {
      const info = parseRequest(request.method ?? "GET", request.url ?? "/");
      const { user, ...admitted } = await handler.admit(request, info);
      audit = admitted.audit;
      if (isLongRunning(info)) starting = (code) => audit?.started(code);
      const call = { request, socket, head, user, audit, starting, signal: controller.signal };
      const remote = remoteOf(deps, info);
      if (remote !== undefined) {
        if (info.type === "path") await authorizePath(deps, user, info, audit, call);
        else await authorize(deps, attributesOf(user, info), audit, call);
        await deps.aggregated?.upgrade(...remote, call);
        return;
      }
      if (info.type === "resource" && info.verb === "watch" && upgradeKind(call) === "websocket") {
        await serveWatchSocket(deps, info, call);
        return;
      }
      if (info.type === "path" || deps.connect?.handles(info) !== true) throw resourceNotFound();
      const kind = deps.kindFor(info.group, info.version, info.resource);
      const wrongPlace = kind === undefined ? resourceNotFound() : misplaced(kind, info);
      if (wrongPlace !== undefined) {
        await authorize(deps, attributesOf(user, info), audit, call);
        throw wrongPlace;
      }
      await admitConnection(deps, info, call);
      await deps.connect.upgrade(info, call);
    } catch (error) {
      const status = toStatusError(error);
      await starting(status.code);
      await audit?.complete(status.code, status.toStatus());
      refuseUpgrade(socket, error);
    }
  };
  server.on("upgrade", (request, socket, head) => {
    void upgrade(request, socket, head);
  });
  server.on("clientError", (error, socket) => {
    deps.logger.debug({ error: error.message }, "malformed request");
    const tooLarge = (error as NodeJS.ErrnoException).code === "HPE_HEADER_OVERFLOW";
    const status = tooLarge ? "431 Request Header Fields Too Large" : "400 Bad Request";
    if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
    else socket.destroy();
  });
  server.on("tlsClientError", (error) => deps.logger.debug({ error: error.message }, "TLS handshake failed"));

  return {
    listen: (target) => listenOn(server, target),
    setTls: (next) => server.setSecureContext(serverTlsOptions(next)),
    async close(graceMs = 5_000) {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      handler.drain();
      server.closeIdleConnections();
      const cut = deps.env.timers.setTimeout(() => {
        server.closeAllConnections();
        for (const socket of upgraded) socket.destroy();
      }, graceMs);
      for (const socket of upgraded) socket.end();
      await closed;
      deps.env.timers.clear(cut);
      stop.abort();
    },
  };
}
