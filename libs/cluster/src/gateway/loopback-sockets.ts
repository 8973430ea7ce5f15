// The sockets on 127.0.0.1 of a containerd cluster: bound by the supervisor, which never listens on them, and handed to each
// gateway that it starts. So a gateway may die and its ports stay: who connects meanwhile waits in the kernel's queue.
import net, { createServer, type Server } from "node:net";
import type { ChildProcess } from "node:child_process";
import { createPortChooser, type PortChooser } from "../port-choice.ts";
import type { FromGateway, Mapping, ToGateway } from "./messages.ts";

/** What Node's own cluster module uses to bind without listening; it has no type. */
interface BoundSocket {
  getsockname(out: { port?: number }): number;
  close(): void;
}
type CreateHandle = (address: string, port: number, family: 4) => BoundSocket | number;
const { _createServerHandle: createHandle } = net as unknown as { _createServerHandle: CreateHandle };

const LOOPBACK = "127.0.0.1";

interface Socket {
  readonly handle: BoundSocket;
  /** Two bound sockets may share a port until one listens: this keeps other clusters away meanwhile. */
  readonly claim: Server;
}

export interface LoopbackSockets {
  /** Binds the wanted port, or a free one, and keeps it. */
  readonly choose: PortChooser;
  /** Leads a port that was chosen to `targets`; tells the gateway when there is one. Rejects where that cannot listen. */
  map(mapping: Mapping): Promise<void>;
  /** Closes the port for good. */
  unmap(port: number): void;
  /** Hands all to a gateway that was just started with an IPC channel. */
  attach(gateway: ChildProcess): void;
  close(): void;
}

/** A claim on the port among all clusters of this machine; undefined where another has it. */
export function claimPort(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    // Of the abstract kind: it ends with this process, whatever ends it.
    server.listen(`\0coxswain-port-${port}`, () => resolve(server.unref()));
  });
}

async function bind(wanted: number): Promise<(Socket & { port: number }) | undefined> {
  const handle = createHandle(LOOPBACK, wanted, 4);
  if (typeof handle === "number") return undefined;
  const name: { port?: number } = {};
  // A port that somebody listens on shows only here.
  const claim = handle.getsockname(name) === 0 ? await claimPort(name.port ?? 0) : undefined;
  if (claim !== undefined) return { handle, claim, port: name.port ?? 0 };
  handle.close();
  return undefined;
}

export function createLoopbackSockets(): LoopbackSockets {
  const sockets = new Map<number, Socket>();
  const mappings = new Map<number, Mapping>();
  const waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  let gateway: ChildProcess | undefined;

  const tell = (message: ToGateway, handle?: BoundSocket): void => {
    // A gateway that is just dying hears it when it is started again.
    if (gateway?.connected) gateway.send(message, handle as never, () => {});
  };
  const hear = (message: FromGateway): void => {
    const caller = waiting.get(message.port);
    waiting.delete(message.port);
    if (message.op === "listening") caller?.resolve();
    else caller?.reject(new Error(`127.0.0.1:${message.port}: ${message.error}`));
  };
  const send = (mapping: Mapping): void => tell({ op: "map", ...mapping }, sockets.get(mapping.port)?.handle);
  const unmap = (port: number): void => {
    tell({ op: "unmap", port });
    mappings.delete(port);
    const socket = sockets.get(port);
    socket?.handle.close();
    socket?.claim.close();
    sockets.delete(port);
  };

  return {
    choose: createPortChooser(async (wanted) => {
      const bound = await bind(wanted);
      if (bound !== undefined) sockets.set(bound.port, bound);
      return bound?.port;
    }),
    map: (mapping) =>
      new Promise((resolve, reject) => {
        if (!sockets.has(mapping.port)) throw new Error(`127.0.0.1:${mapping.port} was not chosen`);
        mappings.set(mapping.port, mapping);
        waiting.set(mapping.port, { resolve, reject });
        send(mapping);
      }),
    unmap,
    attach: (child) => {
      gateway = child;
      child.on("message", (message) => hear(message as FromGateway));
      for (const mapping of mappings.values()) send(mapping);
    },
    close: () => {
      for (const port of sockets.keys()) unmap(port);
    },
  };
}
