// The supervisor's control socket: one JSON request and answer a connection, over a unix socket in the data directory
// that only its owner can open.
import { rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { ClusterState, Exposed } from "./state-file.ts";
import type { ChaosAction, ProcessRecord } from "./supervisor.ts";

export type ControlRequest =
  | { readonly op: "status" }
  /** The status, once there are more than `told` lines of progress or the cluster does not start any more; within a second. */
  | { readonly op: "wait"; readonly told: number }
  | { readonly op: "down" }
  | {
      readonly op: "chaos";
      readonly action: ChaosAction;
      readonly component: string;
      readonly instance?: string;
    }
  /** Leads a port of 127.0.0.1 (a free one where 0) to host:port addresses of the cluster. */
  | { readonly op: "expose"; readonly port: number; readonly targets: readonly string[]; readonly label: string }
  | { readonly op: "unexpose"; readonly port: number };

export type ControlAnswer =
  | {
      readonly ok: true;
      readonly state?: ClusterState;
      readonly affected?: readonly ProcessRecord[];
      readonly exposed?: Exposed;
    }
  | { readonly ok: false; readonly error: string };

/** The supervisor refused, and said why. */
export class ControlError extends Error {
  override readonly name = "ControlError";
}

export type ControlHandler = (request: ControlRequest) => Promise<ControlAnswer>;

const MAX_REQUEST_BYTES = 64 * 1024;

/** Serves `handler` on `path`, replacing a socket file that a dead supervisor left behind. */
export function serveControl(path: string, handler: ControlHandler): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    void answer(socket, handler);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => resolve(server));
  });
}

async function answer(socket: Socket, handler: ControlHandler): Promise<void> {
  // A caller that goes away early is its own affair.
  socket.on("error", () => socket.destroy());
  let reply: ControlAnswer;
  try {
    reply = await handler(JSON.parse(await readAll(socket)) as ControlRequest);
  } catch (error) {
    reply = { ok: false, error: error instanceof Error ? error.message : String(error) };
  }
  socket.end(JSON.stringify(reply));
}

async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_REQUEST_BYTES) throw new Error("request too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Asks the supervisor behind `path`; undefined where nobody listens there. Rejects with ControlError where it refuses. */
export function askControl(path: string, request: ControlRequest): Promise<(ControlAnswer & { ok: true }) | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.once("connect", () => socket.end(JSON.stringify(request)));
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (["ENOENT", "ECONNREFUSED", "ECONNRESET", "EPIPE"].includes(error.code ?? "")) resolve(undefined);
      else reject(error);
    });
    socket.once("end", () => {
      const text = Buffer.concat(chunks).toString("utf8");
      if (text === "") return resolve(undefined);
      const reply = JSON.parse(text) as ControlAnswer;
      if (reply.ok) resolve(reply);
      else reject(new ControlError(reply.error));
    });
  });
}
