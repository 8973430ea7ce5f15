// How every component but the api-server reaches the cluster, and lets it decide who may call the component.
import { createDelegatedAuth } from "@coxswain/component-base/delegated-auth";
import type { ProcessDeps } from "@coxswain/component-base/process";
import { createNatsBus } from "@coxswain/event-bus";
import { createDelegatedReviews } from "../delegated-reviews.ts";
import type { InformerFactory } from "../informer-contract.ts";
import { createInformerFactory } from "../informer-factory.ts";
import type { ResourceClient } from "../resource-client.ts";
import type { AggregatedClient } from "../aggregated-reader.ts";
import { createGrpcAggregatedReader } from "./grpc-aggregated-reader.ts";
import { createGrpcResourceClient, createServerChannel } from "./grpc-resource-client.ts";
import { waitForServer } from "./wait-for-server.ts";

/** Then a component begins all the same: an api-server that is not ready may serve what the component needs. */
const WAIT_FOR_SERVER_MS = 10_000;

/**
 * A client of the api-servers, informers over the change feed, and a reader of other api-servers where one is wanted, from the process's flags and certificate. Callers of the
 * process itself are looked up at the api-server from now on.
 */
export function connectComponent(
  deps: ProcessDeps<unknown>,
  name: string,
): { client: ResourceClient; informers: InformerFactory; aggregated: () => AggregatedClient } {
  const { env, logger, flags, clientTls: tls } = deps;
  const addresses = flags.apiServer;
  const channel = createServerChannel({ addresses, tls, userAgent: name });
  const client = createGrpcResourceClient({ env, logger, addresses, tls, channel });
  deps.setAuth(createDelegatedAuth(createDelegatedReviews(client, env.clock)));
  deps.waitFirst((signal) => waitForServer({ env, addresses, channel, timeoutMs: WAIT_FOR_SERVER_MS }, signal));
  const bus = flags.nats.length === 0 ? undefined : createNatsBus({ env, logger, servers: flags.nats, tls, name });
  const informers = createInformerFactory({ env, logger, client, ...(bus === undefined ? {} : { bus }) });
  const aggregated = (): AggregatedClient => createGrpcAggregatedReader({ env, addresses: flags.apiServer, tls });
  return { client, informers, aggregated };
}
