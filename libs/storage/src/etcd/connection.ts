// Calls to etcd with a bound in time and errors that say what is known.
// - A call that could not be sent: ServiceUnavailable. A read that got no answer: ServiceUnavailable.
// - A write that was sent and got no answer: Timeout, which means unknown.
import {
  Client,
  type ClientDuplexStream,
  connectivityState,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { endOfRevision, StatusError } from "@coxswain/apimachinery";
import type { Env } from "@coxswain/env";
import { CompactedError } from "../contract.ts";

const FLOW_CONTROL_WINDOW_BYTES = 16 * 1024 * 1024;
const RETRY_MS = 50;
const REFUSALS: ReadonlySet<status> = new Set([
  status.INVALID_ARGUMENT,
  status.PERMISSION_DENIED,
  status.UNAUTHENTICATED,
  status.UNIMPLEMENTED,
]);

export interface EtcdTls {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface ConnectionOptions {
  readonly env: Env;
  /** "127.0.0.1:2379", with or without a scheme, or "unix:/path" of a socket. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls;
  /** A call's time from the request to the answer, connecting included. */
  readonly deadlineMs: number;
}

export function unreachable(cause: unknown): StatusError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  const message = `etcd cannot be reached; nothing was written: ${detail}`;
  return new StatusError("ServiceUnavailable", 503, message, {}, { cause });
}

/** What a failed call means. `write` says whether the call may have changed something. */
export function toStatusError(error: ServiceError, write: boolean, askedRevision = 0n): Error {
  const { details } = error;
  const options = { cause: error };
  if (details.includes("has been compacted")) return new CompactedError(endOfRevision(askedRevision));
  if (details.includes("future revision")) {
    return new StatusError("Timeout", 504, `Too large resource version: ${askedRevision}`, {}, options);
  }
  if (details.includes("request is too large") || details.includes("larger than max")) {
    return new StatusError("RequestEntityTooLarge", 413, `Request entity too large: ${details}`, {}, options);
  }
  if (error.code === status.RESOURCE_EXHAUSTED) {
    return new StatusError("ServiceUnavailable", 503, `etcd refused; nothing was written: ${details}`, {}, options);
  }
  if (REFUSALS.has(error.code)) {
    return new StatusError("InternalError", 500, `etcd refused: ${details}`, {}, options);
  }
  const unsent = details.startsWith("No connection established") || details.startsWith("Name resolution failed");
  if (!write || (error.code === status.UNAVAILABLE && unsent)) return unreachable(error);
  const message = `etcd did not answer in time; the write may have landed: ${details}`;
  return new StatusError("Timeout", 504, message, {}, options);
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #clients: Client[];
  #current = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { tls } = options;
    const channel = tls === undefined ? credentials.createInsecure() : credentials.createSsl(tls.ca, tls.key, tls.cert);
    this.#clients = options.endpoints.map(
      (endpoint) =>
        new Client(endpoint.replace(/^https?:\/\//, ""), channel, {
          "grpc-node.flow_control_window": FLOW_CONTROL_WINDOW_BYTES,
          "grpc.max_receive_message_length": -1,
          "grpc.max_send_message_length": -1,
          "grpc.initial_reconnect_backoff_ms": 100,
          "grpc.min_reconnect_backoff_ms": 100,
          "grpc.max_reconnect_backoff_ms": 1000,
          "grpc.keepalive_time_ms": 10_000,
          "grpc.keepalive_timeout_ms": 5_000,
          "grpc.use_local_subchannel_pool": 1,
        }),
    );
    if (this.#clients.length === 0) throw new Error("etcd needs at least one endpoint");
  }

  /** A client whose connection stands; rotates through the endpoints until `deadlineMs` (wall clock) is over. */
  async ready(deadlineMs: number): Promise<Client> {
    const { clock } = this.#options.env;
    let cause: unknown = new Error("timed out");
    do {
      const client = this.#clients[this.#current]!;
      const state = client.getChannel().getConnectivityState(true);
      if (state === connectivityState.READY) return client;
      const share = Math.min(deadlineMs, clock.now() + this.#options.deadlineMs / this.#clients.length);
      try {
        await new Promise<void>((resolve, reject) => {
          client.waitForReady(share, (error) => (error === undefined ? resolve() : reject(error)));
        });
        return client;
      } catch (error) {
        cause = error;
        this.#rotate(client);
      }
    } while (clock.now() < deadlineMs);
    throw unreachable(cause);
  }

  #rotate(from: Client): void {
    if (this.#clients[this.#current] === from) this.#current = (this.#current + 1) % this.#clients.length;
  }

  async #send<Request, Response>(
    client: Client,
    method: MethodDefinition<Request, Response>,
    request: Request,
    deadlineMs: number,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        new Metadata(),
        { deadline: deadlineMs },
        (error, response) => {
          if (error === null) resolve(response!);
          else reject(error);
        },
      );
    });
  }

  /** Sends once. @throws StatusError as this file's head says */
  async write<Request, Response>(method: MethodDefinition<Request, Response>, request: Request): Promise<Response> {
    const deadlineMs = this.#options.env.clock.now() + this.#options.deadlineMs;
    const client = await this.ready(deadlineMs);
    try {
      return await this.#send(client, method, request, deadlineMs);
    } catch (error) {
      if ((error as ServiceError).code === status.UNAVAILABLE) this.#rotate(client);
      throw toStatusError(error as ServiceError, true);
    }
  }

  /** Sends again while etcd is unavailable and time is left. @throws StatusError, CompactedError */
  async read<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    askedRevision?: bigint,
  ): Promise<Response> {
    const { clock, timers } = this.#options.env;
    const deadlineMs = clock.now() + this.#options.deadlineMs;
    for (;;) {
      const client = await this.ready(deadlineMs);
      try {
        return await this.#send(client, method, request, deadlineMs);
      } catch (error) {
        const failure = error as ServiceError;
        if (failure.code !== status.UNAVAILABLE || clock.now() + RETRY_MS >= deadlineMs) {
          throw toStatusError(failure, false, askedRevision);
        }
        this.#rotate(client);
        await timers.sleep(RETRY_MS);
      }
    }
  }

  /** Opens a stream. @throws StatusError ServiceUnavailable where no endpoint can be reached in time */
  async stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
  ): Promise<ClientDuplexStream<Request, Response>> {
    const client = await this.ready(this.#options.env.clock.now() + this.#options.deadlineMs);
    return client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}
