// The AggregatedReader of processes: coxswain.api.v1.Aggregated of the api-servers.
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
import type { AggregatedReader } from "../aggregated-reader.ts";

type Read = ServiceTypes["coxswain.api.v1.Aggregated"]["read"];

const TIMEOUT_MS = 10_000;

export interface GrpcAggregatedReaderOptions {
  readonly env: Env;
  /** host:port of the api-servers' gRPC ports. */
  readonly addresses: readonly string[];
  readonly tls: TlsMaterial;
}

/** Connects on first use. The caller closes it. */
export function createGrpcAggregatedReader(options: GrpcAggregatedReaderOptions): AggregatedReader & { close(): void } {
  const { addresses, tls, env } = options;
  const target = { addresses, serverName: API_SERVER_NAME, tls };
  const credentials = createCredentials(tls);
  const channel = new Channel(channelTarget(addresses), credentials, channelOptions(target));
  const client = new Client(addresses[0] ?? "", credentials, { channelOverride: channel });
  const method = serviceDefinition("coxswain.api.v1.Aggregated")["Read"];
  if (method === undefined) throw new Error("Aggregated has no method Read");
  const call = (path: string): Promise<Read["response"]> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest<Read["requestInput"], Read["response"]>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize as (bytes: Buffer) => Read["response"],
        { path },
        { deadline: env.clock.now() + TIMEOUT_MS },
        (error, response) => {
          if (error !== null) reject(statusFromServiceError(error));
          else if (response === undefined) reject(new StatusError("Unknown", 500, "the server sent no answer"));
          else resolve(response);
        },
      );
    });
  return {
    read: async (path) => JSON.parse((await call(path)).json.toString("utf8")) as unknown,
    close: () => client.close(),
  };
}
