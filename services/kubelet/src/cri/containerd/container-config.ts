// Containers on the wire, and back. Pure. As for sandboxes, an annotation carries what the runtime does not tell later, but
// for the environment, which may hold secrets and needs no reading back.
import type {
  ContainerConfigInput,
  ContainerStatus as WireStatus,
  LinuxContainerResourcesInput,
  LinuxContainerSecurityContextInput,
  MountInput,
  MountPropagation,
} from "@coxswain/protos/runtime-v1.gen";
import type { ContainerConfig, ContainerLinux, ContainerMount, ContainerStatus } from "../contract.ts";
import { cpuShares } from "../cpu-shares.ts";
import { int64, nanosToMs, securityProfile } from "./sandbox-config.ts";

/** Holds as JSON what the runtime's own answers leave out. */
export const CONTAINER_CONFIG_ANNOTATION = "coxswain.dev/container-config";

const CPU_PERIOD_MICROS = 100_000;
const MIN_CPU_QUOTA_MICROS = 1_000;

type Kept = Omit<ContainerConfig, "name" | "attempt" | "env" | "mounts" | "labels" | "annotations"> & {
  readonly sandboxId: string;
};

const PROPAGATIONS = {
  PRIVATE: "PROPAGATION_PRIVATE",
  HOST_TO_CONTAINER: "PROPAGATION_HOST_TO_CONTAINER",
  BIDIRECTIONAL: "PROPAGATION_BIDIRECTIONAL",
} as const satisfies Record<NonNullable<ContainerMount["propagation"]>, MountPropagation>;

/** Microseconds of CPU in each period; 0 for no limit. */
export function cpuQuota(limitMillis: number | undefined): number {
  if (limitMillis === undefined || limitMillis <= 0) return 0;
  return Math.max(MIN_CPU_QUOTA_MICROS, Math.floor((limitMillis * CPU_PERIOD_MICROS) / 1000));
}

export function resourcesToWire(
  resources: ContainerConfig["resources"],
  oomScoreAdj: number,
): LinuxContainerResourcesInput {
  return {
    cpuPeriod: CPU_PERIOD_MICROS,
    cpuQuota: cpuQuota(resources.cpuLimitMillis),
    cpuShares: cpuShares(resources.cpuMillis),
    memoryLimitInBytes: resources.memoryLimitBytes ?? 0,
    oomScoreAdj,
  };
}

function securityContext(linux: ContainerLinux, hostNetwork: boolean): LinuxContainerSecurityContextInput {
  const target = linux.targetContainerId;
  return {
    capabilities: { addCapabilities: linux.addCapabilities, dropCapabilities: linux.dropCapabilities },
    privileged: linux.privileged,
    namespaceOptions: {
      network: hostNetwork ? "NODE" : "POD",
      pid: target === undefined ? linux.pidMode : "TARGET",
      ipc: linux.ipcMode,
      targetId: target ?? "",
    },
    runAsUser: int64(linux.runAsUser),
    runAsGroup: int64(linux.runAsGroup),
    runAsUsername: linux.runAsUserName ?? "",
    readonlyRootfs: linux.readonlyRootfs,
    supplementalGroups: linux.supplementalGroups,
    noNewPrivs: linux.noNewPrivs,
    // A privileged container sees all of /proc and /sys.
    maskedPaths: linux.privileged ? [] : linux.maskedPaths,
    readonlyPaths: linux.privileged ? [] : linux.readonlyPaths,
    seccomp: securityProfile(linux.seccomp),
  };
}

const DEFAULT_LINUX: ContainerLinux = {
  privileged: false,
  readonlyRootfs: false,
  noNewPrivs: false,
  supplementalGroups: [],
  addCapabilities: [],
  dropCapabilities: [],
  ipcMode: "POD",
  pidMode: "CONTAINER",
  maskedPaths: [],
  readonlyPaths: [],
  oomScoreAdj: 0,
};

function mountToWire({ containerPath, hostPath, readonly, propagation, image }: ContainerMount): MountInput {
  const mount = { containerPath, hostPath, readonly, propagation: PROPAGATIONS[propagation ?? "PRIVATE"] };
  if (image === undefined) return mount;
  const { id, reference, subPath } = image;
  return { ...mount, image: { image: id, userSpecifiedImage: reference }, imageSubPath: subPath };
}

export function containerConfigToWire(
  config: ContainerConfig,
  sandboxId: string,
  hostNetwork: boolean,
): ContainerConfigInput {
  const { name, attempt, env, mounts, labels, annotations, ...rest } = config;
  const kept: Kept = { ...rest, sandboxId };
  const linux = config.linux ?? DEFAULT_LINUX;
  return {
    metadata: { name, attempt },
    image: { image: config.image, userSpecifiedImage: config.image },
    command: config.command,
    args: config.args,
    workingDir: config.workingDir,
    envs: env.map(({ name: key, value }) => ({ key, value })),
    mounts: mounts.map(mountToWire),
    labels,
    annotations: { ...annotations, [CONTAINER_CONFIG_ANNOTATION]: JSON.stringify(kept) },
    logPath: config.logPath,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce ?? false,
    tty: config.tty,
    linux: {
      resources: resourcesToWire(config.resources, linux.oomScoreAdj),
      securityContext: securityContext(linux, hostNetwork),
    },
  };
}

function mountFromWire(mount: WireStatus["mounts"][number]): ContainerMount {
  const { hostPath, containerPath, readonly } = mount;
  const propagation = mount.propagation.replace("PROPAGATION_", "") as NonNullable<ContainerMount["propagation"]>;
  return { hostPath, containerPath, readonly, ...(propagation === "PRIVATE" ? {} : { propagation }) };
}

/** What the annotation says; what can be told without it for containers that others made. */
function keptConfig(status: WireStatus, text: string | undefined): Kept {
  const none: Kept = {
    sandboxId: "",
    image: status.image?.userSpecifiedImage || (status.image?.image ?? ""),
    command: [],
    args: [],
    workingDir: "",
    logPath: status.logPath,
    tty: false,
    stdin: false,
    resources: {},
  };
  return text === undefined ? none : { ...none, ...(JSON.parse(text) as Partial<Kept>) };
}

/** `sandboxId` of the result is "" for a container that others made: its status does not tell. */
export function containerFromWire(status: WireStatus): ContainerStatus & { readonly logFile: string } {
  const { [CONTAINER_CONFIG_ANNOTATION]: text, ...annotations } = status.annotations;
  const { sandboxId, ...kept } = keptConfig(status, text);
  const startedAtMs = nanosToMs(status.startedAt);
  const finishedAtMs = nanosToMs(status.finishedAt);
  return {
    id: status.id,
    sandboxId,
    config: {
      ...kept,
      name: status.metadata?.name ?? "",
      attempt: status.metadata?.attempt ?? 0,
      env: [],
      mounts: status.mounts.map(mountFromWire),
      labels: status.labels,
      annotations,
    },
    state: status.state,
    createdAtMs: nanosToMs(status.createdAt),
    startedAtMs,
    // A start counts from when the runtime has answered; a short life may be over before.
    finishedAtMs: finishedAtMs === 0 ? 0 : Math.max(startedAtMs, finishedAtMs),
    exitCode: status.exitCode,
    reason: status.reason,
    message: status.message,
    imageRef: status.imageRef,
    logFile: status.logPath,
  };
}
