// The AggregatedClient of processes: coxswain.api.v1.Aggregated of the api-servers.
import { Channel, Client } from "@grpc/grpc-js";
import { StatusError } from "@coxswain/apimachinery";
import {
  API_SERVER_NAME,
  channelOptions,
  channelTarget,
  createCredentials,
} from "@coxswain/component-base/grpc-channel";
import { statusFromServiceError } from "@coxswain/component-base/grpc-status";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import type { Env } from "@coxswain/env";
import { serviceDefinition, type ServiceTypes } from "@coxswain/protos";
import type { AggregatedClient } from "../aggregated-reader.ts";

type Methods = ServiceTypes["coxswain.api.v1.Aggregated"];

const TIMEOUT_MS = 10_000;

export interface GrpcAggregatedReaderOptions {
  readonly env: Env;
  /** host:port of the api-servers' gRPC ports. */
  readonly addresses: readonly string[];
  readonly tls: TlsMaterial;
}

/** Connects on first use. The caller closes it. */
export function createGrpcAggregatedReader(options: GrpcAggregatedReaderOptions): AggregatedClient & { close(): void } {
  const { addresses, tls, env } = options;
  const target = { addresses, serverName: API_SERVER_NAME, tls };
  const credentials = createCredentials(tls);
  const channel = new Channel(channelTarget(addresses), credentials, channelOptions(target));
  const client = new Client(addresses[0] ?? "", credentials, { channelOverride: channel });
  const definition = serviceDefinition("coxswain.api.v1.Aggregated");
  function call<Name extends keyof Methods>(
    name: Name,
    request: Methods[Name]["requestInput"],
  ): Promise<Methods[Name]["response"]> {
    type Request = Methods[Name]["requestInput"];
    type Response = Methods[Name]["response"];
    const method = definition[name === "read" ? "Read" : "Write"];
    if (method === undefined) throw new Error(`Aggregated has no method ${name}`);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest<Request, Response>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize as (bytes: Buffer) => Response,
        request,
        { deadline: env.clock.now() + TIMEOUT_MS },
        (error, response) => {
          if (error !== null) reject(statusFromServiceError(error));
          else if (response === undefined) reject(new StatusError("Unknown", 500, "the server sent no answer"));
          else resolve(response);
        },
      );
    });
  }
  return {
    async read(path) {
      const { json } = await call("read", { path });
      return JSON.parse(json.toString("utf8")) as unknown;
    },
    async write(method, path, body) {
      const { json } = await call("write", { method, path, json: Buffer.from(JSON.stringify(body)) });
      return JSON.parse(json.toString("utf8")) as unknown;
    },
    close: () => client.close(),
  };
}
