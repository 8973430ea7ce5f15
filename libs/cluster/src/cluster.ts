// Start, find and stop a cluster: what bin/coxswain and authors of tests call. A cluster is a supervisor process with the
// cluster's processes under it; this file only starts it, talks to its socket, and cleans up when it is gone.
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createRealEnv, type Env } from "@coxswain/env";
import { clusterInfo, type ClusterInfo, missingPart } from "./cluster-info.ts";
import {
  clusterPaths,
  clusterSpec,
  homeDir,
  type ClusterPaths,
  type ClusterSpec,
  type Runtime,
} from "./cluster-spec.ts";
import { askControl } from "./control-api.ts";
import { endLeftovers, removeGround, survivors } from "./leftovers.ts";
import { ExposeError, exposeTargets, parseWish } from "./expose-targets.ts";
import { createProber, NotOkError } from "./probe.ts";
import { isAlive } from "./process-table.ts";
import { readState, type ClusterState, type Exposed } from "./state-file.ts";
import type { ChaosAction, ProcessRecord } from "./supervisor.ts";

export class ClusterError extends Error {
  override readonly name = "ClusterError";
}

export interface StartOptions extends Partial<ClusterSpec> {
  /** Where clusters keep their data; $COXSWAIN_HOME or ~/.coxswain where unset. */
  readonly home?: string;
  /** Detached clusters outlive this process; others end with it. */
  readonly detached?: boolean;
  /** Use free ports at once, not the well-known ones. */
  readonly freePorts?: boolean;
  /**
   * What to wait for. "nodes", where unset: what pods need to run; of simulated nodes the kube-proxies, and the metrics-server,
   * may come a moment later. "processes": all.
   */
  readonly waitFor?: "nodes" | "processes";
  /** How long the cluster may take to be ready; 120,000 where unset. */
  readonly timeoutMs?: number;
  readonly onProgress?: (line: string) => void;
  readonly signal?: AbortSignal;
}

export interface Cluster extends AsyncDisposable {
  readonly name: string;
  /** As it is when it is asked for: a process that started late, or again, has its pid. */
  readonly info: ClusterInfo;
  /** The text of a kubeconfig for a cluster admin. */
  readonly kubeconfig: string;
  readonly paths: ClusterPaths;
  status(): Promise<ClusterState>;
  readonly chaos: Chaos;
  /**
   * Leads a port of 127.0.0.1, a free one where unset, to "SERVICE", "NAMESPACE/SERVICE:PORT", "NODEPORT" or
   * "ADDRESS:PORT" inside a containerd cluster. Rejects with ExposeError for what cannot be reached.
   */
  expose(target: string, options?: { port?: number }): Promise<Exposed>;
  /** Closes a port that `expose` opened. */
  unexpose(port: number): Promise<void>;
  /** Ends all processes; `purge` removes the data too. */
  down(options?: { purge?: boolean }): Promise<void>;
}

export interface Chaos {
  /**
   * Each takes "scheduler" or "scheduler/1"; rejects where nothing of that name runs. "node/node-1" is all that runs on a
   * node, containers too: killed, it is off the network and stays down until it is thawed or started.
   */
  kill(target: string): Promise<readonly ProcessRecord[]>;
  freeze(target: string): Promise<readonly ProcessRecord[]>;
  thaw(target: string): Promise<readonly ProcessRecord[]>;
  /** The other word for `thaw`, for a node that was killed: "node/node-1". */
  start(target: string): Promise<readonly ProcessRecord[]>;
}

const POLL_MS = 20;
/** How long a supervisor may take to end what it has started. */
const SUPERVISOR_END_MS = 60_000;

/** The repository root: given by bin/coxswain, else found from this file (source or bundle). */
export function repositoryRoot(): string {
  const given = process.env["COXSWAIN_ROOT"];
  if (given !== undefined) return given;
  for (let folder = import.meta.dirname; folder !== path.dirname(folder); folder = path.dirname(folder)) {
    if (existsSync(path.join(folder, "pnpm-workspace.yaml"))) return folder;
  }
  throw new ClusterError("the Coxswain repository was not found: set COXSWAIN_ROOT");
}

/**
 * Starts a cluster and resolves when every node is ready, and what `waitFor` says. A cluster of that name that already runs is an
 * error. Rejects with what was missing after `timeoutMs`; nothing then stays behind.
 */
