// up: starts a cluster, shows how far it is, and says where to look. In the foreground it stays, and Ctrl-C takes all down.
import path from "node:path";
import { InvalidArgumentError, type Command } from "commander";
import { Listr } from "listr2";
import {
  ClusterError,
  nodeRuntimeMissing,
  repositoryRoot,
  startCluster,
  type AutoscaleRange,
  type Cluster,
  type StartOptions,
} from "@coxswain/cluster";
import { createRealEnv } from "@coxswain/env";
import { runDemo } from "./demo.ts";
import { toNumber } from "./option-values.ts";

/** What an autoscaler may add where nobody says. */
const MORE_NODES = 3;

interface UpOptions {
  readonly name: string;
  readonly nodes: number;
  readonly runtime?: string;
  readonly storage?: string;
  readonly apiServers: number;
  readonly schedulers: number;
  readonly controllerManagers: number;
  readonly egress?: string;
  readonly proxyMode?: string;
  readonly demo?: boolean;
  readonly detach?: boolean;
  readonly output?: string;
  readonly packNodes?: boolean;
  readonly enableChaos?: boolean;
  readonly freePorts?: boolean;
  readonly logLevel: string;
  readonly apiServerFlag: readonly string[];
  readonly schedulerFlag: readonly string[];
  readonly kubeletFlag: readonly string[];
  readonly autoscale?: AutoscaleRange | true;
  readonly autoscalerFlag: readonly string[];
  readonly timeout: number;
}

export function addUp(program: Command): void {
  program
    .command("up")
    .description("start a cluster")
    .option("--name <name>", "name of the cluster", "default")
    .option("--nodes <count>", "how many nodes", toNumber, 2)
    .option("--runtime <runtime>", "containerd or simulated (default: containerd where this machine can run it)")
    .option("--storage <kind>", "etcd (default), or memory: no etcd, and nothing outlives the one api-server")
    .option("--api-servers <count>", "how many api-servers", toNumber, 1)
    .option("--schedulers <count>", "how many schedulers, one of which leads", toNumber, 1)
    .option("--controller-managers <count>", "how many controller-managers, one of which leads", toNumber, 1)
    .option(
      "--egress <mode>",
      "way out of the nodes: none (default with --demo), images (this machine fetches them; default) or nat",
    )
    .option("--proxy-mode <mode>", "how Services are made: nftables with containerd, simulated without")
    .option("--demo", "deploy the demo and show what to try")
    .option("--detach", "return when the cluster is ready; `coxswain down` ends it")
    .option("--output <format>", "json prints one object about the cluster")
    .option("--pack-nodes", "one kubelet process and one kube-proxy process for all simulated nodes: starts sooner")
    .option("--enable-chaos", "let processes take injected faults over gRPC")
    .option("--free-ports", "use free ports, not the well-known ones")
    .option("--log-level <level>", "trace, debug, info, warn or error", "info")
    .option(
      "--api-server-flag <flag>",
      "a further flag of each api-server, as in --api-server-flag=--audit-log-path=/tmp/audit.log; repeatable",
      appendFlag,
      [],
    )
    .option(
      "--scheduler-flag <flag>",
      "a further flag of each scheduler, as in --scheduler-flag=--config=/tmp/scheduler.yaml; repeatable",
      appendFlag,
      [],
    )
    .option(
      "--kubelet-flag <flag>",
      "a further flag of each kubelet, as in --kubelet-flag=--image-gc-high-threshold=70; repeatable",
      appendFlag,
      [],
    )
    .option(
      "--autoscale [MIN:MAX]",
      "add nodes while pods find none, and remove those that nobody needs (default: from --nodes to 3 more)",
      toRange,
    )
    .option(
      "--autoscaler-flag <flag>",
      "a further flag of the cluster autoscaler, as in --autoscaler-flag=--scale-down-unneeded-time=1m; repeatable",
      appendFlag,
      [],
    )
    .option("--timeout <seconds>", "give up after this long", toNumber, 120)
    .action(up);
}

function appendFlag(flag: string, before: readonly string[]): readonly string[] {
  return [...before, flag];
}

function toRange(text: string): AutoscaleRange {
  const [, min, max] = /^(\d+):(\d+)$/.exec(text) ?? [];
  if (min === undefined || max === undefined) throw new InvalidArgumentError("must be like 1:5");
  return { min: Number(min), max: Number(max) };
}

