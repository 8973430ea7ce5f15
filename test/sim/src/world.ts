// A whole cluster in one process, under one seed and a virtual clock: the real services on doubles of storage, bus, network,
// runtime and rule tables. Guarantee: everything that happens follows from the seed; each commit is checked.
import type { ApiServer } from "@coxswain/api-server/app";
import { storageKey } from "@coxswain/api-server/watch-cache/stored-form";
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import type { LeaderElector, ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { createSeededRandom, VirtualEnv } from "@coxswain/env";
import { MemoryBusHub } from "@coxswain/event-bus/memory/memory-bus";
import type { ProxyBackend } from "@coxswain/kube-proxy/backend/contract";
import type { PodManager } from "@coxswain/kubelet/pods/pod-manager";
import type { MetricsApi } from "@coxswain/metrics-server";
import type { Mutation } from "@coxswain/storage";
import { createHash } from "node:crypto";
import { ApiEndpoints } from "./api-endpoints.ts";
import { ClusterState, type Change } from "./cluster-state.ts";
import { Checker } from "./invariants/checker.ts";
import { Network } from "./network.ts";
import { ObservedStore, type Commit } from "./observed-store.ts";
import {
  apiServer,
  controllerManager,
  kubelet,
  kubeProxy,
  metricsServer,
  scheduler,
  type KnownCache,
} from "./programs.ts";
import { createSimClient } from "./sim-client.ts";
import { createSimLogger } from "./sim-logger.ts";
import { SimProcess } from "./sim-process.ts";
import { Supervisor } from "./supervisor.ts";
import { Trace } from "./trace.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly nodes: number;
  /** Upper bound of a message's way, ms. */
  readonly maxLatencyMs: number;
  /** Of each node, as in { cpu: "4" }. */
  readonly capacity: Record<string, string>;
}

const shortHash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex").slice(0, 12);

export class World {
  readonly env: VirtualEnv;
  readonly network: Network;
  readonly store: ObservedStore;
  readonly hub: MemoryBusHub;
  readonly endpoints: ApiEndpoints;
  readonly supervisor: Supervisor;
  readonly trace = new Trace();
  readonly state = new ClusterState();
  readonly checker = new Checker();
  readonly apiServerNames = ["api-server-1", "api-server-2"];
  readonly nodeNames: readonly string[];
  readonly servers = new Map<string, ApiServer>();
  readonly electors = new Map<string, LeaderElector>();
  /** By node, while they run. */
  readonly kubelets = new Map<string, { readonly process: SimProcess; readonly manager: PodManager }>();
  /** Undefined while it is away. */
  metricsServer: { readonly process: SimProcess; readonly api: MetricsApi } | undefined;
  readonly proxyBackends = new Map<string, ReadonlyMap<string, ProxyBackend>>();
  /** Never aborts: simulated processes are killed, not asked to stop. */
  readonly forever = new AbortController().signal;
  readonly #caches: KnownCache[] = [];
  readonly #listeners: ((change: Change) => void)[] = [];
  readonly #options: WorldOptions;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.env = new VirtualEnv({ seed: options.seed });
    // The network draws from a sequence of its own, so that a service's draw does not move every message.
    this.network = new Network(this.env, createSeededRandom(options.seed ^ 0x5bd1e995), options.maxLatencyMs);
    this.hub = new MemoryBusHub({ env: this.env });
    this.store = new ObservedStore(this.env, (commit) => this.#commit(commit));
    this.endpoints = new ApiEndpoints(this.env);
    this.nodeNames = Array.from({ length: options.nodes }, (_, at) => `node-${at + 1}`);
    this.supervisor = new Supervisor({
      env: this.env,
      newProcess: (name) => new SimProcess(name, this.env),
      onCrash: (process, error) => {
        const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
        this.note(`${process.name} crashed: ${what}`);
        this.checker.report(this.env.elapsedMs, "no-crash", `${process.name}: ${what}`);
      },
      note: (line) => this.note(line),
    });
  }

  /** What the store holds from before; to be called before anything runs. */
  inherit(objects: readonly { readonly ref: ResourceRef; readonly object: KubeObject }[]): void {
    const mutations = objects.map(({ ref, object }): Mutation => {
      const { namespace = "", name = "" } = object.metadata ?? {};
      return { op: "put", key: storageKey(ref, namespace, name), value: Buffer.from(JSON.stringify(object)) };
    });
    void this.store.enqueue({ conditions: [], mutations }, 0);
  }

  startControlPlane(): void {
    const { supervisor } = this;
    for (const name of this.apiServerNames) supervisor.start(apiServer(this, name));
    for (const at of [1, 2]) {
      supervisor.start(scheduler(this, `scheduler-${at}`));
      supervisor.start(controllerManager(this, `controller-manager-${at}`));
    }
    supervisor.start(metricsServer(this, "metrics-server"));
  }

  startNodes(): void {
    for (const node of this.nodeNames) {
      this.supervisor.start(kubelet(this, `kubelet-${node}`, node, this.#options.capacity));
    }
    this.supervisor.start(kubeProxy(this, "kube-proxy", this.nodeNames));
  }

  /** An administrator's client, at a process that is never killed. */
  admin(name: string, preferred: string): { process: SimProcess; client: ResourceClient } {
    const process = new SimProcess(name, this.env);
    const user = { username: "admin", groups: ["system:masters", "system:authenticated"] };
    const actor = { process: name, identity: "", lease: "" };
    const { network, endpoints } = this;
    return { process, client: createSimClient({ process, network, endpoints, user, actor, preferred }) };
  }

  logger(process: SimProcess): Logger {
    return createSimLogger(process, (name, level, message) => this.note(`${name} ${level}: ${message}`));
  }

  note(line: string): void {
    this.trace.add(this.env.elapsedMs, line);
  }

  /** Calls `listener` with every change of an object, after the checker has seen it. */
  onChange(listener: (change: Change) => void): void {
    this.#listeners.push(listener);
  }

  noteCache(cache: KnownCache): void {
    if (this.#caches.some((known) => known.informer === cache.informer)) return;
    this.#caches.push(cache);
    cache.process.onDeath(() => void this.#caches.splice(this.#caches.indexOf(cache), 1));
  }

  get caches(): readonly KnownCache[] {
    return this.#caches;
  }

  #commit(commit: Commit): void {
    const { elapsedMs } = this.env;
    const content = commit.value === undefined ? "deleted" : shortHash(commit.value);
    this.note(`commit ${commit.rv} ${commit.key} ${content}${commit.actor ? ` by ${commit.actor.process}` : ""}`);
    const change = this.state.apply(elapsedMs, commit);
    if (change === undefined) return;
    this.checker.observe(change, this.state);
    for (const listener of this.#listeners) listener(change);
  }
}
