// The baseline of the Pod Security Standards: nothing that is known to lead out of a container. Pure; in the order in which
// violations are told. https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
import type { LifecycleHandler, Probe, SELinuxOptions } from "@coxswain/api";
import {
  type AnyContainer,
  type Check,
  containersOf,
  hasOwnUsers,
  named,
  namesWhere,
  plural,
  quoted,
  setters,
  sorted,
  type Subject,
  type Violation,
} from "./check.ts";

const APP_ARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/";
const CAPABILITIES = new Set([
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
]);
/** Each with the minor version from which it is allowed. */
const SYSCTLS: Readonly<Record<string, number>> = {
  "kernel.shm_rmid_forced": 0,
  "net.ipv4.ip_local_port_range": 0,
  "net.ipv4.tcp_syncookies": 0,
  "net.ipv4.ping_group_range": 0,
  "net.ipv4.ip_unprivileged_port_start": 0,
  "net.ipv4.ip_local_reserved_ports": 27,
  "net.ipv4.tcp_keepalive_time": 29,
  "net.ipv4.tcp_fin_timeout": 29,
  "net.ipv4.tcp_keepalive_intvl": 29,
  "net.ipv4.tcp_keepalive_probes": 29,
  "net.ipv4.tcp_rmem": 32,
  "net.ipv4.tcp_wmem": 32,
};
const SELINUX_TYPES: Readonly<Record<string, number>> = {
  "": 0,
  container_t: 0,
  container_init_t: 0,
  container_kvm_t: 0,
  container_engine_t: 31,
};

function isSafeProfile(profile: string): boolean {
  return profile === "runtime/default" || profile.startsWith("localhost/");
}

function appArmorProfile({ metadata, spec }: Subject): Violation | undefined {
  const bad = (type: string | undefined): type is string =>
    type !== undefined && !["RuntimeDefault", "Localhost"].includes(type);
  const podType = spec.securityContext?.appArmorProfile?.type;
  const typeOf = (container: AnyContainer) => container.securityContext?.appArmorProfile?.type;
  const containers = namesWhere(spec, (container) => bad(typeOf(container)));
  const annotations = Object.entries(metadata.annotations ?? {}).filter(
    ([key, value]) => key.startsWith(APP_ARMOR_PREFIX) && value !== "" && !isSafeProfile(value),
  );
  const who = setters(bad(podType), containers);
  if (annotations.length > 0) who.push(named(annotations.map(([key]) => key).toSorted(), "annotation"));
  if (who.length === 0) return undefined;
  const types = [podType, ...containersOf(spec).map(typeOf)].filter((type) => bad(type));
  const values = sorted([...types, ...annotations.map(([, value]) => value)]);
  return {
    reason: plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.length),
    detail: `${who.join(" and ")} must not set AppArmor profile type to ${quoted(values)}`,
  };
}

function capabilities({ spec }: Subject): Violation | undefined {
  const excess = (container: AnyContainer): string[] =>
    (container.securityContext?.capabilities?.add ?? []).filter((name) => !CAPABILITIES.has(name));
  const names = namesWhere(spec, (container) => excess(container).length > 0);
  if (names.length === 0) return undefined;
  const added = quoted(sorted(containersOf(spec).flatMap(excess)));
  const detail = `${named(names)} must not include ${added} in securityContext.capabilities.add`;
  return { reason: "non-default capabilities", detail };
}

function hostNamespaces({ spec }: Subject): Violation | undefined {
  const set = (["hostNetwork", "hostPID", "hostIPC"] as const).filter((name) => spec[name] === true);
  if (set.length === 0) return undefined;
  return { reason: "host namespaces", detail: set.map((name) => `${name}=true`).join(", ") };
}

function hostPathVolumes({ spec }: Subject): Violation | undefined {
  const names = (spec.volumes ?? []).filter(({ hostPath }) => hostPath !== undefined).map(({ name }) => name);
  return names.length === 0 ? undefined : { reason: "hostPath volumes", detail: named(names, "volume") };
}

function hostPorts({ spec }: Subject): Violation | undefined {
  const portsOf = (container: AnyContainer): string[] =>
    (container.ports ?? []).flatMap(({ hostPort }) => (hostPort ? [String(hostPort)] : []));
  const names = namesWhere(spec, (container) => portsOf(container).length > 0);
  if (names.length === 0) return undefined;
  const ports = sorted(containersOf(spec).flatMap(portsOf));
  const use = plural("uses", "use", names.length);
  const detail = `${named(names)} ${use} ${plural("hostPort", "hostPorts", ports.length)} ${ports.join(", ")}`;
  return { reason: "hostPort", detail };
}

function hostsOf({ livenessProbe, readinessProbe, startupProbe, lifecycle }: AnyContainer): string[] {
  const handlers: (Probe | LifecycleHandler | undefined)[] = [livenessProbe, readinessProbe, startupProbe];
  handlers.push(lifecycle?.postStart, lifecycle?.preStop);
  return handlers
    .flatMap((handler) => [handler?.httpGet?.host, handler?.tcpSocket?.host])
    .filter((host) => !!host) as string[];
}

function hostProbes({ spec, minor }: Subject): Violation | undefined {
  if (minor < 34) return undefined;
  const names = sorted(namesWhere(spec, (container) => hostsOf(container).length > 0));
  if (names.length === 0) return undefined;
  const hosts = sorted(containersOf(spec).flatMap(hostsOf));
  const what = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.length);
  const detail = `${named(names)} ${plural("uses", "use", names.length)} ${what} ${quoted(hosts)}`;
  return { reason: "probe or lifecycle host", detail };
}

