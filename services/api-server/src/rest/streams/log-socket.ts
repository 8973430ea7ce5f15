// The lines of a log over a WebSocket: a message for each piece, as bytes or as base64 text. Guarantees: what is wrong with the
// request is told before the handshake; a reader that is slow slows the kubelet; the end of the log closes the socket.
import type { WebSocket } from "ws";
import type { UpgradeCall } from "../deps.ts";
import type { LogSink } from "../pod-logs.ts";
import type { SocketUpgrader } from "./upgrade.ts";

const BASE64_PROTOCOL = "base64.binary.k8s.io";
/** Bytes are what a client gets that names no protocol. */
export const LOG_PROTOCOLS = ["binary.k8s.io", BASE64_PROTOCOL, ""] as const;

const LIMIT_BYTES = 1024 * 1024;
const CLOSE_NORMAL = 1000;

/** A sink whose `open` shakes hands: the caller has checked that a protocol is common. `gone` hears of a client that goes. */
export function logsOverSocket(call: UpgradeCall, sockets: SocketUpgrader, gone: () => void): LogSink {
  let socket: WebSocket | undefined;
  let drained = (): void => {};
  const send = (data: Buffer): boolean => {
    if (socket === undefined) throw new Error("a log is written to a socket that was never opened");
    const text = socket.protocol === BASE64_PROTOCOL;
    socket.send(text ? data.toString("base64") : data, { binary: !text }, () => drained());
    return socket.bufferedAmount < LIMIT_BYTES;
  };
  return {
    open: async () => {
      if (socket !== undefined) return;
      await sockets.accept(call, (accepted) => {
        socket = accepted;
        accepted.once("close", gone);
        // It closes as well, which is what counts.
        accepted.on("error", () => undefined);
        // Tells the client that the stream is there.
        send(Buffer.alloc(0));
      });
    },
    write: send,
    onDrain: (resume) => {
      drained = resume;
    },
    ending: async () => {},
    end: (done) => {
      if (done !== undefined) socket?.once("close", () => done());
      socket?.close(CLOSE_NORMAL);
    },
  };
}
