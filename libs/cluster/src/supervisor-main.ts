// The process behind `up`: prepares a cluster, starts its processes, keeps them running, and answers on the control socket
// until it is told to take everything down. With --owned it goes down when its standard input closes, so that a caller that
// is killed leaves no cluster behind.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { inSources } from "@coxswain/component-base/source-positions";
import { createRealEnv, isAbort, pause, type Env, type TimerHandle } from "@coxswain/env";
import type { ApiFront } from "./api-front.ts";
import { clusterPaths, clusterSpec, nodeCapacity, type ClusterPaths, type ClusterSpec } from "./cluster-spec.ts";
import { serveControl, type ControlAnswer, type ControlRequest } from "./control-api.ts";
import { missingPart } from "./cluster-info.ts";
import { ensureProgram, ETCD, MissingProgramError, NATS_SERVER } from "./external-programs.ts";
import {
  importSystemImages,
  mapPorts,
  prepareContainerd,
  type ContainerdGround,
  type ContainerdInput,
} from "./containerd-cluster.ts";
import { createExposures } from "./exposures.ts";
import { createNodeMaker } from "./node-maker.ts";
import { firstNodes, NodePool } from "./node-pool.ts";
import { nodeTemplate } from "./node-template.ts";
import { readNodes, writeNodes } from "./nodes-file.ts";
import { endLeftovers, removeGround } from "./leftovers.ts";
import { createNodePower } from "./node-power.ts";
import { nodeShare } from "./platform/node-share.ts";
import { choosePorts, FIRST_CERTIFICATES, openFront, prepareIdentity, renewPorts, writeConfigs } from "./prepare.ts";
import { PlatformError } from "./platform/platform-plan.ts";
import { PortTakenError, takenPort } from "./port-choice.ts";
import { createProber, type Prober } from "./probe.ts";
import { chaosRefusal } from "./chaos-refusal.ts";
import { planProcesses, type Binaries, type ProcessSpec } from "./process-plan.ts";
import {
  COMPONENTS,
  type Component,
  lostWith,
  nodeGroups,
  NODE_COMPONENTS,
  slotKey,
  startedLate,
} from "./process-slots.ts";
import { startTimeOf } from "./process-table.ts";
import { spawnProcess, spawnWithChannel } from "./spawn-process.ts";
import { removeState, writeState, type ClusterState } from "./state-file.ts";
import { Supervisor, type PortTaken, type SpawnedProcess } from "./supervisor.ts";

const POLL_MS = 20;
/** Processes tell when something changes with them, so that nobody need look. */
const NO_CHANGE_MS = 1_000;
/** How long news may be missing on disk. */
const NEWS_MS = 200;
/** How long a caller who waits for news is kept. */
const WAIT_MS = 500;

/** What all others stand on, and know the ports of. */
const FIRST_COMPONENTS: readonly Component[] = ["etcd", "nats", "api-server"];

interface Options {
  readonly spec: ClusterSpec;
  readonly home: string;
  readonly dist: string;
  readonly tools: string;
  readonly owned: boolean;
  readonly freePorts: boolean;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      spec: { type: "string" },
      home: { type: "string" },
      dist: { type: "string" },
      tools: { type: "string" },
      owned: { type: "boolean", default: false },
      "free-ports": { type: "boolean", default: false },
    },
  });
  const { spec, home, dist, tools } = values;
  if (spec === undefined || home === undefined || dist === undefined || tools === undefined) {
    throw new Error("--spec, --home, --dist and --tools are required");
  }
  const wish = JSON.parse(readFileSync(spec, "utf8")) as Partial<ClusterSpec>;
  return { spec: clusterSpec(wish), home, dist, tools, owned: values.owned, freePorts: values["free-ports"] };
}

