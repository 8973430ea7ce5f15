// Sandboxes on the wire, and back. Pure. What a runtime does not tell of a sandbox later travels in an annotation, so that a
// kubelet that was started anew reads back the whole configuration of the pods that it finds.
import type {
  LinuxSandboxSecurityContextInput,
  NamespaceOptionInput,
  PodSandboxConfigInput,
  PodSandboxStatus,
  SecurityProfileInput,
} from "@coxswain/protos/runtime-v1.gen";
import type { PodSandbox, PodSandboxConfig, SandboxLinux, SecurityProfile } from "../contract.ts";

/** Holds as JSON what the runtime's own answers leave out. */
export const SANDBOX_CONFIG_ANNOTATION = "coxswain.dev/sandbox-config";

type Kept = Pick<PodSandboxConfig, "hostname" | "logDirectory" | "dns" | "portMappings" | "linux">;

export function int64(value: number | undefined): { value: number } | undefined {
  return value === undefined ? undefined : { value };
}

export function securityProfile(profile: SecurityProfile | undefined): SecurityProfileInput | undefined {
  if (profile === undefined) return undefined;
  return { profileType: profile.type, localhostRef: profile.localhostRef ?? "" };
}

function namespaces(hostNetwork: boolean, linux: SandboxLinux | undefined): NamespaceOptionInput {
  return {
    network: hostNetwork ? "NODE" : "POD",
    pid: linux?.pidMode ?? "CONTAINER",
    ipc: linux?.ipcMode ?? "POD",
  };
}

function securityContext(config: PodSandboxConfig): LinuxSandboxSecurityContextInput {
  const { linux } = config;
  return {
    namespaceOptions: namespaces(config.hostNetwork, linux),
    runAsUser: int64(linux?.runAsUser),
    runAsGroup: int64(linux?.runAsGroup),
    supplementalGroups: linux?.supplementalGroups ?? [],
    privileged: linux?.privileged ?? false,
    seccomp: securityProfile(linux?.seccomp),
  };
}

export function sandboxConfigToWire(config: PodSandboxConfig): PodSandboxConfigInput {
  const { hostname, logDirectory, dns, portMappings, linux } = config;
  const kept: Kept = { hostname, logDirectory, dns, portMappings, linux };
  return {
    metadata: { name: config.name, uid: config.uid, namespace: config.namespace, attempt: config.attempt },
    // A pod on the node's network has the node's name, and runtimes refuse another.
    hostname: config.hostNetwork ? "" : hostname,
    logDirectory,
    dnsConfig: dns,
    portMappings: portMappings?.map(({ protocol, containerPort, hostPort, hostIp }) => ({
      protocol,
      containerPort,
      hostPort,
      hostIp,
    })),
    labels: config.labels,
    annotations: { ...config.annotations, [SANDBOX_CONFIG_ANNOTATION]: JSON.stringify(kept) },
    linux: {
      cgroupParent: linux?.cgroupParent ?? "",
      sysctls: linux?.sysctls ?? {},
      securityContext: securityContext(config),
    },
  };
}

/** What the annotation says; nothing for sandboxes that others made. */
function keptConfig(text: string | undefined): Kept {
  const none = { hostname: "", logDirectory: "" };
  if (text === undefined) return none;
  return { ...none, ...(JSON.parse(text) as Partial<Kept>) };
}

/** Nanoseconds since the epoch, as text, in whole milliseconds; 0 stays 0. */
export function nanosToMs(nanos: string): number {
  return Number(BigInt(nanos) / 1_000_000n);
}

export function sandboxFromWire(status: PodSandboxStatus): PodSandbox {
  const { [SANDBOX_CONFIG_ANNOTATION]: kept, ...annotations } = status.annotations;
  const { metadata } = status;
  return {
    id: status.id,
    config: {
      name: metadata?.name ?? "",
      uid: metadata?.uid ?? "",
      namespace: metadata?.namespace ?? "",
      attempt: metadata?.attempt ?? 0,
      labels: status.labels,
      annotations,
      hostNetwork: status.linux?.namespaces?.options?.network === "NODE",
      ...keptConfig(kept),
    },
    state: status.state,
    createdAtMs: nanosToMs(status.createdAt),
    ip: status.network?.ip ?? "",
  };
}
