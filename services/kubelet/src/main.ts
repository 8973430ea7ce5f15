// The kubelet's process: makes the real dependencies and runs the app.
import { isIP, isIPv4 } from "node:net";
import { createEventRecorder } from "@coxswain/client";
import { connectComponent } from "@coxswain/client/grpc/connect-component";
import { runComponent } from "@coxswain/component-base/process";
import { parseBytes, parseQuantity, QuantityError } from "@coxswain/apimachinery";
import { durationFlag } from "@coxswain/component-base/duration-flag";
import { serveUntilAborted } from "@coxswain/component-base/serve-until-aborted";
import { InvalidArgumentError, type Command } from "commander";
import { createKubelet, nodeCapacity, type KubeletOptions, type NodeHost } from "./app.ts";
import { DEFAULT_IMAGE_POLICY, policyProblem } from "./images/plan-collection.ts";
import { expandNodeNames } from "./node/node-names.ts";
import { createRealNode, type RealNodeDeps } from "./node/real-node.ts";
import { createHttpsApi } from "./server/https-api.ts";

interface Flags {
  readonly nodes: readonly string[];
  readonly runtime: string;
  readonly advertiseAddress: string;
  readonly capacityCpu: string;
  readonly capacityMemory: string;
  readonly capacityPods: string;
  readonly containerRuntimeEndpoint: string;
  readonly rootDir: string;
  readonly podLogsDir: string;
  readonly cgroupRoot: string;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly cniConfDir: string;
  readonly podCidr?: string;
  readonly providerId?: string;
  readonly imagePuller?: string;
  readonly containerLogMaxSize: number;
  readonly containerLogMaxFiles: number;
  readonly imageGcHighThreshold: number;
  readonly imageGcLowThreshold: number;
  readonly minimumImageTtlDuration: number;
  readonly imageMaximumGcAge: number;
}