async function up(options: UpOptions): Promise<void> {
  const quiet = options.output === "json";
  const began = process.uptime();
  const { runtime, why } = chooseRuntime(options.runtime);
  if (why !== undefined && !quiet) console.error(`coxswain: ${why}`);
  const interrupted = new AbortController();
  const onInterrupt = (): void => interrupted.abort(new Error("interrupted"));
  process.once("SIGINT", onInterrupt);
  process.once("SIGTERM", onInterrupt);
  const cluster = await start({ ...options, runtime }, quiet, interrupted.signal);
  if (quiet) console.log(JSON.stringify(cluster.info));
  else describe(cluster, process.uptime() - began);
  if (options.demo) {
    const say = quiet ? (): void => {} : (line: string): void => console.log(line);
    await runDemo(cluster, { say, whole: options.detach !== true, signal: interrupted.signal });
  }
  if (options.detach) return;
  if (!quiet) console.log("\nCtrl-C takes everything down.");
  await ended(cluster, interrupted.signal);
  await cluster.down();
}

/** What was asked for, else containerd where this machine can run it, else simulated; `why` is for people. */
function chooseRuntime(wish: string | undefined): { runtime: string; why?: string } {
  if (wish === "simulated") return { runtime: wish };
  const missing = nodeRuntimeMissing(path.join(repositoryRoot(), ".tools"));
  if (wish === "containerd" && missing !== undefined)
    throw new ClusterError(`real containers cannot run here: ${missing}; --runtime simulated needs none of it`);
  if (wish !== undefined) return { runtime: wish };
  if (missing === undefined)
    return { runtime: "containerd", why: "real containers on containerd (--runtime simulated starts faster)" };
  return { runtime: "simulated", why: `simulated containers: real ones cannot run here: ${missing}` };
}

async function start(options: UpOptions, quiet: boolean, signal: AbortSignal): Promise<Cluster> {
  const wish: StartOptions = {
    name: options.name,
    nodes: options.nodes,
    runtime: options.runtime as StartOptions["runtime"],
    storage: options.storage as StartOptions["storage"],
    apiServers: options.apiServers,
    schedulers: options.schedulers,
    controllerManagers: options.controllerManagers,
    // The demo's images are built on the spot: nobody has to fetch any.
    egress: (options.egress ?? (options.demo ? "none" : undefined)) as StartOptions["egress"],
    proxyMode: options.proxyMode as StartOptions["proxyMode"],
    packNodes: options.packNodes,
    enableChaos: options.enableChaos,
    freePorts: options.freePorts,
    logLevel: options.logLevel,
    apiServerFlags: options.apiServerFlag,
    schedulerFlags: options.schedulerFlag,
    kubeletFlags: options.kubeletFlag,
    autoscale: options.autoscale === true ? { min: options.nodes, max: options.nodes + MORE_NODES } : options.autoscale,
    autoscalerFlags: options.autoscalerFlag,
    detached: options.detach === true,
    waitFor: "processes",
    timeoutMs: options.timeout * 1000,
    signal,
  };
  if (quiet) return startCluster(wish);
  let cluster: Cluster | undefined;
  const task = {
    title: `cluster "${options.name}"`,
    task: async (_context: unknown, view: { output: string; title: string }) => {
      cluster = await startCluster({ ...wish, onProgress: (line) => (view.output = line) });
      view.title = `cluster "${options.name}" is ready`;
    },
  };
  await new Listr([task], { fallbackRenderer: "simple", rendererOptions: { collapseErrors: false } }).run();
  if (cluster === undefined) throw new Error("the cluster did not start");
  return cluster;
}

function describe(cluster: Cluster, seconds: number): void {
  const suffix = cluster.name === "default" ? "" : ` --name ${cluster.name}`;
  console.log(`
Ready in ${seconds.toFixed(1)} s.
  API      ${cluster.info.apiServer}
  gRPC     ${cluster.info.grpc}
  data     ${cluster.info.dataDir}

Try:
  bin/coxswain kubectl${suffix} get nodes
  bin/coxswain status${suffix}
  bin/coxswain chaos${suffix} kill scheduler
  export KUBECONFIG=${cluster.info.kubeconfig}`);
}

/** Resolves when the user has had enough, or the cluster is gone. */
function ended(cluster: Cluster, signal: AbortSignal): Promise<void> {
  const { timers } = createRealEnv();
  return new Promise((resolve) => {
    const done = (): void => {
      timers.clear(timer);
      resolve();
    };
    const look = (): void => {
      void cluster.status().catch(() => done());
    };
    const timer = timers.setInterval(look, 1_000);
    if (signal.aborted) done();
    signal.addEventListener("abort", done, { once: true });
  });
}
