// What a container may do: the security contexts of pod and container merged as upstream merges them. Pure.
// https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
import type { Container, Pod, SeccompProfile } from "@coxswain/api";
import type { ContainerLinux, NamespaceMode, SandboxLinux, SecurityProfile } from "../cri/contract.ts";

/** Whom an image runs as, where it says so. */
export interface ImageUser {
  readonly uid?: number;
  readonly username?: string;
}

const MASKED_PATHS = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** What of the pod's security the sandbox has. */
export function sandboxSecurity(pod: Pod): Omit<SandboxLinux, "cgroupParent"> {
  const { securityContext: own = {}, containers = [], initContainers = [] } = pod.spec ?? {};
  const { runAsUser, runAsGroup, sysctls = [] } = own;
  return {
    sysctls: Object.fromEntries(sysctls.map(({ name, value }) => [name, value])),
    ipcMode: ipcMode(pod),
    pidMode: pidMode(pod),
    ...(runAsUser === undefined ? {} : { runAsUser }),
    // Runtimes take a group only with its user; the sandbox's own user matters to nobody.
    ...(runAsUser === undefined || runAsGroup === undefined ? {} : { runAsGroup }),
    supplementalGroups: groups(pod),
    privileged: [...initContainers, ...containers].some((one) => one.securityContext?.privileged === true),
    seccomp: { type: "RuntimeDefault" },
  };
}

/** True for a container that may run as anybody but root. */
function mustNotBeRoot(pod: Pod, container: Container): boolean {
  return (container.securityContext?.runAsNonRoot ?? pod.spec?.securityContext?.runAsNonRoot) === true;
}

function userAndGroup(pod: Pod, container: Container): { user: number | undefined; group: number | undefined } {
  const own = container.securityContext ?? {};
  const ofPod = pod.spec?.securityContext ?? {};
  return { user: own.runAsUser ?? ofPod.runAsUser, group: own.runAsGroup ?? ofPod.runAsGroup };
}

/** True where it matters whom the image runs as: it must not be root, or is the user to a group that the pod names. */
export function needsImageUser(pod: Pod, container: Container): boolean {
  const { user, group } = userAndGroup(pod, container);
  return user === undefined && (group !== undefined || mustNotBeRoot(pod, container));
}

/** Upstream's reason why a container may not run, undefined where it may: it would run as root and must not. */
export function rootRefusal(pod: Pod, container: Container, image: ImageUser): string | undefined {
  if (!mustNotBeRoot(pod, container)) return undefined;
  const { name, namespace, uid } = pod.metadata ?? {};
  const where = `(pod: "${name}_${namespace}(${uid})", container: ${container.name})`;
  const { user } = userAndGroup(pod, container);
  if (user !== undefined) return user === 0 ? `container's runAsUser breaks non-root policy ${where}` : undefined;
  if (image.uid === 0) return `container has runAsNonRoot and image will run as root ${where}`;
  if (image.uid === undefined && image.username !== undefined && image.username !== "") {
    return `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`;
  }
  return undefined;
}

export interface ContainerSecurityInput {
  readonly pod: Pod;
  readonly container: Container;
  /** Where needsImageUser says so. */
  readonly imageUser?: ImageUser | undefined;
  /** Whose processes it sees, besides its own. */
  readonly targetContainerId?: string | undefined;
}

/** The container's security, without what depends on resources. */
export function containerSecurity(input: ContainerSecurityInput): Omit<ContainerLinux, "oomScoreAdj"> {
  const { pod, container, targetContainerId } = input;
  const own = container.securityContext ?? {};
  const ofPod = pod.spec?.securityContext ?? {};
  const privileged = own.privileged ?? false;
  const open = privileged || own.procMount === "Unmasked";
  return {
    privileged,
    readonlyRootfs: own.readOnlyRootFilesystem ?? false,
    noNewPrivs: own.allowPrivilegeEscalation === false,
    ...runAs(input),
    supplementalGroups: groups(pod),
    addCapabilities: own.capabilities?.add ?? [],
    dropCapabilities: own.capabilities?.drop ?? [],
    seccomp: privileged ? { type: "Unconfined" } : seccomp(own.seccompProfile ?? ofPod.seccompProfile),
    ipcMode: ipcMode(pod),
    // "TARGET" in upstream's terms: the processes of one other container.
    pidMode: targetContainerId === undefined ? pidMode(pod) : "CONTAINER",
    ...(targetContainerId === undefined ? {} : { targetContainerId }),
    maskedPaths: open ? [] : MASKED_PATHS,
    readonlyPaths: open ? [] : READONLY_PATHS,
  };
}

function runAs({ pod, container, imageUser }: ContainerSecurityInput) {
  const { user, group } = userAndGroup(pod, container);
  const runAsUser = user ?? imageUser?.uid;
  const { username = "" } = imageUser ?? {};
  return {
    ...(runAsUser === undefined ? {} : { runAsUser }),
    ...(runAsUser === undefined && username !== "" ? { runAsUserName: username } : {}),
    ...(group === undefined ? {} : { runAsGroup: group }),
  };
}

function seccomp(profile: SeccompProfile | undefined): SecurityProfile {
  if (profile?.type === "RuntimeDefault") return { type: "RuntimeDefault" };
  if (profile?.type === "Localhost") return { type: "Localhost", localhostRef: profile.localhostProfile ?? "" };
  return { type: "Unconfined" };
}

function ipcMode(pod: Pod): NamespaceMode {
  return pod.spec?.hostIPC ? "NODE" : "POD";
}

function pidMode(pod: Pod): NamespaceMode {
  if (pod.spec?.hostPID) return "NODE";
  return pod.spec?.shareProcessNamespace ? "POD" : "CONTAINER";
}

function groups(pod: Pod): number[] {
  const { fsGroup, supplementalGroups = [] } = pod.spec?.securityContext ?? {};
  return [...new Set([...(fsGroup === undefined ? [] : [fsGroup]), ...supplementalGroups])];
}
