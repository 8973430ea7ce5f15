// Security contexts: identities in range, and options that do not contradict each other.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldRequired,
  indexPath,
  validateUserOrGroupId,
} from "@coxswain/apimachinery";
import type { PodSecurityContext, PodSpec, SeccompProfile, SecurityContext } from "../../types.gen.ts";
import { validateEnum, validateOptionalEnum } from "../../validation/enums.ts";
import { validateAppArmor } from "./app-armor.ts";
import { validateRelativePath } from "./env-sources.ts";
import { validateWindowsOptions } from "./os-security.ts";

function validateId(id: number | undefined, path: string): FieldError[] {
  return id === undefined ? [] : validateUserOrGroupId(id).map((message) => fieldInvalid(path, id, message));
}

function validateSeccomp(profile: SeccompProfile | undefined, path: string): FieldError[] {
  if (!profile) return [];
  const at = childPath(path, "localhostProfile");
  const type = childPath(path, "type");
  const errors = profile.type
    ? validateEnum(profile.type, ["Localhost", "RuntimeDefault", "Unconfined"], type)
    : [fieldRequired(type, "type is required when seccompProfile is set")];
  if (profile.type === "Localhost") {
    errors.push(
      ...(profile.localhostProfile === undefined
        ? [fieldRequired(at, "must be set when seccomp type is Localhost")]
        : validateRelativePath(profile.localhostProfile, at)),
    );
  } else if (profile.localhostProfile !== undefined) {
    errors.push(fieldInvalid(at, profile, "can only be set when seccomp type is Localhost"));
  }
  return errors;
}

function validateProcMount(type: string, hostUsers: boolean, path: string): FieldError[] {
  const errors = validateOptionalEnum(type, ["Default", "Unmasked"], path);
  if (hostUsers && type === "Unmasked") {
    errors.push(fieldInvalid(path, type, "`hostUsers` must be false to use `Unmasked`"));
  }
  return errors;
}

/** `hostUsers`: the pod's users are those of its node. */
export function validateContainerSecurity(
  context: SecurityContext | undefined,
  hostUsers: boolean,
  path: string,
): FieldError[] {
  if (!context) return [];
  const errors = [
    ...validateId(context.runAsUser, childPath(path, "runAsUser")),
    ...validateId(context.runAsGroup, childPath(path, "runAsGroup")),
    ...(context.procMount === undefined
      ? []
      : validateProcMount(context.procMount, hostUsers, childPath(path, "procMount"))),
    ...validateSeccomp(context.seccompProfile, childPath(path, "seccompProfile")),
  ];
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged) {
      errors.push(
        fieldInvalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"),
      );
    }
    if (context.capabilities?.add?.includes("CAP_SYS_ADMIN")) {
      const detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
      errors.push(fieldInvalid(path, context, detail));
    }
  }
  return [
    ...errors,
    ...validateWindowsOptions(context.windowsOptions, childPath(path, "windowsOptions")),
    ...validateAppArmor(context.appArmorProfile, childPath(path, "appArmorProfile")),
  ];
}

const SYSCTL = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const SYSCTL_NAME = new RegExp(`^${SYSCTL}$`);
const SYSCTL_MAX_LENGTH = 253;
const IPC_SYSCTLS = new Set([
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
  "kernel.shm",
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.msg",
]);

type HostNamespaces = Pick<PodSpec, "hostIPC" | "hostNetwork" | "hostPID" | "shareProcessNamespace">;

/** A name whose first separator is a slash has slashes for dots, and dots for slashes within its parts. */
function dotted(name: string): string {
  if (/[./]/.exec(name)?.[0] !== "/") return name;
  return name.replaceAll(/[./]/g, (separator) => (separator === "/" ? "." : "/"));
}

/** Only the form of the names: which of them a node takes, its kubelet decides. */
function validateSysctls(
  sysctls: NonNullable<PodSecurityContext["sysctls"]>,
  { hostNetwork, hostIPC }: HostNamespaces,
  path: string,
): FieldError[] {
  const seen = new Set<string>();
  return sysctls.flatMap(({ name }, index) => {
    const at = childPath(indexPath(path, index), "name");
    if (!name) return [fieldRequired(at, "")];
    if (name.length > SYSCTL_MAX_LENGTH || !SYSCTL_NAME.test(name)) {
      const detail = `must have at most ${SYSCTL_MAX_LENGTH} characters and match regex ${SYSCTL}`;
      return [fieldInvalid(at, name, detail)];
    }
    const key = dotted(name);
    if (seen.has(key)) return [fieldDuplicate(at, name)];
    seen.add(key);
    if (hostNetwork && key.startsWith("net.")) {
      return [fieldInvalid(at, name, "may not be specified when 'hostNetwork' is true")];
    }
    const ofIpc = IPC_SYSCTLS.has(key) || key.startsWith("fs.mqueue.");
    return hostIPC && ofIpc ? [fieldInvalid(at, name, "may not be specified when 'hostIPC' is true")] : [];
  });
}

/** Upstream reports it as of the security context, where it once was. */
function validateProcessNamespace({ hostPID, shareProcessNamespace }: HostNamespaces, path: string): FieldError[] {
  if (!hostPID || !shareProcessNamespace) return [];
  const detail = "ShareProcessNamespace and HostPID cannot both be enabled";
  return [fieldInvalid(childPath(path, "shareProcessNamespace"), true, detail)];
}

export function validatePodSecurity(
  context: PodSecurityContext | undefined,
  host: HostNamespaces,
  path: string,
): FieldError[] {
  const shared = validateProcessNamespace(host, path);
  if (!context) return shared;
  const errors = [
    ...validateId(context.fsGroup, childPath(path, "fsGroup")),
    ...validateId(context.runAsUser, childPath(path, "runAsUser")),
    ...validateId(context.runAsGroup, childPath(path, "runAsGroup")),
    ...(context.supplementalGroups ?? []).flatMap((id, index) =>
      validateId(id, indexPath(childPath(path, "supplementalGroups"), index)),
    ),
    ...shared,
    ...validateSysctls(context.sysctls ?? [], host, childPath(path, "sysctls")),
    ...validateSeccomp(context.seccompProfile, childPath(path, "seccompProfile")),
    ...validateWindowsOptions(context.windowsOptions, childPath(path, "windowsOptions")),
    ...validateAppArmor(context.appArmorProfile, childPath(path, "appArmorProfile")),
  ];
  if (context.fsGroupChangePolicy !== undefined) {
    const at = childPath(path, "fsGroupChangePolicy");
    errors.push(...validateOptionalEnum(context.fsGroupChangePolicy, ["Always", "OnRootMismatch"], at));
  }
  const policies = childPath(path, "supplementalGroupsPolicy");
  return [
    ...errors,
    ...validateOptionalEnum(context.supplementalGroupsPolicy, ["Merge", "Strict"], policies),
    ...validateOptionalEnum(
      context.seLinuxChangePolicy,
      ["MountOption", "Recursive"],
      childPath(path, "seLinuxChangePolicy"),
    ),
  ];
}
