// Typed gRPC services: handlers are async functions, a rejection reaches the client as a Status, and a call's signal aborts
// when its client goes away. Of a stream both ways either direction may end first, and leaving the requests unread ends
// nothing.
import type { EventEmitter } from "node:events";
import type { Readable } from "node:stream";
import type {
  Metadata,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { AbortError } from "@coxswain/env";
import { serviceDefinition, type ServiceName, type ServiceTypes } from "@coxswain/protos";
import type { GrpcService, UserInfo } from "./contract.ts";
import { admissionOf } from "./grpc-admission.ts";
import { statusToServiceError } from "./grpc-status.ts";

type AnyCall =
  | ServerUnaryCall<unknown, unknown>
  | ServerReadableStream<unknown, unknown>
  | ServerWritableStream<unknown, unknown>
  | ServerDuplexStream<unknown, unknown>;

export interface CallContext {
  /** Throws (a broken invariant) where the server let the call in without a user. */
  readonly user: UserInfo;
  readonly metadata: Metadata;
  /** Aborts when the client cancels, its deadline passes or its connection ends. */
  readonly signal: AbortSignal;
}

export interface ResponseStream<T> {
  /** Resolves when the stream can take more; rejects with AbortError when the client has gone. */
  send(message: T): Promise<void>;
}

interface MethodTypes {
  request: unknown;
  requestInput: unknown;
  response: unknown;
  responseInput: unknown;
  requestStream: boolean;
  responseStream: boolean;
}

type Handler<M extends MethodTypes> = M["requestStream"] extends true
  ? M["responseStream"] extends true
    ? (
        requests: AsyncIterable<M["request"]>,
        responses: ResponseStream<M["responseInput"]>,
        context: CallContext,
      ) => Promise<void>
    : (requests: AsyncIterable<M["request"]>, context: CallContext) => Promise<M["responseInput"]>
  : M["responseStream"] extends true
    ? (request: M["request"], responses: ResponseStream<M["responseInput"]>, context: CallContext) => Promise<void>
    : (request: M["request"], context: CallContext) => Promise<M["responseInput"]>;

/** One async function for each method, named as in `getQueue`. */
export type ServiceHandlers<S extends ServiceName> = {
  [M in keyof ServiceTypes[S]]: ServiceTypes[S][M] extends MethodTypes ? Handler<ServiceTypes[S][M]> : never;
};

function signalOf(call: AnyCall): AbortSignal {
  const controller = new AbortController();
  if (call.cancelled) controller.abort(new AbortError("the call was cancelled"));
  else (call as EventEmitter).once("cancelled", () => controller.abort(new AbortError("the call was cancelled")));
  return controller.signal;
}

/** A class, as getters of its own would give each call a shape of its own, which V8 keeps until the next full collection. */
class Context implements CallContext {
  readonly metadata: CallContext["metadata"];
  readonly #call: AnyCall;
  #signal: AbortSignal | undefined = undefined;

  constructor(call: AnyCall) {
    this.metadata = call.metadata;
    this.#call = call;
  }

  get user(): UserInfo {
    const { user } = admissionOf(this.#call);
    if (user === undefined) throw new Error("a handler asked for the user of a call that needs none");
    return user;
  }

  get signal(): AbortSignal {
    return (this.#signal ??= signalOf(this.#call));
  }
}

/**
 * The messages of a client, no faster than they are read. Throws AbortError where the client goes before its end. A stream's
 * own iterator will not do: at the end of the requests it destroys the call, with the answers that it still owes.
 */
async function* requestsOf(call: ServerReadableStream<unknown, unknown> | DuplexCall): AsyncIterable<unknown> {
  let ended = call.readableEnded;
  let wake = (): void => {};
  const onEnd = (): void => {
    ended = true;
    wake();
  };
  const onChange = (): void => wake();
  const source: Readable = call;
  source.on("end", onEnd).on("readable", onChange).on("cancelled", onChange);
  try {
    for (;;) {
      const message: unknown = source.read();
      if (message !== null) yield message;
      else if (ended) return;
      else if (call.cancelled) throw new AbortError("the call was cancelled");
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    source.off("end", onEnd).off("readable", onChange).off("cancelled", onChange);
  }
}

type DuplexCall = ServerDuplexStream<unknown, unknown>;
type WritableCall = ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>;

function responseStream(call: WritableCall, context: CallContext): ResponseStream<unknown> {
  // However many answers wait, they wait for the same.
  let drained: Promise<void> | undefined;
  const untilDrained = async (): Promise<void> => {
    const { signal } = context;
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        call.off("drain", settle);
        signal.removeEventListener("abort", settle);
        drained = undefined;
        resolve();
      };
      call.once("drain", settle);
      signal.addEventListener("abort", settle, { once: true });
    });
    if (signal.aborted) throw new AbortError("the call was cancelled");
  };
  return {
    send: async (message) => {
      if (call.cancelled) throw new AbortError("the call was cancelled");
      if (!call.write(message)) await (drained ??= untilDrained());
    },
  };
}

type Loose = (...args: unknown[]) => Promise<unknown>;

function wrap(handler: Loose, requestStream: boolean, streaming: boolean): UntypedServiceImplementation[string] {
  if (!streaming) {
    return (call: AnyCall, callback: (error: Error | null, value?: unknown) => void) => {
      const run = async (): Promise<void> => {
        const request = requestStream
          ? requestsOf(call as ServerReadableStream<unknown, unknown>)
          : (call as ServerUnaryCall<unknown, unknown>).request;
        try {
          callback(null, await handler(request, new Context(call)));
        } catch (error) {
          callback(statusToServiceError(error));
        }
      };
      void run();
    };
  }
  return (call: WritableCall) => {
    const context = new Context(call);
    const request = requestStream
      ? requestsOf(call as DuplexCall)
      : (call as ServerWritableStream<unknown, unknown>).request;
    handler(request, responseStream(call, context), context).then(
      () => call.end(),
      (error: unknown) => call.emit("error", statusToServiceError(error)),
    );
  };
}

/** Makes the service that ComponentApp.grpcServices takes. */
export function implementService<S extends ServiceName>(service: S, handlers: ServiceHandlers<S>): GrpcService {
  const implementation: UntypedServiceImplementation = {};
  for (const method of Object.values(serviceDefinition(service))) {
    const name = method.originalName ?? "";
    const handler = (handlers as Record<string, Loose | undefined>)[name];
    if (handler === undefined) throw new Error(`${service}: no handler for ${name}`);
    implementation[name] = wrap(
      async (...args) => handler.apply(handlers, args),
      method.requestStream,
      method.responseStream,
    );
  }
  return { service, implementation };
}