function privileged({ spec }: Subject): Violation | undefined {
  const names = namesWhere(spec, ({ securityContext }) => securityContext?.privileged === true);
  if (names.length === 0) return undefined;
  return { reason: "privileged", detail: `${named(names)} must not set securityContext.privileged=true` };
}

export function procMount(subject: Subject): Violation | undefined {
  return hasOwnUsers(subject) ? undefined : unmaskedProc(subject);
}

export function unmaskedProc(subject: Subject): Violation | undefined {
  const mountOf = ({ securityContext }: AnyContainer) => securityContext?.procMount ?? "Default";
  const names = namesWhere(subject.spec, (container) => mountOf(container) !== "Default");
  if (names.length === 0) return undefined;
  const mounts = sorted(containersOf(subject.spec).map(mountOf)).filter((mount) => mount !== "Default");
  return { reason: "procMount", detail: `${named(names)} must not set securityContext.procMount to ${quoted(mounts)}` };
}

function seLinuxOptions({ spec, minor }: Subject): Violation | undefined {
  const wrongType = ({ type = "" }: SELinuxOptions): boolean =>
    !Object.hasOwn(SELINUX_TYPES, type) || SELINUX_TYPES[type]! > minor;
  const wrong = (options: SELinuxOptions | undefined): options is SELinuxOptions =>
    options !== undefined && (wrongType(options) || !!options.user || !!options.role);
  const podOptions = spec.securityContext?.seLinuxOptions;
  const optionsOf = ({ securityContext }: AnyContainer) => securityContext?.seLinuxOptions;
  const names = namesWhere(spec, (container) => wrong(optionsOf(container)));
  const who = setters(wrong(podOptions), names);
  if (who.length === 0) return undefined;
  const all = [podOptions, ...containersOf(spec).map(optionsOf)].filter((options) => wrong(options));
  const types = sorted(all.filter(wrongType).map(({ type = "" }) => type));
  const what: string[] = [];
  if (types.length > 0) what.push(`${plural("type", "types", types.length)} ${quoted(types)}`);
  if (all.some(({ user }) => !!user)) what.push("user may not be set");
  if (all.some(({ role }) => !!role)) what.push("role may not be set");
  const detail = `${who.join(" and ")} set forbidden securityContext.seLinuxOptions: ${what.join("; ")}`;
  return { reason: "seLinuxOptions", detail };
}

/** Before 1.19 annotations alone told of profiles. */
function badSeccompAnnotations({ metadata, spec }: Subject): Violation | undefined {
  const keys = [SECCOMP_POD, ...containersOf(spec).map(({ name }) => `${SECCOMP_CONTAINER}${name}`)];
  const bad = keys.flatMap((key) => {
    const profile = metadata.annotations?.[key];
    const allowed = profile === undefined || profile === "docker/default" || isSafeProfile(profile);
    return allowed ? [] : [`${key}=${JSON.stringify(profile)}`];
  });
  if (bad.length === 0) return undefined;
  const what = plural("annotation", "annotations", bad.length);
  return { reason: "seccompProfile", detail: `forbidden ${what} ${sorted(bad).join(", ")}` };
}

/** A profile that confines nothing, said aloud. Silence is allowed here. */
export function badSeccomp(subject: Subject): Violation | undefined {
  const { spec, minor } = subject;
  if (minor < 19) return badSeccompAnnotations(subject);
  const bad = (type: string | undefined): type is string =>
    type !== undefined && type !== "RuntimeDefault" && type !== "Localhost";
  const podType = spec.securityContext?.seccompProfile?.type;
  const typeOf = ({ securityContext }: AnyContainer) => securityContext?.seccompProfile?.type;
  const who = setters(
    bad(podType),
    namesWhere(spec, (container) => bad(typeOf(container))),
  );
  if (who.length === 0) return undefined;
  const types = sorted([podType, ...containersOf(spec).map(typeOf)].filter((type) => bad(type)));
  const detail = `${who.join(" and ")} must not set securityContext.seccompProfile.type to ${quoted(types)}`;
  return { reason: "seccompProfile", detail };
}

function sysctls({ spec, minor }: Subject): Violation | undefined {
  const names = (spec.securityContext?.sysctls ?? []).map(({ name }) => name);
  const forbidden = names.filter((name) => !Object.hasOwn(SYSCTLS, name) || SYSCTLS[name]! > minor);
  return forbidden.length === 0 ? undefined : { reason: "forbidden sysctls", detail: forbidden.join(", ") };
}

function windowsHostProcess({ spec }: Subject): Violation | undefined {
  const pod = spec.securityContext?.windowsOptions?.hostProcess === true;
  const containers = namesWhere(spec, ({ securityContext }) => securityContext?.windowsOptions?.hostProcess === true);
  const who = setters(pod, containers);
  if (who.length === 0) return undefined;
  const detail = `${who.join(" and ")} must not set securityContext.windowsOptions.hostProcess=true`;
  return { reason: "hostProcess", detail };
}

/** Those that the restricted level replaces by stricter ones of its own are apart. */
export const REPLACED: ReadonlySet<Check> = new Set<Check>([capabilities, hostPathVolumes, badSeccomp]);

export const BASELINE: readonly Check[] = [
  appArmorProfile,
  capabilities,
  hostNamespaces,
  hostPathVolumes,
  hostPorts,
  hostProbes,
  privileged,
  procMount,
  seLinuxOptions,
  badSeccomp,
  sysctls,
  windowsHostProcess,
];
