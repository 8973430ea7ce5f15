// kube-proxy: Services and EndpointSlices become the rules of its nodes. Guarantees:
// - Changes are gathered for a moment and then written together; only what changed is written.
// - A failed write is tried again, in full, with growing delays; meanwhile the health check says so in time.
// - It keeps nothing: after a restart it plans again from what it is told and writes everything once.
// - Rules that somebody else changed or removed are found and written again; what the backend holds meanwhile stays.
import type { EndpointSlice, Node, Service } from "@coxswain/api";
import { ENDPOINT_SLICES, NODES, SERVICES } from "@coxswain/api";
import { newNotFound, objectKey } from "@coxswain/apimachinery";
import type { InformerFactory, Lister, ResourceClient } from "@coxswain/client";
import type { BaseDeps, ComponentApp } from "@coxswain/component-base";
import { isAbort, type TimerHandle } from "@coxswain/env";
import { isIP } from "node:net";
import type { ProxyBackend } from "./backend/contract.ts";
import { NodeProxier } from "./node-proxier.ts";
import type { HealthCheckPorts } from "./health-check-ports.ts";
import { planHealthCheck, type HealthCheck } from "./planner/plan-health-check.ts";
import { planService, SERVICE_NAME_LABEL } from "./planner/plan-service.ts";
import type { Family, ProxyRule } from "./planner/rule.ts";
import { proxyService } from "./proxy-service.ts";

export interface KubeProxyOptions {
  /** Least time between two writes, ms; 100 where unset. */
  readonly minSyncPeriodMs?: number;
  /** Everything is written again this often, ms; 3,600,000 where unset. */
  readonly fullSyncPeriodMs?: number;
  /**
   * Plans the rules of a node, but for the first, only from the first question about it on. For backends through which no
   * packet goes: thousands of packed nodes then cost nothing.
   */
  readonly onDemand?: boolean;
  /** Addresses of other families have no rules, and a warning says so; both where unset. */
  readonly families?: readonly Family[];
  /** How long rules may go unchecked for what others did to them, ms; 30,000 where unset. */
  readonly checkPeriodMs?: number;
}

/** What /healthz tells. */
export interface ProxyHealth {
  readonly healthy: boolean;
  /** When rules were last known to be what they should be, ms since the epoch; 0: never. */
  readonly lastUpdatedMs: number;
  /** Whether load balancers may send to this node: not while it is being deleted. */
  readonly nodeEligible: boolean;
}

export interface KubeProxyApp extends ComponentApp {
  readonly health: () => ProxyHealth;
}

export interface KubeProxyDeps extends BaseDeps {
  readonly client: ResourceClient;
  readonly informers: InformerFactory;
  /** One process may serve many packed nodes. */
  readonly nodeNames: readonly string[];
  readonly createBackend: (node: string) => ProxyBackend;
  /** Serves health and metrics until the signal aborts. */
  readonly serveHttps?: (app: KubeProxyApp, signal: AbortSignal) => Promise<void>;
  /** Answers load balancers on behalf of the first node; unset where nobody could ask. */
  readonly createHealthCheckPorts?: (healthy: () => boolean) => HealthCheckPorts;
  readonly options?: KubeProxyOptions;
}

/** A change that waits longer than this makes the proxy unhealthy. */
const STALE_MS = 60_000;
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 30_000;
const BY_SERVICE = "service";
const CHECK_PERIOD_MS = 30_000;
/** Checks take no more than this part of the time, however many rules there are. */
const CHECK_SHARE = 0.01;
const DURATION_BUCKETS = [
  0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192,
];
/** The cluster autoscaler marks a node that it is about to delete. */
const TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler";

function serviceOf(slice: EndpointSlice): string | undefined {
  const name = slice.metadata?.labels?.[SERVICE_NAME_LABEL];
  return name === undefined ? undefined : `${slice.metadata?.namespace ?? ""}/${name}`;
}

function zoneOf(node: Node | undefined): string | undefined {
  return node?.metadata?.labels?.["topology.kubernetes.io/zone"];
}

function addressesOf(node: Node): string[] {
  return (node.status?.addresses ?? []).filter((one) => isIP(one.address) !== 0).map((one) => one.address);
}

