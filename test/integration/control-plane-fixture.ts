// Single processes of a cluster for a test: etcd, NATS and whichever of ours a test asks for, as bundles with the command
// lines that `coxswain up` gives them, but with no supervisor that would restart what a test kills.
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createGrpcResourceClient } from "@coxswain/client/grpc/grpc-resource-client";
import type { ResourceClient } from "@coxswain/client";
import {
  clusterPaths,
  clusterSpec,
  ensureProgram,
  ETCD,
  NATS_SERVER,
  repositoryRoot,
  type ClusterSpec,
} from "@coxswain/cluster";
import { choosePorts, prepareIdentity, writeConfigs } from "@coxswain/cluster/prepare";
import { createProber, type Prober } from "@coxswain/cluster/probe";
import { planProcesses, slotKey, type Component, type ProcessSpec } from "@coxswain/cluster/process-plan";
import { silentLogger } from "@coxswain/component-base";
import { certificateFiles, type CertificateFiles } from "@coxswain/component-base/identity/index";
import { createRealEnv } from "@coxswain/env";
import { waitFor } from "@coxswain/testkit";

export interface RunningProcess {
  readonly spec: ProcessSpec;
  /** "127.0.0.1:port" of its gRPC port. */
  readonly grpc: string;
  /** Of the process that was started last. Throws where none was. */
  readonly pid: number;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it, or starts it again after `kill`; resolves when it is ready. */
  start(): Promise<void>;
  log(): string;
}

export interface ControlPlane extends AsyncDisposable {
  readonly processes: readonly RunningProcess[];
  /** As in "api-server/1". Throws where there is none. */
  process(key: string): RunningProcess;
  /** Files of a certificate: "admin", "scheduler". */
  certificate(name: string): CertificateFiles;
  /** PEM text of a certificate. */
  tls(name: string): { readonly ca: string; readonly cert: string; readonly key: string };
  /** A client of the api-servers `addresses`, or of all; the caller closes it. */
  client(options?: { addresses?: readonly string[]; certificate?: string; token?: string }): ResourceClient;
}

export interface ControlPlaneOptions extends Partial<Pick<ClusterSpec, "apiServers" | "nodes" | "enableChaos">> {
  /** Besides etcd, NATS and the api-servers. */
  readonly components?: readonly Component[];
  /** Further flags of every api-server. */
  readonly apiServerArgs?: readonly string[];
}

const READY_MS = 60_000;
const env = createRealEnv();

function isGone(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function runProcess(spec: ProcessSpec, prober: Prober, live: Set<ChildProcess>): RunningProcess {
  let child: ChildProcess | undefined;
  const log = (): string => readFileSync(spec.log, "utf8");
  const start = async (): Promise<void> => {
    const file = openSync(spec.log, "a", 0o600);
    const started = spawn(spec.command, [...spec.args], {
      stdio: ["ignore", file, file],
      env: { ...process.env, ...spec.env },
    });
    closeSync(file);
    child = started;
    live.add(started);
    let missing: string | undefined = "not asked yet";
    const ready = async (): Promise<boolean> => {
      if (isGone(started)) throw new Error(`${slotKey(spec.component, spec.instance)} ended: ${log().slice(-2_000)}`);
      missing = await prober.probe(spec, "ready");
      return missing === undefined;
    };
    await waitFor(env, `${slotKey(spec.component, spec.instance)} to be ready`, ready, READY_MS).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}: ${missing}: ${log().slice(-2_000)}`);
      },
    );
  };
  const kill = async (): Promise<void> => {
    const victim = child;
    if (victim === undefined || isGone(victim)) return;
    const gone = new Promise((resolve) => victim.once("exit", resolve));
    victim.kill("SIGKILL");
    await gone;
    live.delete(victim);
  };
  return {
    spec,
    grpc: `127.0.0.1:${spec.ports.grpc}`,
    get pid() {
      if (child?.pid === undefined) throw new Error(`${slotKey(spec.component, spec.instance)} was not started`);
      return child.pid;
    },
    kill,
    start,
    log,
  };
}

/** Starts etcd, NATS, the api-servers and `components`, each ready before the next kind. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const { components = [], apiServerArgs = [], ...wish } = options;
  const home = mkdtempSync(path.join(tmpdir(), "cox-cp-"));
  const spec = clusterSpec({ nodes: 0, ...wish });
  const paths = clusterPaths(spec.name, home);
  await prepareIdentity(env, spec, paths);
  const ports = await choosePorts(spec, path.join(paths.dataDir, "ports.json"), true);
  writeConfigs(spec, paths, ports);
  const tools = path.join(repositoryRoot(), ".tools");
  const program = (wanted: typeof ETCD): Promise<string> => ensureProgram(wanted, tools, () => {});
  const binaries = {
    node: process.execPath,
    dist: path.join(repositoryRoot(), "dist"),
    etcd: await program(ETCD),
    natsServer: await program(NATS_SERVER),
  };
  const wanted = new Set<Component>(["etcd", "nats", "api-server", ...components]);
  const prober = createProber(paths.pki);
  const live = new Set<ChildProcess>();
  const endAll = (): void => live.forEach((child) => void child.kill("SIGKILL"));
  process.once("exit", endAll);
  const processes = planProcesses({ spec, paths, binaries, ports })
    .filter((planned) => wanted.has(planned.component))
    .map((planned) =>
      planned.component === "api-server" ? { ...planned, args: [...planned.args, ...apiServerArgs] } : planned,
    )
    .map((planned) => runProcess(planned, prober, live));
  const stop = async (): Promise<void> => {
    await Promise.all(processes.map((running) => running.kill()));
    prober.close();
    process.off("exit", endAll);
    rmSync(home, { recursive: true, force: true });
  };
  try {
    for (const component of wanted) {
      const kind = processes.filter((running) => running.spec.component === component);
      await Promise.all(kind.map((running) => running.start()));
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const certificate = (name: string): CertificateFiles => certificateFiles(paths.pki, name);
  const tls: ControlPlane["tls"] = (name) => {
    const { caFile, certFile, keyFile } = certificate(name);
    const read = (file: string): string => readFileSync(file, "utf8");
    return { ca: read(caFile), cert: read(certFile), key: read(keyFile) };
  };
  const apiServers = processes.filter((running) => running.spec.component === "api-server");
  return {
    processes,
    process: (key) => {
      const found = processes.find((running) => slotKey(running.spec.component, running.spec.instance) === key);
      if (found === undefined) throw new Error(`no process ${key}`);
      return found;
    },
    certificate,
    tls,
    client: ({ addresses = apiServers.map((server) => server.grpc), certificate: name = "admin", token } = {}) => {
      const { ca, cert, key } = tls(name);
      return createGrpcResourceClient({
        env,
        logger: silentLogger,
        addresses,
        ...(token === undefined ? { tls: { ca, cert, key } } : { tls: { ca }, token }),
      });
    },
    [Symbol.asyncDispose]: stop,
  };
}