function parseNodes(text: string): readonly string[] {
  try {
    return expandNodeNames(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function parseRuntime(text: string): string {
  if (text === "simulated" || text === "containerd") return text;
  throw new InvalidArgumentError(
    `the runtime ${JSON.stringify(text)} is not supported; supported: simulated, containerd`,
  );
}

function parseAmount(text: string): string {
  try {
    return parseQuantity(text).toString();
  } catch (error) {
    if (error instanceof QuantityError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

function parseCidr(text: string): string {
  const [address = "", prefix = ""] = text.split("/");
  const known = isIPv4(address) && /^\d+$/.test(prefix) && Number(prefix) >= 8 && Number(prefix) <= 30;
  if (!known) throw new InvalidArgumentError("must be an IPv4 CIDR like 10.244.1.0/24");
  return text;
}

function parseAddresses(text: string): readonly string[] {
  const addresses = text.split(",").filter((one) => one !== "");
  const wrong = addresses.find((one) => isIP(one) === 0);
  if (wrong !== undefined) throw new InvalidArgumentError(`${JSON.stringify(wrong)} is no IP address`);
  return addresses;
}

/** In bytes; a negative size turns rotation off. */
function parseLogSize(text: string): number {
  try {
    return parseBytes(text);
  } catch (error) {
    if (error instanceof QuantityError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

function parseLogFiles(text: string): number {
  const files = Number(text);
  if (!Number.isSafeInteger(files) || files < 2) throw new InvalidArgumentError("must be greater than 1");
  return files;
}

function parsePercent(text: string): number {
  const percent = Number(text);
  if (!/^\d+$/.test(text) || percent > 100) throw new InvalidArgumentError("must be in range [0-100]");
  return percent;
}

function parseUnix(text: string): string {
  if (/^unix:\/\/\/./.test(text)) return text;
  throw new InvalidArgumentError("must be like unix:///run/containerd/containerd.sock");
}

function addNodeFlags(command: Command): void {
  command
    .option(
      "--container-runtime-endpoint <endpoint>",
      "socket of the container runtime",
      parseUnix,
      "unix:///run/containerd/containerd.sock",
    )
    .option("--root-dir <dir>", "where volumes and other files of pods are kept", "/var/lib/kubelet")
    .option("--pod-logs-dir <dir>", "where the logs of pods are kept", "/var/log/pods")
    .option("--cgroup-root <cgroup>", "parent of the pods' cgroups", "/kubepods")
    .option("--cluster-dns <addresses>", "name servers of pods, separated by commas", parseAddresses, [])
    .option("--cluster-domain <domain>", "domain of the cluster", "cluster.local")
    .option("--cni-conf-dir <dir>", "where the configuration of the pods' network goes", "/etc/cni/net.d")
    .option("--pod-cidr <cidr>", "addresses of the node's pods; the Node is registered with it", parseCidr)
    .option("--provider-id <id>", "what the one who made the machine calls it; spec.providerID of the Node")
    .option("--image-puller <endpoint>", "socket of a puller on the host, asked for missing images", parseUnix)
    .option(
      "--container-log-max-size <quantity>",
      "a container's log is rotated once it has this size; never where negative",
      parseLogSize,
      10 * 1024 * 1024,
    )
    .option("--container-log-max-files <number>", "log files that are kept of a container", parseLogFiles, 5)
    .option(
      "--image-gc-high-threshold <percent>",
      "images that nobody uses go once this much of their disk is in use",
      parsePercent,
      DEFAULT_IMAGE_POLICY.highThresholdPercent,
    )
    .option(
      "--image-gc-low-threshold <percent>",
      "they go until no more than this much is in use",
      parsePercent,
      DEFAULT_IMAGE_POLICY.lowThresholdPercent,
    )
    .option(
      "--minimum-image-ttl-duration <duration>",
      "an image stays at least this long",
      durationFlag,
      DEFAULT_IMAGE_POLICY.minimumAgeMs,
    )
    .option(
      "--image-maximum-gc-age <duration>",
      "an image that nobody has used for longer goes in any case; 0: none does",
      durationFlag,
      DEFAULT_IMAGE_POLICY.maximumAgeMs,
    );
}

function capacityOf(flags: Flags): Readonly<Record<string, string>> {
  return { cpu: flags.capacityCpu, memory: flags.capacityMemory, pods: flags.capacityPods };
}

/** Undefined where nodes are simulated. */
async function hostOf(flags: Flags, deps: RealNodeDeps): Promise<NodeHost | undefined> {
  if (flags.runtime !== "containerd") return undefined;
  const [node] = flags.nodes;
  if (node === undefined || flags.nodes.length !== 1) {
    throw new Error("--nodes: a process with --runtime=containerd serves one node");
  }
  const { containerRuntimeEndpoint: runtimeEndpoint, ...options } = flags;
  const logPolicy = { maxBytes: flags.containerLogMaxSize, maxFiles: flags.containerLogMaxFiles };
  const imagePolicy = {
    highThresholdPercent: flags.imageGcHighThreshold,
    lowThresholdPercent: flags.imageGcLowThreshold,
    minimumAgeMs: flags.minimumImageTtlDuration,
    maximumAgeMs: flags.imageMaximumGcAge,
  };
  const problem = policyProblem(imagePolicy);
  if (problem !== undefined) throw new Error(problem);
  return createRealNode(
    { ...options, node, runtimeEndpoint, logPolicy, imagePolicy, allocatable: nodeCapacity(capacityOf(flags)) },
    deps,
  );
}

void runComponent<Flags>({
  name: "kubelet",
  version: "0.1.0",
  defaultPort: 10_250,
  defaultGrpcPort: 10_260,
  servesHttps: false,
  flags(command) {
    command
      .requiredOption("--nodes <names>", "the node that this process is, or a range: node-1, node-[1-5000]", parseNodes)
      .option("--runtime <name>", "container runtime: simulated or containerd", parseRuntime, "simulated")
      .option("--advertise-address <host>", "address under which others reach this process", "127.0.0.1")
      .option("--capacity-cpu <quantity>", "CPUs of each node", parseAmount, "4")
      .option("--capacity-memory <quantity>", "memory of each node", parseAmount, "8Gi")
      .option("--capacity-pods <number>", "pods that each node takes", parseAmount, "110");
    addNodeFlags(command);
  },
  async create(deps) {
    const { env, logger, metrics, flags, servingTls } = deps;
    const name = "kubelet";
    if (flags.providerId !== undefined && flags.nodes.length !== 1)
      throw new Error("--provider-id: a process with a provider ID serves one node");
    const { client, informers } = connectComponent(deps, name);
    const host = await hostOf(flags, { env, logger, client, informers });
    const options: KubeletOptions = {
      advertiseAddress: flags.advertiseAddress,
      httpsPort: flags.port,
      grpcPort: flags.grpcPort,
      capacity: capacityOf(flags),
      ...(flags.providerId === undefined ? {} : { providerId: flags.providerId }),
    };
    return createKubelet({
      env,
      logger,
      metrics,
      client,
      recorder: createEventRecorder({ env, client, logger, component: name }),
      informers,
      nodes: flags.nodes,
      serveHttps: ({ checks, managers }, signal) => {
        const api = createHttpsApi(servingTls, { checks, metrics, auth: deps.auth, managers });
        return serveUntilAborted(api, { host: flags.listenAddress, port: flags.port }, signal);
      },
      options,
      ...(host === undefined ? {} : { host }),
    });
  },
});