/** The proxy of one process. Throws RangeError where it has no node. */
export function createKubeProxy(deps: KubeProxyDeps): KubeProxyApp {
  if (deps.nodeNames.length === 0) throw new RangeError("nodeNames: needs at least one node");
  const services = deps.informers.informer<Service>(SERVICES);
  const slices = deps.informers.informer<EndpointSlice>(ENDPOINT_SLICES);
  const nodes = deps.informers.informer<Node>(NODES);
  slices.addIndex(BY_SERVICE, (slice) => {
    const service = serviceOf(slice);
    return service === undefined ? [] : [service];
  });
  const syncer = new Syncer(deps, services.lister, slices.lister, nodes.lister);
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
    add(node) {
      syncer.addresses(node);
      syncer.moved(node);
    },
    update(node, old) {
      syncer.addresses(node);
      if (zoneOf(node) !== zoneOf(old)) syncer.moved(node);
    },
  });
  const app: KubeProxyApp = {
    grpcServices: [proxyService(syncer)],
    checks: {
      "informer-sync": () =>
        services.hasSynced() && slices.hasSynced() && nodes.hasSynced() ? undefined : "informers have not synced",
      "proxy-sync": () => syncer.stale(),
    },
    health: () => syncer.health(),
    facts: () => ({ nodes: deps.nodeNames.slice(0, 5).join(","), services: String(syncer.first.serviceCount) }),
    async run(signal) {
      deps.informers.start(signal);
      const work = async (): Promise<void> => {
        await deps.informers.waitForSync(signal);
        await syncer.run(signal);
        await syncer.close();
      };
      try {
        await Promise.all([work(), deps.serveHttps?.(app, signal)]);
      } catch (error) {
        if (!isAbort(error) || !signal.aborted) throw error;
      }
    },
  };
  return app;
}

