// What a pod's spec means for the runtime: the configs of its sandbox and its containers. Guarantees: the same input
// makes the same config; without `linux` nothing is asked for that only a real runtime has.
import type { Container, Pod } from "@coxswain/api";
import { CONTAINER_TYPE_ANNOTATION } from "../cri/annotations.ts";
import type { ContainerConfig, DnsConfig, PodSandboxConfig, PortMapping } from "../cri/contract.ts";
import { MountError, type PodVolumes } from "../volumes/contract.ts";
import { ContainerConfigError, expandVariables, resolveEnvironment } from "./container-environment.ts";
import { podDns, type DnsWarning } from "./dns-config.ts";
import type { ObjectCache } from "./object-cache.ts";
import { podHostname } from "./pod-hostname.ts";
import { containerResources, oomScoreAdj, podCgroup } from "./qos-resources.ts";
import { containerSecurity, needsImageUser, rootRefusal, sandboxSecurity, type ImageUser } from "./security-context.ts";
import type { ServiceSource } from "./service-environment.ts";

/** What is the same for all pods of a node. */
export interface NodeRuntime {
  /** "/var/log/pods" */
  readonly podLogsDir: string;
  readonly hostIp: string;
  readonly allocatable: Readonly<Record<string, string>>;
  /** "cluster.local" */
  readonly clusterDomain: string;
  /** Absent where the runtime runs nothing real. */
  readonly linux?: {
    /** "/coxswain-x/node-1" */
    readonly cgroupRoot: string;
    /** Empty: pods resolve as the node does. */
    readonly clusterDns: readonly string[];
    /** The node's own, of its resolv.conf (parseResolvConf). */
    readonly hostDns: DnsConfig;
    readonly memoryCapacityBytes: number;
  };
}

export interface SandboxInput {
  readonly pod: Pod;
  /** Sandboxes that were made before. */
  readonly attempt: number;
  readonly node: NodeRuntime;
  /** Of the pod's RuntimeClass. */
  readonly runtimeHandler?: string;
}

/** Throws ContainerConfigError where the pod's host name is too long. */
export function sandboxConfigOf({ pod, attempt, node, runtimeHandler }: SandboxInput): PodSandboxConfig {
  const { name = "", namespace = "", uid = "", labels = {}, annotations = {} } = pod.metadata ?? {};
  const hostNetwork = pod.spec?.hostNetwork ?? false;
  const { linux } = node;
  const base: PodSandboxConfig = {
    name,
    namespace,
    uid,
    attempt,
    // On the node's network the host name is the node's too.
    hostname: hostNetwork && linux !== undefined ? "" : podHostname(pod, node.clusterDomain),
    logDirectory: `${node.podLogsDir}/${namespace}_${name}_${uid}`,
    labels,
    annotations,
    hostNetwork,
    ...(runtimeHandler === undefined ? {} : { runtimeHandler }),
  };
  if (linux === undefined) return base;
  return {
    ...base,
    dns: dnsOf(pod, node).dns,
    portMappings: hostNetwork ? [] : portMappings(pod),
    linux: { cgroupParent: podCgroup(linux.cgroupRoot, pod), ...sandboxSecurity(pod) },
  };
}

/** What the pod should hear as Warning events when its sandbox is made. */
export function sandboxWarnings({ pod, node }: SandboxInput): DnsWarning[] {
  return node.linux === undefined ? [] : dnsOf(pod, node).warnings;
}

function dnsOf(pod: Pod, { linux, clusterDomain }: NodeRuntime): ReturnType<typeof podDns> {
  const host = linux?.hostDns ?? { servers: [], searches: [], options: [] };
  return podDns(pod, { clusterDns: linux?.clusterDns ?? [], clusterDomain, host });
}

function portMappings(pod: Pod): PortMapping[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter((one) => one.restartPolicy === "Always");
  return [...sidecars, ...(pod.spec?.containers ?? [])]
    .flatMap((container) => container.ports ?? [])
    .filter((port) => (port.hostPort ?? 0) > 0)
    .map(({ protocol = "TCP", containerPort, hostPort = 0, hostIP = "" }) => ({
      protocol: protocol === "UDP" || protocol === "SCTP" ? protocol : "TCP",
      containerPort,
      hostPort,
      hostIp: hostIP,
    }));
}

