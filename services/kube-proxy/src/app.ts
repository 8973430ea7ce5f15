// kube-proxy: Services and EndpointSlices become the rules of its nodes. Guarantees:
// - Changes are gathered for a moment and then written together; only what changed is written.
// - A failed write is tried again, in full, with growing delays; meanwhile the health check says so in time.
// - It keeps nothing: after a restart it plans again from what it is told and writes everything once.
import type { EndpointSlice, Node, Service } from "@coxswain/api";
import { ENDPOINT_SLICES, NODES, SERVICES } from "@coxswain/api";
import { objectKey } from "@coxswain/apimachinery";
import type { InformerFactory, Lister, ResourceClient } from "@coxswain/client";
import type { BaseDeps, ComponentApp } from "@coxswain/component-base";
import { isAbort, type TimerHandle } from "@coxswain/env";
import type { ProxyBackend } from "./backend/contract.ts";
import { NodeProxier } from "./node-proxier.ts";
import { planService, SERVICE_NAME_LABEL } from "./planner/plan-service.ts";
import { proxyService } from "./proxy-service.ts";

export interface KubeProxyOptions {
  /** Least time between two writes, ms; 100 where unset. */
  readonly minSyncPeriodMs?: number;
  /** Everything is written again this often, ms; 3,600,000 where unset. */
  readonly fullSyncPeriodMs?: number;
}

export interface KubeProxyDeps extends BaseDeps {
  readonly client: ResourceClient;
  readonly informers: InformerFactory;
  /** One process may serve many packed nodes; questions over gRPC are answered for the first. */
  readonly nodeNames: readonly string[];
  readonly createBackend: (node: string) => ProxyBackend;
  readonly options?: KubeProxyOptions;
}

/** A change that waits longer than this makes the proxy unhealthy. */
const STALE_MS = 60_000;
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 30_000;
const BY_SERVICE = "service";

function serviceOf(slice: EndpointSlice): string | undefined {
  const name = slice.metadata?.labels?.[SERVICE_NAME_LABEL];
  return name === undefined ? undefined : `${slice.metadata?.namespace ?? ""}/${name}`;
}

/** The proxy of one process. Throws RangeError where it has no node. */
export function createKubeProxy(deps: KubeProxyDeps): ComponentApp {
  if (deps.nodeNames.length === 0) throw new RangeError("nodeNames: needs at least one node");
  const services = deps.informers.informer<Service>(SERVICES);
  const slices = deps.informers.informer<EndpointSlice>(ENDPOINT_SLICES);
  const nodes = deps.informers.informer<Node>(NODES);
  slices.addIndex(BY_SERVICE, (slice) => {
    const service = serviceOf(slice);
    return service === undefined ? [] : [service];
  });
  const syncer = new Syncer(deps, services.lister, slices.lister);
  services.addHandler({
    add: (service) => syncer.dirty(objectKey(service)),
    update: (service) => syncer.dirty(objectKey(service)),
    delete: (service) => syncer.dirty(objectKey(service)),
  });
  const slice = (one: EndpointSlice): void => {
    const service = serviceOf(one);
    if (service !== undefined) syncer.dirty(service);
  };
  slices.addHandler({
    add: slice,
    update: (now, old) => {
      slice(old);
      slice(now);
    },
    delete: slice,
  });
  nodes.addHandler({
    add: (node) => syncer.addresses(node),
    update: (node) => syncer.addresses(node),
  });
  return {
    grpcServices: [proxyService(syncer)],
    checks: {
      "informer-sync": () =>
        services.hasSynced() && slices.hasSynced() && nodes.hasSynced() ? undefined : "informers have not synced",
      "proxy-sync": () => syncer.stale(),
    },
    facts: () => ({ nodes: deps.nodeNames.slice(0, 5).join(","), services: String(syncer.first.serviceCount) }),
    async run(signal) {
      deps.informers.start(signal);
      try {
        await deps.informers.waitForSync(signal);
        await syncer.run(signal);
      } catch (error) {
        if (!isAbort(error) || !signal.aborted) throw error;
      }
    },
  };
}