/** Gathers changes and writes them to the backends, one write at a time. */
export class Syncer {
  readonly #deps: KubeProxyDeps;
  readonly #services: Lister<Service>;
  readonly #slices: Lister<EndpointSlice>;
  readonly #nodes: Lister<Node>;
  readonly #proxiers = new Map<string, NodeProxier>();
  readonly #dirty = new Set<string>();
  readonly #syncs;
  readonly #durations;
  readonly #lastSync;
  readonly #unsupported = new Set<string>();
  readonly #healthCheckPorts: HealthCheckPorts | undefined;
  readonly #healthChecks = new Map<string, HealthCheck>();
  /** Nodes that have, or had, a zone. */
  readonly #zoned = new Set<string>();
  #nextCheckMs = 0;
  #lastUpdatedMs = 0;
  #oldestMs: number | undefined;
  #started = false;
  #wake: (() => void) | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(deps: KubeProxyDeps, services: Lister<Service>, slices: Lister<EndpointSlice>, nodes: Lister<Node>) {
    this.#deps = deps;
    this.#services = services;
    this.#slices = slices;
    this.#nodes = nodes;
    this.#healthCheckPorts = deps.createHealthCheckPorts?.(() => this.stale() === undefined);
    for (const node of deps.options?.onDemand === true ? deps.nodeNames.slice(0, 1) : deps.nodeNames) this.#add(node);
    this.#syncs = deps.metrics.counter("kubeproxy_sync_proxy_rules_total", "Writes of rules, by result.", ["result"]);
    const help = "How long it takes to write rules, seconds.";
    this.#durations = deps.metrics.histogram("kubeproxy_sync_proxy_rules_duration_seconds", help, DURATION_BUCKETS);
    const lastHelp = "When rules were last written, seconds since the epoch.";
    this.#lastSync = deps.metrics.gauge("kubeproxy_sync_proxy_rules_last_timestamp_seconds", lastHelp);
  }

  get first(): NodeProxier {
    return this.#proxiers.get(this.#deps.nodeNames[0]!)!;
  }

  /** The rules of a node ("" is the first), in place. Rejects with NotFound where this process does not serve it. */
  async proxierOf(node: string): Promise<NodeProxier> {
    if (node === "") return this.first;
    const known = this.#proxiers.get(node);
    if (known !== undefined) return known;
    if (!this.#deps.nodeNames.includes(node)) throw newNotFound({ group: "", resource: "nodes" }, node);
    const added = this.#add(node);
    for (const service of this.#services.list()) added.set(objectKey(service), this.#rulesOf(objectKey(service), node));
    const object = this.#nodes.get(node);
    if (object !== undefined) added.setAddresses(addressesOf(object));
    await this.sync(false);
    return added;
  }

  #add(node: string): NodeProxier {
    const proxier = new NodeProxier(node, this.#deps.createBackend(node));
    this.#proxiers.set(node, proxier);
    return proxier;
  }

  /** A Service or its endpoints changed. */
  dirty(service: string): void {
    this.#dirty.add(service);
    this.#changed();
  }

  addresses(node: Node): void {
    const proxier = this.#proxiers.get(node.metadata?.name ?? "");
    if (proxier?.setAddresses(addressesOf(node)) !== true) return;
    this.#changed();
  }

  /** A node came to be known, or is in another zone: what is near to it may be something else. */
  moved(node: Node): void {
    if (zoneOf(node) === undefined && !this.#zoned.has(node.metadata?.name ?? "")) return;
    if (!this.#proxiers.has(node.metadata?.name ?? "")) return;
    this.#zoned.add(node.metadata?.name ?? "");
    for (const service of this.#services.list()) this.#dirty.add(objectKey(service));
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

  health(): ProxyHealth {
    const healthy = this.stale() === undefined;
    const node = this.#nodes.get(this.first.node);
    const leaving =
      node?.metadata?.deletionTimestamp !== undefined ||
      (node?.spec?.taints ?? []).some((taint) => taint.key === TO_BE_DELETED);
    // Nothing waits: what is written is right by now.
    const lastUpdatedMs =
      this.#started && this.#oldestMs === undefined ? this.#deps.env.clock.now() : this.#lastUpdatedMs;
    return { healthy, lastUpdatedMs, nodeEligible: !leaving };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { env, logger, options } = this.#deps;
    let retryMs = FIRST_RETRY_MS;
    this.#oldestMs ??= env.clock.now();
    this.#nextCheckMs = env.clock.now() + (options?.checkPeriodMs ?? CHECK_PERIOD_MS);
    while (!signal.aborted) {
      try {
        await this.sync(false);
        await this.#checkWhenDue();
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

  /** Rules stay, so that packets go on while there is no proxy. */
  async close(): Promise<void> {
    await this.#healthCheckPorts?.close();
  }

  /** Writes all that has changed, or everything; resolves when it is in place. */
  sync(full: boolean): Promise<void> {
    return this.#alone(() => this.#syncNow(full));
  }

  /** One at a time, in order. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#work.then(work);
    this.#work = next.then(
      () => undefined,
      () => undefined,
    );
    return next;
  }

  /** Has everything written again where somebody else changed it. Rejects as the backend does. */
  async #checkWhenDue(): Promise<void> {
    const { env, logger, options } = this.#deps;
    const proxiers = [...this.#proxiers.values()].filter((proxier) => proxier.canCheck);
    if (proxiers.length === 0 || env.clock.now() < this.#nextCheckMs) return;
    const started = env.clock.monotonic();
    for (const proxier of proxiers) {
      const damage = await this.#alone(() => proxier.check());
      if (damage === undefined) continue;
      logger.warn({ node: proxier.node, damage }, "somebody changed the rules, writing them again");
      this.#changed();
    }
    const tookMs = env.clock.monotonic() - started;
    this.#nextCheckMs = env.clock.now() + Math.max(options?.checkPeriodMs ?? CHECK_PERIOD_MS, tookMs / CHECK_SHARE);
  }

  async #syncNow(full: boolean): Promise<void> {
    const started = this.#deps.env.clock.monotonic();
    const oldest = this.#oldestMs;
    this.#oldestMs = undefined;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const service of dirty) this.#plan(service);
    try {
      for (const proxier of this.#proxiers.values()) {
        if (full) proxier.requireSync();
        await proxier.flush();
      }
      await this.#healthCheckPorts?.sync([...this.#healthChecks.values()]);
    } catch (error) {
      this.#oldestMs = oldest ?? this.#deps.env.clock.now();
      this.#syncs.inc({ result: "error" });
      throw error;
    }
    const { clock } = this.#deps.env;
    this.#started = true;
    this.#lastUpdatedMs = clock.now();
    this.#syncs.inc({ result: "success" });
    this.#durations.observe((clock.monotonic() - started) / 1000);
    this.#lastSync.set(this.#lastUpdatedMs / 1000);
  }

  #plan(key: string): void {
    const service = this.#services.get(key);
    const check = service && planHealthCheck(service, this.#slices.byIndex(BY_SERVICE, key), this.first.node);
    if (check === undefined) this.#healthChecks.delete(key);
    else this.#healthChecks.set(key, check);
    for (const proxier of this.#proxiers.values()) proxier.set(key, this.#rulesOf(key, proxier.node));
  }

  #rulesOf(key: string, node: string): ProxyRule[] {
    const service = this.#services.get(key);
    if (service === undefined) return [];
    const place = { node, zone: zoneOf(this.#nodes.get(node)) };
    const rules = planService(service, this.#slices.byIndex(BY_SERVICE, key), place);
    const { families } = this.#deps.options ?? {};
    const supported = families === undefined ? rules : rules.filter((rule) => families.includes(rule.family));
    if (supported.length < rules.length && !this.#unsupported.has(key)) {
      this.#unsupported.add(key);
      this.#deps.logger.warn({ service: key, supported: families }, "addresses of another IP family are not supported");
    }
    return supported;
  }

  /** At least `leastMs`, and then until something changes or the next check or full write is due. */
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
      const fullMs = options?.fullSyncPeriodMs ?? 3_600_000;
      const checks = [...this.#proxiers.values()].some((proxier) => proxier.canCheck);
      const checkMs = checks ? Math.max(0, this.#nextCheckMs - env.clock.now()) : fullMs;
      timer = env.timers.setTimeout(
        () => {
          if (checkMs >= fullMs) for (const proxier of this.#proxiers.values()) proxier.requireSync();
          done();
        },
        Math.min(fullMs, checkMs),
      );
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
      if (signal.aborted) done();
    });
  }
}
