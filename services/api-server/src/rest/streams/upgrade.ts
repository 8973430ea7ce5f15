// How a client and the server agree on a protocol for a stream: a WebSocket by its subprotocols, SPDY by the headers of the
// upgrade. Guarantee: nothing is written to the socket before the protocol is agreed on.
import type { Duplex } from "node:stream";
import { newBadRequest, StatusError } from "@coxswain/apimachinery";
import { WebSocketServer } from "ws";
import type { WebSocket } from "ws";
import type { UpgradeCall } from "../deps.ts";

const MAX_FRAME_BYTES = 32 * 1024 * 1024;
/** Of a closing frame: RFC 6455, sections 7.4.1 and 5.5. */
const INTERNAL_ERROR = 1011;
const MAX_REASON_BYTES = 123;

/** What a closing frame can hold of an error's message. */
function closeReason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  // No part of a character at the end.
  return Buffer.from(message)
    .subarray(0, MAX_REASON_BYTES)
    .toString()
    .replace(/\uFFFD$/, "");
}

function offeredBy(header: string | string[] | undefined): string[] {
  const text = Array.isArray(header) ? header.join(",") : (header ?? "");
  return text
    .split(",")
    .map((protocol) => protocol.trim())
    .filter((protocol) => protocol !== "");
}

/** Throws BadRequest where the client asks for neither. */
export function upgradeKind({ request }: UpgradeCall): "websocket" | "spdy" {
  const asked = (request.headers.upgrade ?? "").toLowerCase();
  if (asked === "websocket") return "websocket";
  if (asked === "spdy/3.1") return "spdy";
  throw newBadRequest(`unable to upgrade: ${asked} is neither websocket nor SPDY/3.1`);
}

export interface SocketUpgrader {
  /** Throws BadRequest where no protocol is common. */
  check(call: UpgradeCall): void;
  /**
   * Resolves after the handshake; rejects with BadRequest where no protocol is common, before anything is sent. Where `serve`
   * rejects, the client is told in the closing frame.
   */
  accept(call: UpgradeCall, serve: (socket: WebSocket) => void | Promise<void>): Promise<void>;
  close(): void;
}

/** WebSockets that speak one of `protocols`, the best one first; "" among them: or none, where the client names none. */
export function createSocketUpgrader(protocols: readonly string[]): SocketUpgrader {
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_FRAME_BYTES,
    handleProtocols: (offered) => protocols.find((protocol) => offered.has(protocol)) ?? false,
  });
  const check = ({ request }: UpgradeCall): void => {
    const offered = offeredBy(request.headers["sec-websocket-protocol"]);
    const bare = offered.length === 0 && protocols.includes("");
    if (bare || protocols.some((protocol) => offered.includes(protocol))) return;
    throw newBadRequest(`unable to upgrade: unsupported subprotocols [${offered.join(" ")}]`);
  };
  return {
    check,
    async accept(call, serve) {
      check(call);
      await call.starting(101);
      server.handleUpgrade(call.request, call.socket, call.head, (socket) => {
        const fail = (error: unknown): void => socket.close(INTERNAL_ERROR, closeReason(error));
        void (async () => serve(socket))().catch(fail);
      });
    },
    close: () => server.close(),
  };
}

/** Upgrades to SPDY/3.1 with one of `protocols` for its streams; rejects with Forbidden where none is common. */
export async function acceptSpdy(call: UpgradeCall, protocols: readonly string[]): Promise<Duplex> {
  const { request, socket, head } = call;
  const offered = offeredBy(request.headers["x-stream-protocol-version"]);
  const chosen = protocols.find((protocol) => offered.includes(protocol));
  if (chosen === undefined) {
    const lists = `client supports [${offered.join(" ")}], server accepts [${protocols.join(" ")}]`;
    throw new StatusError("Forbidden", 403, `unable to upgrade: unable to negotiate protocol: ${lists}`);
  }
  await call.starting(101);
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" +
      `X-Stream-Protocol-Version: ${chosen}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
  return socket;
}
