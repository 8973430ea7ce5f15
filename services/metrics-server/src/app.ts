// metrics-server: what nodes and pods use, as metrics.k8s.io, out of the kubelets' figures. Guarantees:
// - It registers itself with the api-servers, and is ready when they have found it and every kubelet has been asked once.
// - Figures are measured between two looks at counters; what is not known is left out.
import { NODES, type Node } from "@coxswain/api";
import type { InformerFactory, ResourceClient } from "@coxswain/client";
import type { BaseDeps, ComponentApp } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import { MetricsApi } from "./metrics-api.ts";
import { Registrar } from "./registrar.ts";
import { SampleStore } from "./sample-store.ts";
import { Scraper } from "./scraper.ts";
import type { StatsSource } from "./stats-source.ts";

export interface MetricsServerOptions {
  /** The address that api-servers are told. */
  readonly advertiseAddress: string;
  readonly instance: string;
  /** PEM of the CA that the serving certificate is of. */
  readonly ca: string;
  /** How often kubelets are asked. */
  readonly resolutionMs: number;
}

export interface MetricsServerDeps extends BaseDeps {
  readonly client: ResourceClient;
  readonly informers: InformerFactory;
  readonly source: StatsSource;
  /** Serves `api` until `signal` aborts; calls `listening` with the port. Absent: nothing is served, nor registered. */
  readonly serve?: (server: MetricsServer, listening: (port: number) => void, signal: AbortSignal) => Promise<void>;
  readonly options: MetricsServerOptions;
}

export interface MetricsServer extends ComponentApp {
  readonly api: MetricsApi;
  readonly proxies: () => readonly string[];
}

export function createMetricsServer(deps: MetricsServerDeps): MetricsServer {
  const { env, logger, metrics, client, informers, source, options } = deps;
  const nodes = informers.informer<Node>(NODES);
  const store = new SampleStore();
  const { resolutionMs } = options;
  const scraper = new Scraper({ env, logger, metrics, nodes, source, store, resolutionMs });
  const registrar = new Registrar({ env, logger, client });
  nodes.addHandler({ add: () => scraper.soon() });

  async function serveAndRegister(server: MetricsServer, signal: AbortSignal): Promise<void> {
    if (deps.serve === undefined) return;
    const port = Promise.withResolvers<number>();
    const { advertiseAddress: address, instance, ca } = options;
    const register = async (): Promise<void> =>
      registrar.run({ address, port: await port.promise, instance, ca }, signal);
    const serving = deps.serve(server, port.resolve, signal);
    await Promise.race([serving, register()]);
    await serving;
  }

  const server: MetricsServer = {
    api: new MetricsApi({ clock: env.clock, client, nodes, store, lookAt: (names) => scraper.lookAt(names) }),
    proxies: () => registrar.proxies,
    grpcServices: [],
    checks: {
      "informer-sync": () => (nodes.hasSynced() ? undefined : "informers have not synced"),
      "metric-storage-ready": () => (scraper.rounds > 0 ? undefined : "no metrics to serve"),
      registration: () => (deps.serve === undefined ? undefined : registrar.problem),
    },
    facts: () => ({ nodes: String(store.nodes), resolution: `${resolutionMs} ms` }),
    async run(signal) {
      informers.start(signal);
      const scrape = async (): Promise<void> => {
        await informers.waitForSync(signal);
        await scraper.run(signal);
      };
      try {
        await Promise.all([serveAndRegister(server, signal), scrape()]);
      } catch (error) {
        if (!isAbort(error) || !signal.aborted) throw error;
      }
    },
  };
  return server;
}
