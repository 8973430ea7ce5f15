// The process behind `up`: prepares a cluster, starts its processes, keeps them running, and answers on the control socket
// until it is told to take everything down. With --owned it goes down when its standard input closes, so that a caller that
// is killed leaves no cluster behind.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createRealEnv, isAbort, type Env } from "@coxswain/env";
import { clusterPaths, clusterSpec, type ClusterPaths, type ClusterSpec } from "./cluster-spec.ts";
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
import { endLeftovers, removeGround } from "./leftovers.ts";
import { createNodePower } from "./node-power.ts";
import { choosePorts, prepareIdentity, writeConfigs } from "./prepare.ts";
import { PlatformError } from "./platform/platform-plan.ts";
import { createProber, type Prober } from "./probe.ts";
import { planProcesses, type ProcessSpec } from "./process-plan.ts";
import { COMPONENTS } from "./process-slots.ts";
import { startTimeOf } from "./process-table.ts";
import { spawnProcess, spawnWithChannel } from "./spawn-process.ts";
import { removeState, writeState, type ClusterState } from "./state-file.ts";
import { Supervisor, type SpawnedProcess } from "./supervisor.ts";

const POLL_MS = 25;

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
  #phase: ClusterState["phase"] = "starting";
  #written = "";
  #ground: ContainerdGround | undefined;
  #exposures: ReturnType<typeof createExposures> | undefined;
  #supervisor: Supervisor | undefined;
  #prober: Prober | undefined;

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
      await aborted(this.#down.signal);
    } catch (error) {
      if (!isAbort(error)) failure = error;
    }
    this.#phase = "stopping";
    this.#persist();
    await this.#supervisor?.stop();
    this.#prober?.close();
    this.#ground?.sockets.close();
    await removeGround(this.#env, this.#paths, spec.runtime);
    removeState(this.#paths.state);
    control.close();
    if (failure !== undefined) throw failure;
  }

  #state(): ClusterState {
    const exposed = this.#exposures === undefined ? {} : { exposed: this.#exposures.list() };
    const records = this.#supervisor?.records() ?? [];
    return { supervisor: this.#self, phase: this.#phase, progress: this.#progress, records, ...exposed };
  }

  #persist(): void {
    const next = JSON.stringify(this.#state());
    if (next === this.#written) return;
    this.#written = next;
    writeState(this.#paths.state, this.#state());
  }

  readonly #say = (line: string): void => {
    this.#progress.push(line);
    this.#persist();
  };

  async #handle(request: ControlRequest): Promise<ControlAnswer> {
    if (request.op === "status") return { ok: true, state: this.#state() };
    if (request.op === "down") {
      this.#down.abort();
      return { ok: true };
    }
    if (request.op === "chaos") {
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
    const etcd = await ensureProgram(ETCD, tools, this.#say);
    const natsServer = await ensureProgram(NATS_SERVER, tools, this.#say);
    const binaries = { node: process.execPath, dist, etcd, natsServer };
    const input: ContainerdInput = { env: this.#env, spec, paths, dist, tools, freePorts, say: this.#say };
    if (spec.runtime === "containerd") {
      const ground = await prepareContainerd(input);
      this.#ground = ground;
      this.#exposures = createExposures(ground.sockets);
      const specs = planProcesses({ spec, paths, binaries, ports: ground.ports, site: ground.site });
      await this.#startOnGround(ground, specs, input);
    } else {
      this.#say("certificates");
      await prepareIdentity(this.#env, spec, paths);
      const ports = await choosePorts(spec, `${paths.dataDir}/ports.json`, freePorts);
      writeConfigs(spec, paths, ports);
      this.#supervise(planProcesses({ spec, paths, binaries, ports })).start(COMPONENTS);
    }
    await this.#waitReady();
  }

  /** Kubelets come last: a pod that is there already must find the pause image. */
  async #startOnGround(ground: ContainerdGround, specs: readonly ProcessSpec[], input: ContainerdInput): Promise<void> {
    const supervisor = this.#supervise(specs);
    supervisor.start(["gateway"]);
    await mapPorts(specs, ground.sockets);
    supervisor.start(COMPONENTS.filter((component) => component !== "kubelet"));
    await this.#poll(() => this.#missing((component) => component === "containerd"));
    this.#say("images");
    await importSystemImages(input, ground.platform);
    supervisor.start(["kubelet"]);
  }

  #supervise(specs: readonly ProcessSpec[]): Supervisor {
    const ground = this.#ground;
    const prober = createProber(this.#paths.pki, (node) => ground?.platform.containerdSocket(node) ?? "");
    this.#prober = prober;
    this.#supervisor = new Supervisor(specs, {
      env: this.#env,
      spawn: (one) => this.#spawn(one),
      probe: (one, kind) => prober.probe(one, kind),
      onChange: () => this.#persist(),
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

  #missing(matters: (component: string) => boolean): string | undefined {
    return missingPart((this.#supervisor?.records() ?? []).filter(({ spec }) => matters(spec.component)));
  }

  /** Says what is missing until nothing is. */
  async #poll(missing: () => Promise<string | undefined> | string | undefined): Promise<void> {
    for (let last = ""; ;) {
      const line = await missing();
      if (line === undefined) return;
      if (line !== last) this.#say(line);
      last = line;
      await this.#env.timers.sleep(POLL_MS, this.#down.signal);
    }
  }

  #waitReady(): Promise<void> {
    const { nodes } = this.#options.spec;
    const api = this.#supervisor?.records().find(({ spec }) => spec.component === "api-server");
    const get = (where: string): Promise<unknown> =>
      this.#prober?.getJson(api?.spec.ports.main ?? 0, where) ?? Promise.reject(new Error("nothing runs"));
    return this.#poll(async () => {
      const missing = this.#missing(() => true);
      if (missing !== undefined) return missing;
      const ready = await countReadyNodes(get).catch((error: unknown) => String(error));
      return ready === nodes ? undefined : `nodes ready: ${ready}/${nodes}`;
    });
  }
}

new ClusterRun(readOptions()).run().then(
  () => process.exit(0),
  (error: unknown) => {
    // What the user can do something about needs no stack; the caller shows the last lines of this log.
    const expected = error instanceof PlatformError || error instanceof MissingProgramError;
    console.error(error instanceof Error && !expected ? (error.stack ?? error.message) : String(error));
    process.exit(1);
  },
);