/** Ready nodes out of all, as the api-server lists them. */
async function countReadyNodes(get: (path: string) => Promise<unknown>): Promise<number> {
  const list = (await get("/api/v1/nodes?resourceVersion=0")) as {
    items: { status?: { conditions?: { type: string; status: string }[] } }[];
  };
  return list.items.filter((node) => node.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True"))
    .length;
}

/** Whether a pod can be created in the namespace `default` yet: it needs an account. */
async function hasDefaultAccount(get: (path: string) => Promise<unknown>): Promise<boolean> {
  const named = "fieldSelector=metadata.name%3Ddefault&resourceVersion=0";
  const list = (await get(`/api/v1/namespaces/default/serviceaccounts?${named}`)) as { items: unknown[] };
  return list.items.length > 0;
}

/** Without those on nodes that are not there yet. */
function presentOnes(specs: readonly ProcessSpec[], nodes: readonly string[]): ProcessSpec[] {
  return specs.filter(
    ({ component, node }) => !NODE_COMPONENTS.includes(component) || node === "" || nodes.includes(node),
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** One run of a cluster, from its first process to its last. */
class ClusterRun {
  readonly #env: Env = createRealEnv();
  readonly #options: Options;
  readonly #paths: ClusterPaths;
  readonly #self = { pid: process.pid, startTime: startTimeOf(process.pid) ?? "" };
  readonly #down = new AbortController();
  readonly #progress: string[] = [];
  /** Callers who wait for news. */
  readonly #waiting = new Set<() => void>();
  /** Each ends the pause of somebody who waits for processes. */
  readonly #pausing = new Set<() => void>();
  #phase: ClusterState["phase"] = "starting";
  /** Why the start cannot come to its end. */
  #failure: Error | undefined;
  #written = "";
  #writing: TimerHandle | undefined;
  #ground: ContainerdGround | undefined;
  #exposures: ReturnType<typeof createExposures> | undefined;
  #front: ApiFront | undefined;
  #supervisor: Supervisor | undefined;
  #prober: Prober | undefined;
  #pool: NodePool | undefined;
  #endProvider: (() => void) | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#paths = clusterPaths(options.spec.name, options.home);
  }

  /** Resolves when the cluster was told to end and is gone. Rejects where it could not start; nothing then stays. */
  async run(): Promise<void> {
    const { spec, owned } = this.#options;
    await endLeftovers(this.#env, this.#paths.state);
    await removeGround(this.#env, this.#paths, spec.runtime);
    const control = await serveControl(this.#paths.socket, (request) => this.#handle(request));
    this.#persist();
    for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(name, () => this.#down.abort());
    if (owned) process.stdin.on("end", () => this.#down.abort()).resume();
    let failure: unknown;
    try {
      await this.#start();
      this.#phase = "ready";
      this.#say("ready");
      // After whoever waits was told.
      this.#env.timers.defer(() => this.#supervisor?.start(startedLate(this.#options.spec)));
      await aborted(this.#down.signal);
    } catch (error) {
      if (!isAbort(error)) failure = error;
    }
    this.#phase = "stopping";
    this.#persist();
    this.#endProvider?.();
    await this.#pool?.close();
    await this.#supervisor?.stop();
    this.#front?.close();
    this.#prober?.close();
    this.#ground?.sockets.close();
    await removeGround(this.#env, this.#paths, spec.runtime);
    this.#env.timers.clear(this.#writing);
    removeState(this.#paths.state);
    control.close();
    if (failure !== undefined) throw failure;
  }

  #state(): ClusterState {
    const exposed = this.#exposures === undefined ? {} : { exposed: this.#exposures.list() };
    const front = this.#front === undefined ? {} : { front: this.#front.port };
    const records = this.#supervisor?.records() ?? [];
    return { supervisor: this.#self, phase: this.#phase, progress: this.#progress, records, ...front, ...exposed };
  }

  /**
   * Who runs is on disk before anybody is told so, as whoever cleans up after this process needs it. The rest, which is news
   * for people, follows soon: a file that replaces another can cost the disk's time, and there is news all the time at start.
   */
  #persist(): void {
    const records = this.#supervisor?.records() ?? [];
    const vital = [this.#phase, ...records.map(({ pid }) => pid)].join();
    if (vital !== this.#written) {
      this.#written = vital;
      this.#write();
      return;
    }
    this.#writing ??= this.#env.timers.setTimeout(() => this.#write(), NEWS_MS);
  }

  #write(): void {
    this.#env.timers.clear(this.#writing);
    this.#writing = undefined;
    writeState(this.#paths.state, this.#state());
  }

  /** Resolves when there is more to tell than `told` lines, and after WAIT_MS at the latest. */
  async #news(told: number): Promise<void> {
    if (this.#progress.length > told || this.#phase !== "starting") return;
    const { timers } = this.#env;
    await new Promise<void>((resolve) => {
      const timer = timers.setTimeout(() => settle(), WAIT_MS);
      const settle = (): void => {
        timers.clear(timer);
        this.#waiting.delete(settle);
        resolve();
      };
      this.#waiting.add(settle);
    });
  }

  readonly #say = (line: string): void => {
    this.#progress.push(line);
    this.#persist();
    for (const settle of this.#waiting) settle();
  };

  async #handle(request: ControlRequest): Promise<ControlAnswer> {
    if (request.op === "status") return { ok: true, state: this.#state() };
    if (request.op === "wait") {
      await this.#news(request.told);
      return { ok: true, state: this.#state() };
    }
    if (request.op === "down") {
      this.#down.abort();
      return { ok: true };
    }
    if (request.op === "chaos") {
      const refusal = chaosRefusal(this.#options.spec, request.action, request.component);
      if (refusal !== undefined) return { ok: false, error: refusal };
      const affected = this.#supervisor?.chaos(request.action, request.component, request.instance) ?? [];
      return { ok: true, affected };
    }
    if (this.#exposures === undefined)
      throw new Error("only a cluster with real containers (--runtime containerd) has addresses to expose");
    const exposed = request.op === "expose" ? await this.#exposures.add(request) : this.#exposures.remove(request.port);
    this.#persist();
    return { ok: true, exposed };
  }

  async #start(): Promise<void> {
    const { spec, dist, tools, freePorts } = this.#options;
    const paths = this.#paths;
    const etcd = spec.storage === "etcd" ? await ensureProgram(ETCD, tools, this.#say) : undefined;
    const natsServer = await ensureProgram(NATS_SERVER, tools, this.#say);
    const binaries = { node: process.execPath, dist, etcd, natsServer };
    const nodes = this.#firstNodes();
    const input: ContainerdInput = { env: this.#env, spec, paths, dist, tools, freePorts, nodes, say: this.#say };
    if (spec.runtime === "containerd") {
      const ground = await prepareContainerd(input);
      this.#ground = ground;
      this.#front = ground.front;
      this.#exposures = createExposures(ground.sockets);
      const specs = planProcesses({ spec, paths, binaries, ports: ground.ports, site: ground.site });
      await this.#startOnGround(ground, specs, input);
      const specsOf = async (node: string): Promise<ProcessSpec[]> => specs.filter((one) => one.node === node);
      await this.#provideNodes(nodes, specsOf, input);
    } else {
      this.#say("certificates");
      await prepareIdentity(this.#env, spec, paths, undefined, FIRST_CERTIFICATES);
      const file = this.#portsFile();
      this.#front = await openFront(spec, file, freePorts);
      const ports = await choosePorts(spec, file, freePorts, undefined, this.#front);
      writeConfigs(spec, paths, ports);
      const specs = planProcesses({ spec, paths, binaries, ports });
      const supervisor = this.#supervise(presentOnes(specs, nodes), (one) => this.#portTaken(one, binaries));
      // All others wait for these, so these get the processor first.
      supervisor.start(FIRST_COMPONENTS);
      await prepareIdentity(this.#env, spec, paths);
      const late = startedLate(spec);
      supervisor.start(COMPONENTS.filter((component) => !late.includes(component)));
      await this.#provideNodes(nodes, (node) => this.#simulatedNode(node, binaries), input);
    }
    await this.#waitReady(nodes.length);
  }

  /** Whatever took the ports of a node that was away has them now. */
  async #simulatedNode(node: string, binaries: Binaries): Promise<ProcessSpec[]> {
    const { spec } = this.#options;
    const ports = await renewPorts(spec, this.#portsFile(), (slot) => slot.node === node);
    return planProcesses({ spec, paths: this.#paths, binaries, ports }).filter((one) => one.node === node);
  }

  #portsFile(): string {
    return `${this.#paths.dataDir}/ports.json`;
  }

  /**
   * What another program took between the choice of a port and the start of the process that was to listen there. Others count on
   * the ports of what they all stand on: without those a start fails, and a cluster that runs waits for them.
   */
  async #portTaken(one: ProcessSpec, binaries: Binaries): Promise<PortTaken | undefined> {
    const { spec } = this.#options;
    const { component, instance, ports: had } = one;
    const port = await takenPort([had.main, had.grpc]);
    if (port === undefined) return undefined;
    // The autoscaler asks schedulers what would fit.
    const fixed = FIRST_COMPONENTS.includes(component) || (component === "scheduler" && spec.autoscale !== undefined);
    if (fixed) {
      if (this.#phase === "starting") {
        const name = slotKey(component, instance);
        this.#failure = new PortTakenError(
          `port ${port} on 127.0.0.1, chosen for ${name}, was taken by another program before ${component} could listen there; start the cluster again`,
        );
      }
      return { port };
    }
    const same = (other: { readonly component: string; readonly instance: string }): boolean =>
      other.component === component && other.instance === instance;
    const ports = await renewPorts(spec, this.#portsFile(), same);
    const elsewhere = planProcesses({ spec, paths: this.#paths, binaries, ports }).find(same);
    this.#say(`${slotKey(component, instance)}: port ${port} is taken by another program; another one is used`);
    return elsewhere === undefined ? { port } : { port, elsewhere };
  }

  /** The nodes to start with. */
  #firstNodes(): string[] {
    const { spec } = this.#options;
    if (spec.autoscale === undefined) return nodeGroups(spec);
    return firstNodes(spec.autoscale, spec.nodes, readNodes(this.#paths.nodes));
  }

  /** Where the cluster is to be autoscaled, whoever has its files may add and remove nodes from now on. */
  async #provideNodes(
    nodes: readonly string[],
    specsOf: (node: string) => Promise<ProcessSpec[]>,
    input: ContainerdInput,
  ): Promise<void> {
    const { spec } = this.#options;
    const supervisor = this.#supervisor;
    if (spec.autoscale === undefined || supervisor === undefined) return;
    const ground = this.#ground;
    const maker = createNodeMaker({
      supervisor,
      platform: ground?.platform,
      specsOf,
      containerdReady: (node) => this.#waitFor((one) => one.component === "containerd" && one.node === node),
      importImages: async (node) => {
        if (ground !== undefined) await importSystemImages(input, ground.platform, [node]);
      },
    });
    const save = (names: readonly string[]): void => writeNodes(this.#paths.nodes, names);
    const pool = new NodePool({ range: spec.autoscale, nodes, maker, save });
    this.#pool = pool;
    const share = ground === undefined ? undefined : nodeShare(nodeCapacity(spec));
    // What only such a cluster needs is loaded for such a cluster alone.
    const { nodeProviderService, serveNodeProvider } = await import("./node-provider.ts");
    const service = nodeProviderService({ cluster: spec.name, pool, template: () => nodeTemplate(share) });
    this.#endProvider = await serveNodeProvider(this.#paths.nodeProvider, service);
  }

  /** Kubelets come last: a pod that is there already must find the pause image. */
  async #startOnGround(ground: ContainerdGround, specs: readonly ProcessSpec[], input: ContainerdInput): Promise<void> {
    const supervisor = this.#supervise(presentOnes(specs, input.nodes));
    supervisor.start(["gateway"]);
    await mapPorts(specs, ground.sockets);
    supervisor.start(COMPONENTS.filter((component) => component !== "kubelet"));
    await this.#waitFor(({ component }) => component === "containerd");
    this.#say("images");
    await importSystemImages(input, ground.platform, input.nodes);
    supervisor.start(["kubelet"]);
  }

  #supervise(
    specs: readonly ProcessSpec[],
    portTaken: (one: ProcessSpec) => Promise<PortTaken | undefined> = async () => undefined,
  ): Supervisor {
    const ground = this.#ground;
    const prober = createProber(this.#paths.pki, (node) => ground?.platform.containerdSocket(node) ?? "");
    this.#prober = prober;
    this.#supervisor = new Supervisor(specs, {
      env: this.#env,
      spawn: (one) => this.#spawn(one),
      probe: (one, kind) => prober.probe(one, kind),
      onChange: (records) => {
        this.#front?.follow(records);
        this.#persist();
        for (const resume of this.#pausing) resume();
      },
      portTaken,
      endWith: (component) => lostWith(this.#options.spec, component),
      nodes: ground === undefined ? undefined : createNodePower(ground.platform),
    });
    this.#say("starting processes");
    return this.#supervisor;
  }

  #spawn(one: ProcessSpec): SpawnedProcess {
    const cache = `${this.#options.dist}/compile-cache`;
    if (one.component !== "gateway") return spawnProcess(one, cache);
    const { process: spawned, child } = spawnWithChannel(one, cache);
    this.#ground?.sockets.attach(child);
    return spawned;
  }

  #missing(matters: (spec: ProcessSpec) => boolean): string | undefined {
    return missingPart((this.#supervisor?.records() ?? []).filter(({ spec }) => matters(spec)));
  }

  /** Waits until the processes that matter are ready, and says meanwhile which is not. */
  #waitFor(matters: (spec: ProcessSpec) => boolean): Promise<void> {
    return this.#poll(() => this.#missing(matters), NO_CHANGE_MS);
  }

  /** Says what is missing until nothing is; looks again when a process changed its state, and `everyMs`. */
  async #poll(missing: () => Promise<string | undefined> | string | undefined, everyMs: number): Promise<void> {
    const { clock } = this.#env;
    for (let last = ""; ;) {
      const asked = clock.monotonic();
      if (this.#failure !== undefined) throw this.#failure;
      const line = await missing();
      if (line === undefined) return;
      if (line !== last) this.#say(line);
      last = line;
      // A list of thousands of nodes is work for the cluster that is asked for it.
      await this.#pause(Math.max(everyMs, clock.monotonic() - asked));
    }
  }

  /** Resolves after `ms`, or once a process is in another state. Rejects where the cluster is to end. */
  async #pause(ms: number): Promise<void> {
    const changed = new AbortController();
    const resume = (): void => changed.abort();
    this.#pausing.add(resume);
    try {
      await pause(this.#env.timers, ms, changed.signal, this.#down.signal);
    } finally {
      this.#pausing.delete(resume);
    }
  }

  /** `nodes`: process groups of nodes; packs count as what is in them. */
  async #waitReady(groups: number): Promise<void> {
    const { spec } = this.#options;
    const nodes = spec.autoscale === undefined ? spec.nodes : groups;
    const api = this.#supervisor?.records().find(({ spec }) => spec.component === "api-server");
    const get = (where: string): Promise<unknown> =>
      this.#prober?.getJson(api?.spec.ports.main ?? 0, where) ?? Promise.reject(new Error("nothing runs"));
    const late = startedLate(spec);
    const matters = ({ component }: ProcessSpec): boolean => !late.includes(component);
    await this.#waitFor(matters);
    await this.#poll(async () => {
      const missing = this.#missing(matters);
      if (missing !== undefined) return missing;
      try {
        const ready = await countReadyNodes(get);
        // An autoscaler may have added some meanwhile.
        const enough = spec.autoscale === undefined ? ready === nodes : ready >= nodes;
        if (!enough) return `nodes ready: ${ready}/${nodes}`;
        if (spec.controllerManagers === 0 || (await hasDefaultAccount(get))) return undefined;
        return "the ServiceAccount of the namespace default";
      } catch (error) {
        return `nodes ready: ${String(error)}/${nodes}`;
      }
    }, POLL_MS);
  }
}

new ClusterRun(readOptions()).run().then(
  () => process.exit(0),
  (error: unknown) => {
    // What the user can do something about needs no stack; the caller shows the last lines of this log.
    const expected = [PlatformError, MissingProgramError, PortTakenError].some((kind) => error instanceof kind);
    console.error(error instanceof Error && !expected ? inSources(error.stack ?? error.message) : String(error));
    process.exit(1);
  },
);
