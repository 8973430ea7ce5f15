// A gRPC server as every process runs it: TLS where a client certificate is asked for but not required, a user for every call
// except health and reflection, and errors as Statuses. TLS is ours and grpc-js gets the finished connections, because its
// own TLS knows only "no certificate" and "certificate required". close() leaves no socket, session or timer behind.
import { createServer, type Server as TlsServer, type TLSSocket } from "node:tls";
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { Timers } from "@coxswain/env";
import { serviceDefinition } from "@coxswain/protos";
import { StatusError } from "@coxswain/apimachinery";
import type { GrpcService, Logger } from "./contract.ts";
import {
  bearerToken,
  verifiedCertificate,
  type Authenticate,
  type Authorize,
  type Credentials,
} from "./credentials.ts";
import { recordAdmission } from "./grpc-admission.ts";
import { statusToServiceError } from "./grpc-status.ts";
import { listenOn, type ListenTarget } from "./listen.ts";
import { serverTlsOptions, type TlsMaterial } from "./tls-files.ts";

export interface GrpcServerOptions {
  readonly tls: TlsMaterial;
  readonly services: readonly GrpcService[];
  /** Served without authentication: health and reflection. */
  readonly openServices?: readonly GrpcService[];
  readonly authenticate: Authenticate;
  /** Asked with verb "post" and path "/<package.Service>/<Method>"; absent: every user may call everything. */
  readonly authorize?: Authorize;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface GrpcServer {
  /** Resolves with the port (0 for an inherited unix socket). */
  listen(target: ListenTarget): Promise<number>;
  /** Serves later handshakes with new certificates; connections that stand stay. */
  setTls(tls: TlsMaterial): void;
  /** Stops accepting, lets running calls finish for `graceMs`, then cuts what is left. */
  close(graceMs?: number): Promise<void>;
}

const MAX_RECEIVE_BYTES = 4 << 20;
const WINDOW_BYTES = 1 << 20;

type LooseCall = ServerUnaryCall<unknown, unknown> & ServerDuplexStream<unknown, unknown>;
type LooseHandler = (call: LooseCall, callback?: (error: Error) => void) => unknown;

type Admit = (call: LooseCall) => Promise<void>;

/** Lets a handler run only after `admit`; what either throws reaches the client. */
function guard(handler: UntypedHandleCall, admit: Admit): LooseHandler {
  return (call, callback) => {
    const run = async (): Promise<void> => {
      try {
        await admit(call);
        await (handler as LooseHandler)(call, callback);
      } catch (error) {
        const failure = statusToServiceError(error);
        if (callback === undefined) call.emit("error", failure);
        else callback(failure);
      }
    };
    void run();
  };
}

function guardService(item: GrpcService, admit: Admit): UntypedServiceImplementation {
  const out: UntypedServiceImplementation = {};
  for (const [name, method] of Object.entries(serviceDefinition(item.service))) {
    const given = item.implementation[name] ?? item.implementation[method.originalName ?? name];
    if (given === undefined) throw new Error(`${item.service}: no handler for ${name}`);
    out[name] = guard(given, admit) as UntypedHandleCall;
  }
  return out;
}

function impersonationOf(metadata: Metadata): Pick<Credentials, "impersonation"> {
  const asked = Object.keys(metadata.getMap()).filter((name) => name.startsWith("impersonate-"));
  if (asked.length === 0) return {};
  // HTTP/2 joins what is given several times.
  const valuesOf = (name: string): string[] => metadata.get(name).flatMap((value) => String(value).split(/, ?/));
  return { impersonation: asked.flatMap((name) => valuesOf(name).flatMap((value) => [name, value])) };
}

/** Refuses with Unauthorized or Forbidden in upstream's words; else records who calls. */
function admission(options: GrpcServerOptions, connections: ReadonlyMap<string, Buffer | undefined>): Admit {
  return async (call) => {
    const [header] = call.metadata.get("authorization");
    const certificate = connections.get(call.getPeer());
    const token = bearerToken(header?.toString());
    const credentials: Credentials = {
      ...(certificate !== undefined && { certificate }),
      ...(token !== undefined && { bearerToken: token }),
      ...impersonationOf(call.metadata),
    };
    const user = await options.authenticate(credentials);
    if (user === undefined) throw new StatusError("Unauthorized", 401, "Unauthorized");
    if (options.authorize !== undefined) {
      const path = call.getPath();
      const verdict = await options.authorize(user, { verb: "post", path });
      if (!verdict.allowed) {
        const why = verdict.reason ? `: ${verdict.reason}` : "";
        throw new StatusError(
          "Forbidden",
          403,
          `forbidden: User ${JSON.stringify(user.username)} cannot post path ${JSON.stringify(path)}${why}`,
        );
      }
    }
    recordAdmission(call, { credentials, user });
  };
}

function makeServer(options: GrpcServerOptions, connections: ReadonlyMap<string, Buffer | undefined>): Server {
  const server = new Server({
    "grpc.max_receive_message_length": MAX_RECEIVE_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.enable_channelz": 0,
  });
  // grpc-js has no option for a server's receive window, and 64 KiB stalls streams of objects.
  const http2 = server["commonServerOptions"];
  http2.settings = { ...http2.settings, initialWindowSize: WINDOW_BYTES };
  const admit = admission(options, connections);
  for (const item of options.services) {
    server.addService(serviceDefinition(item.service), guardService(item, admit));
  }
  const open: Admit = async (call) => recordAdmission(call, { credentials: {} });
  for (const item of options.openServices ?? []) {
    server.addService(serviceDefinition(item.service), guardService(item, open));
  }
  return server;
}

/** Nothing listens until `listen`. */
export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  const certificates = new Map<string, Buffer | undefined>();
  const sockets = new Set<TLSSocket>();
  const server = makeServer(options, certificates);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const acceptor: TlsServer = createServer({
    ...serverTlsOptions(options.tls),
    ALPNProtocols: ["h2"],
    noDelay: true,
  } as Parameters<typeof createServer>[0]);

  acceptor.on("secureConnection", (socket) => {
    // The same key that grpc-js gives for a call's peer.
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    certificates.set(peer, verifiedCertificate(socket));
    sockets.add(socket);
    socket.on("error", (error) => options.logger.debug({ peer, error: error.message }, "gRPC connection failed"));
    socket.once("close", () => {
      certificates.delete(peer);
      sockets.delete(socket);
    });
    injector.injectConnection(socket);
  });
  acceptor.on("tlsClientError", (error) =>
    options.logger.debug({ error: error.message }, "TLS handshake of a gRPC client failed"),
  );

  return {
    listen: (target) => listenOn(acceptor, target),
    setTls: (tls) => acceptor.setSecureContext(serverTlsOptions(tls)),
    close: async (graceMs = 3_000) => {
      const closed = new Promise<void>((resolve) => {
        acceptor.close(() => resolve());
      });
      const finished = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      const late = options.timers.setTimeout(() => server.forceShutdown(), graceMs);
      const cut = options.timers.setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, graceMs + 200);
      await Promise.all([closed, finished]);
      options.timers.clear(late);
      options.timers.clear(cut);
    },
  };
}