export async function startCluster(options: StartOptions = {}): Promise<Cluster> {
  const env = createRealEnv();
  const spec = clusterSpec(options);
  const home = options.home ?? homeDir();
  const paths = clusterPaths(spec.name, home);
  if ((await askControl(paths.socket, { op: "status" })) !== undefined) {
    throw new ClusterError(`cluster "${spec.name}" is running: \`coxswain down --name ${spec.name}\` ends it`);
  }
  // Where packets to a node's pods go is set by its number, and a simulated one has taken whatever block was free.
  if (spec.runtime === "containerd" && runtimeOf(paths) === "simulated" && existsSync(paths.etcd)) {
    throw new ClusterError(
      `the data of cluster "${spec.name}" are of simulated nodes, which containerd nodes cannot take over: ` +
        `\`coxswain down --name ${spec.name} --purge\` removes them, or choose another --name`,
    );
  }
  mkdirSync(paths.logs, { recursive: true, mode: 0o700 });
  if (Buffer.byteLength(paths.socket) > 100)
    throw new ClusterError(`${paths.socket} is too long for a socket: choose a shorter COXSWAIN_HOME`);
  writeFileSync(paths.spec, JSON.stringify(spec), { mode: 0o600 });
  const child = spawnSupervisor(paths, home, options);
  try {
    await waitReady(env, paths, child, options);
  } catch (error) {
    await endSupervisor(env, child);
    await stopCluster(spec.name, { home });
    throw error;
  }
  return attach(spec.name, home);
}

/** Also one that has not opened its control socket yet. It takes down what it has begun; resolves when it is gone. */
async function endSupervisor(env: Env, child: ChildProcess): Promise<void> {
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null;
  if (!ended()) child.kill("SIGTERM");
  const giveUpAt = env.clock.monotonic() + SUPERVISOR_END_MS;
  while (!ended()) {
    if (env.clock.monotonic() > giveUpAt) child.kill("SIGKILL");
    await env.timers.sleep(POLL_MS);
  }
}

function spawnSupervisor(paths: ClusterPaths, home: string, options: StartOptions): ChildProcess {
  const root = repositoryRoot();
  const dist = path.join(root, "dist");
  if (!existsSync(path.join(dist, "supervisor.mjs")))
    throw new ClusterError(`${dist} is not built: run bin/coxswain once, or tools/build.ts`);
  const args = [
    path.join(dist, "supervisor.mjs"),
    `--spec=${paths.spec}`,
    `--home=${home}`,
    `--dist=${dist}`,
    `--tools=${path.join(root, ".tools")}`,
  ];
  if (!options.detached) args.push("--owned");
  if (options.freePorts) args.push("--free-ports");
  const log = openSync(path.join(paths.logs, "supervisor.log"), "a", 0o600);
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: [options.detached ? "ignore" : "pipe", log, log],
    env: { ...process.env, NODE_COMPILE_CACHE: path.join(dist, "compile-cache") },
  });
  closeSync(log);
  // The pipe alone ties the supervisor to this process; it must not keep this process alive.
  child.unref();
  if (child.stdin !== null && "unref" in child.stdin) (child.stdin as unknown as { unref(): void }).unref();
  return child;
}

async function waitReady(env: Env, paths: ClusterPaths, child: ChildProcess, options: StartOptions): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 120_000;
  const deadline = env.clock.monotonic() + timeoutMs;
  let told = 0;
  /** What has not come since the nodes are ready. */
  let late: string | undefined;
  for (;;) {
    options.signal?.throwIfAborted();
    const state = (await askControl(paths.socket, late === undefined ? { op: "wait", told } : { op: "status" }))?.state;
    for (; told < (state?.progress.length ?? 0); told++) options.onProgress?.(state?.progress[told] ?? "");
    late = state?.phase === "ready" && options.waitFor === "processes" ? missingPart(state.records) : undefined;
    if (state?.phase === "ready" && late === undefined) return;
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new ClusterError(`the cluster could not start: ${lastLines(path.join(paths.logs, "supervisor.log"), 5)}`);
    }
    if (env.clock.monotonic() > deadline) {
      throw new ClusterError(
        `the cluster was not ready within ${timeoutMs / 1000} s; still missing: ${late ?? state?.progress.at(-1) ?? "everything"}; logs: ${paths.logs}`,
      );
    }
    // Nobody listens yet; else the answer came when there was news.
    if (state === undefined || late !== undefined) await env.timers.sleep(POLL_MS);
  }
}

function lastLines(file: string, count: number): string {
  return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").slice(-count).join("\n") : "no log";
}

