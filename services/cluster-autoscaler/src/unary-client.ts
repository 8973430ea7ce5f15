// Unary calls of one gRPC service, typed by its contract; errors are StatusErrors.
import { Client, type ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";
import { StatusError } from "@coxswain/apimachinery";
import { statusFromServiceError } from "@coxswain/component-base/grpc-status";
import type { Clock } from "@coxswain/env";
import { serviceDefinition, type ServiceName, type ServiceTypes } from "@coxswain/protos";

interface Unary {
  requestInput: unknown;
  response: unknown;
}

export interface UnaryClientOptions {
  /** grpc-js's target. */
  readonly target: string;
  readonly credentials: ChannelCredentials;
  readonly channel?: ChannelOptions;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

export interface UnaryClient<S extends ServiceName> {
  call<M extends keyof ServiceTypes[S] & string>(
    method: M,
    request: ServiceTypes[S][M] extends Unary ? ServiceTypes[S][M]["requestInput"] : never,
    timeoutMs?: number,
  ): Promise<ServiceTypes[S][M] extends Unary ? ServiceTypes[S][M]["response"] : never>;
  close(): void;
}

/** Connects on first use. */
export function createUnaryClient<S extends ServiceName>(service: S, options: UnaryClientOptions): UnaryClient<S> {
  const client = new Client(options.target, options.credentials, options.channel ?? {});
  const methods = new Map(
    Object.values(serviceDefinition(service)).map((method) => [method.originalName ?? "", method]),
  );
  return {
    call: (name, request, timeoutMs = options.timeoutMs) =>
      new Promise((resolve, reject) => {
        const method = methods.get(name);
        if (method === undefined) throw new Error(`${service} has no method ${name}`);
        client.makeUnaryRequest(
          method.path,
          method.requestSerialize as (value: unknown) => Buffer,
          method.responseDeserialize as (bytes: Buffer) => never,
          request,
          { deadline: options.clock.now() + timeoutMs },
          (error, response) => {
            if (error !== null) reject(statusFromServiceError(error));
            else if (response === undefined) reject(new StatusError("Unknown", 500, "the server sent no answer"));
            else resolve(response);
          },
        );
      }),
    close: () => client.close(),
  };
}
