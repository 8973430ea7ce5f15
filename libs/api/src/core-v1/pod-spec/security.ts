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
import type { PodSecurityContext, SeccompProfile, SecurityContext } from "../../types.gen.ts";
import { validateEnum, validateOptionalEnum } from "../../validation/enums.ts";

function validateId(id: number | undefined, path: string): FieldError[] {
  return id === undefined ? [] : validateUserOrGroupId(id).map((message) => fieldInvalid(path, id, message));
}

function validateSeccomp(profile: SeccompProfile | undefined, path: string): FieldError[] {
  if (!profile) return [];
  const at = childPath(path, "localhostProfile");
  const errors = validateEnum(profile.type, ["Localhost", "RuntimeDefault", "Unconfined"], childPath(path, "type"));
  if (profile.type === "Localhost" && !profile.localhostProfile) {
    errors.push(fieldRequired(at, "must be set when seccomp type is Localhost"));
  }
  if (profile.type !== "Localhost" && profile.localhostProfile) {
    errors.push(fieldInvalid(at, profile.localhostProfile, "can only be set when seccomp type is Localhost"));
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
    if (context.capabilities?.add?.some((name) => name === "CAP_SYS_ADMIN" || name === "SYS_ADMIN")) {
      const detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
      errors.push(fieldInvalid(path, context, detail));
    }
  }
  return errors;
}

const SYSCTL = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const SYSCTL_NAME = new RegExp(`^${SYSCTL}$`);
const SYSCTL_MAX_LENGTH = 253;

/** Only the form of the names: which of them a node takes, its kubelet decides. */
function validateSysctls(sysctls: NonNullable<PodSecurityContext["sysctls"]>, path: string): FieldError[] {
  const seen = new Set<string>();
  return sysctls.flatMap(({ name }, index) => {
    const at = childPath(indexPath(path, index), "name");
    if (!name) return [fieldRequired(at, "")];
    if (name.length > SYSCTL_MAX_LENGTH || !SYSCTL_NAME.test(name)) {
      const detail = `must have at most ${SYSCTL_MAX_LENGTH} characters and match regex ${SYSCTL}`;
      return [fieldInvalid(at, name, detail)];
    }
    // Slashes and dots say the same.
    const key = name.replaceAll("/", ".");
    if (seen.has(key)) return [fieldDuplicate(at, name)];
    seen.add(key);
    return [];
  });
}

export function validatePodSecurity(context: PodSecurityContext | undefined, path: string): FieldError[] {
  if (!context) return [];
  const errors = [
    ...validateId(context.fsGroup, childPath(path, "fsGroup")),
    ...validateId(context.runAsUser, childPath(path, "runAsUser")),
    ...validateId(context.runAsGroup, childPath(path, "runAsGroup")),
    ...(context.supplementalGroups ?? []).flatMap((id, index) =>
      validateId(id, indexPath(childPath(path, "supplementalGroups"), index)),
    ),
    ...validateSeccomp(context.seccompProfile, childPath(path, "seccompProfile")),
    ...validateSysctls(context.sysctls ?? [], childPath(path, "sysctls")),
  ];
  if (context.fsGroupChangePolicy !== undefined) {
    const at = childPath(path, "fsGroupChangePolicy");
    errors.push(...validateEnum(context.fsGroupChangePolicy, ["Always", "OnRootMismatch"], at));
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