/** Gathers changes and writes them to the backends, one write at a time. */
export class Syncer {
  readonly #deps: KubeProxyDeps;
  readonly #services: Lister<Service>;
  readonly #slices: Lister<EndpointSlice>;
  readonly #proxiers: readonly NodeProxier[];
  readonly #byNode: ReadonlyMap<string, NodeProxier>;
  readonly #dirty = new Set<string>();
  readonly #syncs;
  #oldestMs: number | undefined;
  #started = false;
  #wake: (() => void) | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(deps: KubeProxyDeps, services: Lister<Service>, slices: Lister<EndpointSlice>) {
    this.#deps = deps;
    this.#services = services;
    this.#slices = slices;
    this.#proxiers = deps.nodeNames.map((node) => new NodeProxier(node, deps.createBackend(node)));
    this.#byNode = new Map(this.#proxiers.map((proxier) => [proxier.node, proxier]));
    this.#syncs = deps.metrics.counter("kubeproxy_sync_proxy_rules_total", "Writes of rules, by result.", ["result"]);
  }

  get first(): NodeProxier {
    return this.#proxiers[0]!;
  }

  /** A Service or its endpoints changed. */
  dirty(service: string): void {
    this.#dirty.add(service);
    this.#changed();
  }

  addresses(node: Node): void {
    const proxier = this.#byNode.get(node.metadata?.name ?? "");
    if (proxier === undefined) return;
    proxier.setAddresses((node.status?.addresses ?? []).flatMap((one) => (one.type === "Hostname" ? [] : one.address)));
    this.#changed();
  }

  #changed(): void {
    this.#oldestMs ??= this.#deps.env.clock.now();
    this.#wake?.();
  }

  /** What is wrong, if rules are older than they should be. */
  stale(): string | undefined {
    if (!this.#started) return "rules have not been written yet";
    const waitMs = this.#oldestMs === undefined ? 0 : this.#deps.env.clock.now() - this.#oldestMs;
    return waitMs > STALE_MS ? `a change has waited ${Math.round(waitMs / 1000)} s to be written` : undefined;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { env, logger, options } = this.#deps;
    let retryMs = FIRST_RETRY_MS;
    this.#oldestMs ??= env.clock.now();
    while (!signal.aborted) {
      try {
        await this.sync(false);
        retryMs = FIRST_RETRY_MS;
        await this.#pause(signal, options?.minSyncPeriodMs ?? 100);
      } catch (error) {
        if (isAbort(error)) return;
        logger.warn({ err: error, retryMs }, "could not write rules");
        await env.timers.sleep(retryMs, signal);
        retryMs = Math.min(MAX_RETRY_MS, retryMs * 2);
      }
    }
  }

  /** Writes all that has changed, or everything; resolves when it is in place. */
  sync(full: boolean): Promise<void> {
    const next = this.#work.then(() => this.#syncNow(full));
    this.#work = next.catch(() => undefined);
    return next;
  }

  async #syncNow(full: boolean): Promise<void> {
    const oldest = this.#oldestMs;
    this.#oldestMs = undefined;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const service of dirty) this.#plan(service);
    try {
      for (const proxier of this.#proxiers) {
        if (full) proxier.requireSync();
        await proxier.flush();
      }
    } catch (error) {
      this.#oldestMs = oldest ?? this.#deps.env.clock.now();
      this.#syncs.inc({ result: "error" });
      throw error;
    }
    this.#started = true;
    this.#syncs.inc({ result: "success" });
  }

  #plan(key: string): void {
    const service = this.#services.get(key);
    const slices = this.#slices.byIndex(BY_SERVICE, key);
    for (const proxier of this.#proxiers) {
      proxier.set(key, service === undefined ? [] : planService(service, slices, proxier.node));
    }
  }

  /** At least `leastMs`, and then until something changes or the next full write is due. */
  async #pause(signal: AbortSignal, leastMs: number): Promise<void> {
    const { env, options } = this.#deps;
    await env.timers.sleep(leastMs, signal);
    if (this.#oldestMs !== undefined) return;
    await new Promise<void>((resolve) => {
      let timer: TimerHandle | undefined;
      const done = (): void => {
        env.timers.clear(timer);
        signal.removeEventListener("abort", done);
        this.#wake = undefined;
        resolve();
      };
      timer = env.timers.setTimeout(() => {
        for (const proxier of this.#proxiers) proxier.requireSync();
        done();
      }, options?.fullSyncPeriodMs ?? 3_600_000);
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
      if (signal.aborted) done();
    });
  }
}