export interface ContainerInput {
  readonly pod: Pod;
  readonly container: Container;
  /** "init", "sidecar", "main", … for the runtime's annotation. */
  readonly kind: string;
  /** Lives that the container had before. */
  readonly attempt: number;
  /** The sandbox's; on the node's network the node's address holds instead. */
  readonly podIp: string;
  readonly node: NodeRuntime;
  readonly objects: ObjectCache;
  /** Absent: no variables of Services. */
  readonly services?: ServiceSource;
  /** The images that stand for volumes, as the runtime calls them, by the volumes' names. */
  readonly images?: ReadonlyMap<string, string>;
  /** Absent: no mounts. */
  readonly volumes?: PodVolumes;
  /** Whom the image runs as, as far as the runtime says; asked only where that matters. */
  readonly imageUser?: () => Promise<ImageUser | undefined>;
  /** Of an ephemeral container: whose processes it sees. */
  readonly targetContainerId?: string;
}

/** Throws ContainerConfigError for what the pod's author got wrong; rejects where the api-server cannot be asked. */
export async function containerConfigOf(input: ContainerInput): Promise<ContainerConfig> {
  const { pod, container, kind, attempt, node, targetContainerId } = input;
  const { linux } = node;
  const imageUser = linux === undefined ? undefined : await checkedImageUser(input);
  const env = await environmentOf(input);
  const values = new Map(env.map((one) => [one.name, one.value]));
  const expand = (text: string): string => expandVariables(text, values);
  const { name = "", namespace = "", uid = "" } = pod.metadata ?? {};
  return {
    name: container.name,
    attempt,
    image: container.image ?? "",
    command: (container.command ?? []).map(expand),
    args: (container.args ?? []).map(expand),
    workingDir: container.workingDir ?? "",
    env,
    mounts: await mountsOf(input, values),
    labels: {
      "io.kubernetes.container.name": container.name,
      "io.kubernetes.pod.name": name,
      "io.kubernetes.pod.namespace": namespace,
      "io.kubernetes.pod.uid": uid,
    },
    annotations: { [CONTAINER_TYPE_ANNOTATION]: kind },
    logPath: `${container.name}/${attempt}.log`,
    tty: container.tty ?? false,
    stdin: container.stdin ?? false,
    ...(container.stdinOnce === undefined ? {} : { stdinOnce: container.stdinOnce }),
    resources: containerResources(pod, container),
    ...(linux === undefined
      ? {}
      : {
          linux: {
            ...containerSecurity({ pod, container, imageUser, targetContainerId }),
            oomScoreAdj: oomScoreAdj(pod, container, linux.memoryCapacityBytes),
          },
        }),
  };
}

/** Throws ContainerConfigError where the container may not run as its image's user, or as root at all. */
async function checkedImageUser({ pod, container, imageUser }: ContainerInput): Promise<ImageUser | undefined> {
  const user = needsImageUser(pod, container) ? await imageUser?.() : undefined;
  const refusal = rootRefusal(pod, container, user ?? {});
  if (refusal !== undefined) throw new ContainerConfigError(refusal);
  return user;
}

function podIpOf({ pod, podIp, node }: ContainerInput): string {
  return pod.spec?.hostNetwork ? node.hostIp : podIp;
}

function environmentOf(of: ContainerInput): ReturnType<typeof resolveEnvironment> {
  const { pod, container, node, objects, services, volumes } = of;
  const { hostIp, allocatable } = node;
  const file = volumes === undefined ? {} : { file: volumes.readFile.bind(volumes, pod) };
  const input = { pod, container, podIp: podIpOf(of), hostIp, objects, allocatable, ...file };
  return resolveEnvironment(services === undefined ? input : { ...input, services });
}

async function mountsOf(input: ContainerInput, env: ReadonlyMap<string, string>): Promise<ContainerConfig["mounts"]> {
  const { pod, container, volumes, attempt, images = new Map<string, string>() } = input;
  if (volumes === undefined) return [];
  try {
    return await volumes.mounts(pod, container, { attempt, env, podIp: podIpOf(input), images });
  } catch (error) {
    if (error instanceof MountError) throw new ContainerConfigError(error.message);
    throw error;
  }
}