/** The running cluster `name`. Rejects where none runs. */
export async function attach(name: string, home: string = homeDir()): Promise<Cluster> {
  const paths = clusterPaths(name, home);
  const state = await statusOf(name, home);
  if (state === undefined)
    throw new ClusterError(`no cluster "${name}" is running: \`coxswain up --name ${name}\` starts one`);
  const down = (options?: { purge?: boolean }): Promise<void> =>
    stopCluster(name, { ...options, home }).then(() => undefined);
  const act = async (action: ChaosAction, target: string): Promise<readonly ProcessRecord[]> => {
    const [component = "", instance] = target.split("/", 2);
    const affected = (await askControl(paths.socket, { op: "chaos", action, component, instance }))?.affected ?? [];
    if (affected.length === 0) throw new ClusterError(`nothing runs as "${target}": see \`coxswain status\``);
    return affected;
  };
  /** What is on disk, where whatever has a new pid is at once; of a cluster that is gone, what was when it was found. */
  const recorded = (): ClusterState => readState(paths.state) ?? state;
  return {
    name,
    paths,
    get info() {
      return clusterInfo(name, paths, recorded());
    },
    kubeconfig: readFileSync(paths.kubeconfig, "utf8"),
    status: async () => {
      const now = await statusOf(name, home);
      if (now === undefined) throw new ClusterError(`cluster "${name}" is gone`);
      return now;
    },
    chaos: {
      kill: (target) => act("kill", target),
      freeze: (target) => act("freeze", target),
      thaw: (target) => act("thaw", target),
      start: (target) => act("start", target),
    },
    expose: async (target, { port = 0 } = {}) => {
      const targets = await resolveTargets(target, paths, recorded().records);
      const answer = await askControl(paths.socket, { op: "expose", port, targets, label: target });
      if (answer?.exposed === undefined) throw new ClusterError(`cluster "${name}" is gone`);
      return answer.exposed;
    },
    unexpose: async (port) => {
      if ((await askControl(paths.socket, { op: "unexpose", port })) === undefined)
        throw new ClusterError(`cluster "${name}" is gone`);
    },
    down,
    [Symbol.asyncDispose]: () => down({ purge: true }),
  };
}

/** The state of the cluster `name`, or undefined where no supervisor answers. */
export async function statusOf(name: string, home: string = homeDir()): Promise<ClusterState | undefined> {
  return (await askControl(clusterPaths(name, home).socket, { op: "status" }))?.state;
}

/**
 * Ends the cluster `name`: through its supervisor, or, where that is gone, by the pids on record. Resolves when no process
 * is left; says whether anything ran. `purge` removes the data as well.
 */
export async function stopCluster(name: string, options: { home?: string; purge?: boolean } = {}): Promise<boolean> {
  const env = createRealEnv();
  const paths = clusterPaths(name, options.home ?? homeDir());
  const before = survivors(paths.state);
  const supervisor = readState(paths.state)?.supervisor;
  if ((await askControl(paths.socket, { op: "down" })) !== undefined) {
    // Its state file is gone a moment before the supervisor itself is.
    const gone = (): boolean => supervisor === undefined || !isAlive(supervisor);
    while (!gone()) await env.timers.sleep(POLL_MS);
  }
  const left = await endLeftovers(env, paths.state);
  await removeGround(env, paths, runtimeOf(paths));
  rmSync(paths.socket, { force: true });
  if (options.purge) rmSync(paths.dataDir, { recursive: true, force: true });
  return before.length + left > 0;
}

/** The runtime of the cluster's last start; undefined where it never was. */
function runtimeOf(paths: ClusterPaths): Runtime | undefined {
  if (!existsSync(paths.spec)) return undefined;
  return (JSON.parse(readFileSync(paths.spec, "utf8")) as Partial<ClusterSpec>).runtime;
}

async function resolveTargets(
  target: string,
  paths: ClusterPaths,
  records: readonly ProcessRecord[],
): Promise<string[]> {
  const kubelets = records.filter(({ spec }) => spec.component === "kubelet");
  const addresses = kubelets.flatMap(({ spec }) => (spec.inside === undefined ? [] : [spec.inside.address]));
  const api = records.find(({ spec }) => spec.component === "api-server")?.spec.ports.main ?? 0;
  const prober = createProber(paths.pki);
  try {
    return await exposeTargets(parseWish(target), addresses, (where) => prober.getJson(api, where));
  } catch (error) {
    if (error instanceof NotOkError)
      throw new ExposeError(`no Service "${target}": ${error.message}`, { cause: error });
    throw error;
  } finally {
    prober.close();
  }
}
