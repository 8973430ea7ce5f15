// Requests that a client sends on one connection before it has the answer to the one before (RFC 9112, 9.3.2). Guarantees:
// they are served one after another, each when its answer has the connection; what still waits when the connection goes is
// never begun, so nothing of it is left: no write, no watch, no seat.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** How many requests may wait on a connection; one that sends more is cut off, as they are held in memory. */
export const MAX_WAITING = 100;

const waiting = new WeakMap<Socket, number>();

/** Calls `serve` when the turn of `response` comes: at once, unless another answer has the connection. */
export function serveInTurn({ socket }: IncomingMessage, response: ServerResponse, serve: () => void): void {
  if (response.socket !== null) {
    serve();
    return;
  }
  const before = waiting.get(socket) ?? 0;
  if (before === MAX_WAITING) {
    socket.destroy();
    return;
  }
  waiting.set(socket, before + 1);
  response.once("socket", () => {
    waiting.set(socket, waiting.get(socket)! - 1);
    if (!socket.destroyed) serve();
  });
}
