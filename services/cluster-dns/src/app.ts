// cluster-dns: names of Services, endpoints and pods for the cluster's domain. Guarantees:
// - It answers from informers' caches; until they are filled every answer is SERVFAIL and the process is not ready.
// - It makes itself reachable under the cluster's DNS address, and again where somebody undoes that.
// - It asks nobody outside: names beyond the domain are refused unless an upstream was given.
import type { EndpointSlice, Namespace, Service } from "@coxswain/api";
import { ENDPOINT_SLICES, NAMESPACES, SERVICES } from "@coxswain/api";
import type { InformerFactory, ResourceClient } from "@coxswain/client";
import type { BaseDeps, ComponentApp } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import { createDnsIndex } from "./dns-index.ts";
import { listenDns, type DnsServer } from "./dns-server.ts";
import { createForwarder, type Upstream } from "./forwarder.ts";
import { Registrar } from "./registrar.ts";
import { createResponder } from "./responder.ts";

export interface ClusterDnsOptions {
  /** In lower case, without a last dot. */
  readonly domain: string;
  /** Address and port to listen on; port 0 takes a free one. */
  readonly dnsAddress: string;
  readonly dnsPort: number;
  /** The address that the EndpointSlice names. */
  readonly advertiseAddress: string;
  /** The address of Service kube-system/kube-dns. */
  readonly clusterIp: string;
  readonly instance: string;
  readonly upstream?: Upstream;
}

export interface ClusterDnsDeps extends BaseDeps {
  readonly client: ResourceClient;
  readonly informers: InformerFactory;
  readonly options: ClusterDnsOptions;
}

export interface ClusterDns extends ComponentApp {
  /** The port that is listened on; 0 before. */
  dnsPort(): number;
}

export function createClusterDns(deps: ClusterDnsDeps): ClusterDns {
  const { env, logger, metrics, options } = deps;
  const services = deps.informers.informer<Service>(SERVICES);
  const slices = deps.informers.informer<EndpointSlice>(ENDPOINT_SLICES);
  const namespaces = deps.informers.informer<Namespace>(NAMESPACES);
  const index = createDnsIndex(services, slices, namespaces);
  const registrar = new Registrar(deps);
  const changed = (object: Service | EndpointSlice): void => registrar.changed(object);
  services.addHandler({ add: changed, update: changed, delete: changed });
  slices.addHandler({ add: changed, update: changed, delete: changed });
  const synced = (): boolean => services.hasSynced() && slices.hasSynced() && namespaces.hasSynced();
  const answers = metrics.counter("clusterdns_responses_total", "Responses, by code and transport.", [
    "rcode",
    "transport",
  ]);
  const respond = createResponder({
    index,
    zone: { domain: options.domain, dnsAddress: options.clusterIp },
    random: env.random,
    ready: synced,
    onAnswer: (rcode, transport) => answers.inc({ rcode, transport }),
    ...(options.upstream === undefined ? {} : { forwarder: createForwarder(options.upstream, env.timers) }),
  });
  let server: DnsServer | undefined;
  return {
    grpcServices: [],
    checks: {
      "informer-sync": () => (synced() ? undefined : "informers have not synced"),
      "dns-server": () => (server === undefined ? "not listening for queries" : undefined),
      "dns-service": () => (registrar.done ? undefined : "the DNS service is not registered"),
    },
    facts: () => ({ domain: options.domain, services: String(services.lister.size) }),
    dnsPort: () => server?.port ?? 0,
    async run(signal) {
      server = await listenDns(options.dnsAddress, options.dnsPort, respond, logger);
      const { port } = server;
      try {
        deps.informers.start(signal);
        await deps.informers.waitForSync(signal);
        const { clusterIp, advertiseAddress: address, instance } = options;
        await registrar.run({ clusterIp, address, port, instance }, signal);
      } catch (error) {
        if (!isAbort(error) || !signal.aborted) throw error;
      } finally {
        await server.close();
        server = undefined;
      }
    },
  };
}
