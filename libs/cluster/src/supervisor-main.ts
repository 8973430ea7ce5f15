// The process behind `up`: prepares a cluster, starts its processes, keeps them running, and answers on the control socket
// until it is told to take everything down. With --owned it goes down when its standard input closes, so that a caller that
// is killed leaves no cluster behind.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createRealEnv, isAbort } from "@coxswain/env";
import { clusterPaths, clusterSpec, type ClusterSpec } from "./cluster-spec.ts";
import { serveControl, type ControlAnswer, type ControlRequest } from "./control-api.ts";
import { missingPart } from "./cluster-info.ts";
import { ensureProgram, ETCD, NATS_SERVER } from "./external-programs.ts";
import { endLeftovers } from "./leftovers.ts";
import { choosePorts, prepareIdentity, writeConfigs } from "./prepare.ts";
import { createProber } from "./probe.ts";
import { COMPONENTS, planProcesses } from "./process-plan.ts";
import { startTimeOf } from "./process-table.ts";
import { spawnProcess } from "./spawn-process.ts";
import { removeState, writeState, type ClusterState } from "./state-file.ts";
import { Supervisor } from "./supervisor.ts";

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

async function main(): Promise<void> {
  const env = createRealEnv();
  const options = readOptions();
  const { spec } = options;
  const paths = clusterPaths(spec.name, options.home);
  const down = new AbortController();
  const self = { pid: process.pid, startTime: startTimeOf(process.pid) ?? "" };
  let phase: ClusterState["phase"] = "starting";
  const progress: string[] = [];
  let supervisor: Supervisor | undefined;

  const state = (): ClusterState => ({ supervisor: self, phase, progress, records: supervisor?.records() ?? [] });
  let written = "";
  const persist = (): void => {
    const next = JSON.stringify(state());
    if (next === written) return;
    written = next;
    writeState(paths.state, state());
  };
  const say = (line: string): void => {
    progress.push(line);
    persist();
  };
  const handle = (request: ControlRequest): Promise<ControlAnswer> => {
    if (request.op === "status") return Promise.resolve({ ok: true, state: state() });
    if (request.op === "down") {
      down.abort();
      return Promise.resolve({ ok: true });
    }
    const affected = supervisor?.chaos(request.action, request.component, request.instance) ?? [];
    return Promise.resolve({ ok: true, affected });
  };

  await endLeftovers(env, paths.state);
  const control = await serveControl(paths.socket, handle);
  persist();
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(name, () => down.abort());
  if (options.owned) process.stdin.on("end", () => down.abort()).resume();

  let prober: ReturnType<typeof createProber> | undefined;
  let failure: unknown;
  try {
    const etcd = await ensureProgram(ETCD, options.tools, say);
    const natsServer = await ensureProgram(NATS_SERVER, options.tools, say);
    say("certificates");
    await prepareIdentity(env, spec, paths);
    const ports = await choosePorts(spec, `${paths.dataDir}/ports.json`, options.freePorts);
    writeConfigs(spec, paths, ports);
    const specs = planProcesses({
      spec,
      paths,
      ports,
      binaries: { node: process.execPath, dist: options.dist, etcd, natsServer },
    });
    const probing = createProber(paths.pki);
    prober = probing;
    supervisor = new Supervisor(specs, {
      env,
      spawn: (one) => spawnProcess(one, `${options.dist}/compile-cache`),
      probe: (one, kind) => probing.probe(one, kind),
      onChange: persist,
    });
    say("starting processes");
    supervisor.start(COMPONENTS);
    const running = supervisor;
    const apiPort = specs.find((one) => one.component === "api-server")?.ports.main ?? 0;
    await waitReady(running, () => countReadyNodes((where) => probing.getJson(apiPort, where)));
    phase = "ready";
    say("ready");
    await aborted(down.signal);
  } catch (error) {
    if (!isAbort(error)) failure = error;
  }
  phase = "stopping";
  persist();
  await supervisor?.stop();
  prober?.close();
  removeState(paths.state);
  control.close();
  if (failure !== undefined) throw failure;
  process.exit(0);

  async function waitReady(running: Supervisor, readyNodes: () => Promise<number>): Promise<void> {
    for (let last = ""; ;) {
      const missing = missingPart(running.records());
      const line =
        missing ?? `nodes ready: ${await readyNodes().catch((error: unknown) => String(error))}/${spec.nodes}`;
      if (missing === undefined && line === `nodes ready: ${spec.nodes}/${spec.nodes}`) return;
      if (line !== last) say(line);
      last = line;
      await env.timers.sleep(POLL_MS, down.signal);
    }
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
  process.exit(1);
});
