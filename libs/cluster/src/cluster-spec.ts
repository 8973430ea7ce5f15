// What a user asks for, checked: a bad value gets an error with the option's name, before anything is made.
import { homedir } from "node:os";
import path from "node:path";

export type Runtime = "simulated" | "containerd";
export type Egress = "none" | "images" | "nat";
export type ProxyMode = "simulated" | "nftables";
/** Where the cluster's objects are: in etcd, or in the memory of its one api-server. */
export type StorageKind = "etcd" | "memory";

/** How many nodes a cluster autoscaler may leave, and make, of a cluster. */
export interface AutoscaleRange {
  readonly min: number;
  readonly max: number;
}

export interface ClusterSpec {
  readonly name: string;
  readonly nodes: number;
  readonly runtime: Runtime;
  /** With "memory" no etcd runs, and nothing outlives the api-server's process. */
  readonly storage: StorageKind;
  readonly apiServers: number;
  readonly schedulers: number;
  readonly controllerManagers: number;
  readonly egress: Egress;
  readonly proxyMode: ProxyMode;
  /**
   * Simulated nodes share one kubelet process and one kube-proxy process however few they are, as more than five always do: the
   * cluster starts sooner, and single nodes cannot be killed.
   */
  readonly packNodes: boolean;
  readonly enableChaos: boolean;
  readonly logLevel: string;
  /** Further flags of each api-server, as in "--audit-log-path=/var/log/audit.log". */
  readonly apiServerFlags: readonly string[];
  /** Further flags of each scheduler, as in "--config=/etc/coxswain/scheduler.yaml". */
  readonly schedulerFlags: readonly string[];
  /** Further flags of each kubelet, as in "--image-gc-high-threshold=70". */
  readonly kubeletFlags: readonly string[];
  /** Where set, a cluster autoscaler adds and removes nodes; `nodes` is how many there are at the first start. */
  readonly autoscale?: AutoscaleRange;
  /** Further flags of the cluster autoscaler, as in "--scale-down-unneeded-time=1m". */
  readonly autoscalerFlags: readonly string[];
}

export class SpecError extends Error {
  override readonly name = "SpecError";
}

/** Each node that comes and goes has processes of its own, simulated or not. */
const MAX_AUTOSCALED_NODES = 100;

/** As many as there are pod address ranges. */
const MAX_SIMULATED_NODES = 8_000;

/** Real nodes share one fabric, and each of them is a containerd and the processes of its pods. */
const MAX_CONTAINERD_NODES = 100;

const NAME = /^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$/;

function count(option: string, value: number, max: number, min = 1): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new SpecError(`--${option}: Invalid value: "${value}": must be a whole number in ${min}..${max}`);
  }
  return value;
}

/** Fills in defaults and checks every value. Throws SpecError. */
export function clusterSpec(wish: Partial<ClusterSpec>): ClusterSpec {
  const name = wish.name ?? "default";
  if (!NAME.test(name)) {
    throw new SpecError(
      `--name: Invalid value: "${name}": must be lower case letters, digits and '-', at most 32, starting with a letter`,
    );
  }
  const runtime = oneOf("runtime", wish.runtime ?? "simulated", ["containerd", "simulated"]);
  const most = runtime === "containerd" ? MAX_CONTAINERD_NODES : MAX_SIMULATED_NODES;
  const nodes = count("nodes", wish.nodes ?? 2, most, 0);
  const storage = oneOf("storage", wish.storage ?? "etcd", ["etcd", "memory"]);
  return {
    name,
    nodes,
    ...checkAutoscale(wish, nodes),
    runtime,
    storage,
    apiServers: checkApiServers(storage, wish.apiServers),
    schedulers: count("schedulers", wish.schedulers ?? 1, 9),
    controllerManagers: count("controller-managers", wish.controllerManagers ?? 1, 9),
    egress: checkEgress(runtime, wish.egress),
    proxyMode: checkProxyMode(runtime, wish.proxyMode),
    packNodes: checkPackNodes(runtime, wish),
    enableChaos: wish.enableChaos ?? false,
    logLevel: wish.logLevel ?? "info",
    apiServerFlags: checkFlags("api-server-flag", wish.apiServerFlags ?? []),
    schedulerFlags: checkFlags("scheduler-flag", wish.schedulerFlags ?? []),
    kubeletFlags: checkFlags("kubelet-flag", wish.kubeletFlags ?? []),
    autoscalerFlags: checkFlags("autoscaler-flag", wish.autoscalerFlags ?? []),
  };
}

function checkApiServers(storage: StorageKind, wish = 1): number {
  const apiServers = count("api-servers", wish, 9);
  if (apiServers > 1 && storage === "memory")
    throw new SpecError(
      `--api-servers: Invalid value: "${apiServers}": must be 1 with --storage memory: several would share nothing`,
    );
  return apiServers;
}

function checkPackNodes(runtime: Runtime, { packNodes = false, autoscale }: Partial<ClusterSpec>): boolean {
  if (packNodes && runtime === "containerd")
    throw new SpecError("--pack-nodes: Forbidden: a process serves one real node only");
  if (packNodes && autoscale !== undefined)
    throw new SpecError("--pack-nodes: Forbidden: may not be specified with --autoscale");
  return packNodes;
}

function checkAutoscale({ autoscale, autoscalerFlags }: Partial<ClusterSpec>, nodes: number): Partial<ClusterSpec> {
  if (autoscale === undefined) {
    if ((autoscalerFlags ?? []).length === 0) return {};
    throw new SpecError("--autoscaler-flag: Forbidden: may not be specified without --autoscale");
  }
  const { min, max } = autoscale;
  const whole = [min, max].every((value) => Number.isInteger(value));
  if (!whole || min < 0 || max < 1 || min > max || max > MAX_AUTOSCALED_NODES) {
    throw new SpecError(
      `--autoscale: Invalid value: "${min}:${max}": must be MIN:MAX with 0 <= MIN <= MAX and 1 <= MAX <= ${MAX_AUTOSCALED_NODES}`,
    );
  }
  if (nodes < min || nodes > max)
    throw new SpecError(`--nodes: Invalid value: "${nodes}": must be in ${min}..${max} (--autoscale)`);
  return { autoscale: { min, max } };
}

/** How many nodes the cluster may have at most at the same time. */
export function nodeCapacity({ nodes, autoscale }: Pick<ClusterSpec, "nodes" | "autoscale">): number {
  return autoscale?.max ?? nodes;
}

/** What the cluster itself decides may not be said twice. */
const OWN_FLAGS =
  /^--(instance|port|grpc-port|listen-address|etcd|storage|nats|ca-file|cert-file|key-file|rest-fd|cloud-config|scheduler)(=|$)/;

function checkFlags(option: string, flags: readonly string[]): readonly string[] {
  for (const flag of flags) {
    if (!/^--[a-z][a-z0-9-]*(=[^]*)?$/.test(flag)) {
      throw new SpecError(`--${option}: Invalid value: "${flag}": must be of the form --name or --name=value`);
    }
    if (OWN_FLAGS.test(flag)) throw new SpecError(`--${option}: Forbidden: "${flag}": the cluster decides that itself`);
  }
  return flags;
}

function oneOf<T extends string>(option: string, value: string, supported: readonly T[]): T {
  const found = supported.find((one) => one === value);
  if (found !== undefined) return found;
  const list = supported.map((one) => `"${one}"`).join(", ");
  throw new SpecError(`--${option}: Unsupported value: "${value}": supported values: ${list}`);
}

function checkEgress(runtime: Runtime, wish: string | undefined): Egress {
  const egress = oneOf("egress", wish ?? (runtime === "containerd" ? "images" : "none"), ["images", "nat", "none"]);
  if (runtime === "simulated" && egress !== "none") {
    throw new SpecError(
      `--egress: Unsupported value: "${egress}": simulated containers send no packets: only "none" is supported`,
    );
  }
  return egress;
}

/** Modes that people know from elsewhere, and why they are not here. */
const REFUSED_PROXY_MODES: Readonly<Record<string, string>> = {
  ipvs: "it needs the kernel module ip_vs and is deprecated upstream",
  iptables: "its updates cost what exists, not what changed",
  userspace: "upstream removed it",
  kernelspace: "it is for Windows only",
};

function checkProxyMode(runtime: Runtime, wish: string | undefined): ProxyMode {
  const right = runtime === "containerd" ? "nftables" : "simulated";
  const mode = wish ?? right;
  if (mode === right) return right;
  const why =
    REFUSED_PROXY_MODES[mode] ??
    (mode === "nftables" || mode === "simulated" ? `the runtime is ${runtime}` : "it is not known");
  throw new SpecError(`--proxy-mode: Unsupported value: "${mode}": ${why}: use "${right}"`);
}

/** Where clusters keep their data: $COXSWAIN_HOME, else ~/.coxswain. */
export function homeDir(env: NodeJS.ProcessEnv = process.env): string {
  return path.resolve(env["COXSWAIN_HOME"] ?? path.join(homedir(), ".coxswain"));
}

export interface ClusterPaths {
  readonly dataDir: string;
  readonly spec: string;
  readonly state: string;
  readonly socket: string;
  readonly pki: string;
  readonly etcd: string;
  /** Where etcd is met without encryption, as only who may enter this folder can: "etcd:0", since etcd names sockets as addresses. */
  readonly etcdSocket: string;
  readonly logs: string;
  readonly kubeconfig: string;
  readonly natsConfig: string;
  /** Which nodes there are, where an autoscaler adds and removes some. */
  readonly nodes: string;
  /** Where the supervisor serves nodes to the cluster autoscaler. */
  readonly nodeProvider: string;
  /** What the cluster autoscaler is told about that. */
  readonly cloudConfig: string;
}

/** The files of one cluster. */
export function clusterPaths(name: string, home: string = homeDir()): ClusterPaths {
  const dataDir = path.join(home, name);
  const at = (file: string): string => path.join(dataDir, file);
  return {
    dataDir,
    spec: at("cluster.json"),
    state: at("state.json"),
    socket: at("supervisor.sock"),
    pki: at("pki"),
    etcd: at("etcd"),
    etcdSocket: at("etcd:0"),
    logs: at("logs"),
    kubeconfig: at("kubeconfig"),
    natsConfig: at("nats.conf"),
    nodes: at("nodes.json"),
    nodeProvider: at("nodes.sock"),
    cloudConfig: at("cloud-config.yaml"),
  };
}
