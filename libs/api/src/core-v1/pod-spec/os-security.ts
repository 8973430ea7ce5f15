// What belongs to one operating system: the security options of Windows, and those that Windows has not.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import type { PodSpec, WindowsSecurityContextOptions } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { eachContainer } from "./each-container.ts";

const MAX_SPEC = { kib: 64, bytes: 64 * 1024 };
const MAX_DOMAIN = 256;
const MAX_USER = 104;
const CONTROL = /\p{Cc}/u;
const NETBIOS = /^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$/;
const DNS_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
const DNS = new RegExp(`^${DNS_LABEL}(?:\\.${DNS_LABEL})*$`);
const FORBIDDEN_IN_USER = /["/\\:;|=,+*?<>@[\]]/;

/** What is wrong with a user's name, with or without a domain before it. */
function userNameMessages(name: string): string[] {
  if (name === "") return ["runAsUserName cannot be an empty string"];
  if (CONTROL.test(name)) return ["runAsUserName cannot contain control characters"];
  const parts = name.split("\\");
  if (parts.length > 2) return ["runAsUserName cannot contain more than one backslash"];
  const user = parts.at(-1) ?? "";
  const domain = parts.length === 2 ? parts[0] : undefined;
  const messages: string[] = [];
  if ((domain?.length ?? 0) >= MAX_DOMAIN) {
    messages.push(`runAsUserName's Domain length must be under ${MAX_DOMAIN} characters`);
  }
  if (domain !== undefined && !NETBIOS.test(domain) && !DNS.test(domain)) {
    messages.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  }
  if (user === "") messages.push("runAsUserName's User cannot be empty");
  if (user.length > MAX_USER) {
    messages.push(`runAsUserName's User length must not be longer than ${MAX_USER} characters`);
  }
  if (/^[. ]+$/.test(user)) messages.push("runAsUserName's User cannot contain only periods or spaces");
  if (FORBIDDEN_IN_USER.test(user)) {
    messages.push(`runAsUserName's User cannot contain the following characters: "/\\:;|=,+*?<>@[]`);
  }
  return messages;
}

export function validateWindowsOptions(options: WindowsSecurityContextOptions | undefined, path: string): FieldError[] {
  if (options === undefined) return [];
  const { gmsaCredentialSpecName: name, gmsaCredentialSpec: spec, runAsUserName: user } = options;
  const errors =
    name === undefined ? [] : validateWith(validateDns1123Subdomain, name, childPath(path, "gmsaCredentialSpecName"));
  const at = childPath(path, "gmsaCredentialSpec");
  if (spec === "") errors.push(fieldInvalid(at, spec, "gmsaCredentialSpec cannot be an empty string"));
  if (Buffer.byteLength(spec ?? "") > MAX_SPEC.bytes) {
    errors.push(fieldInvalid(at, spec, `gmsaCredentialSpec size must be under ${MAX_SPEC.kib} KiB`));
  }
  return user === undefined
    ? errors
    : [...errors, ...validateWith(userNameMessages, user, childPath(path, "runAsUserName"))];
}

/** Containers that are processes of their host are all that a pod has, in the host's network. */
export function validateHostProcess(spec: PodSpec, path: string): FieldError[] {
  const ofPod = spec.securityContext?.windowsOptions?.hostProcess;
  const errors: FieldError[] = [];
  let all = 0;
  let onHost = 0;
  eachContainer(spec, path, ({ securityContext }, at) => {
    all++;
    const own = securityContext?.windowsOptions?.hostProcess;
    if (ofPod !== undefined && own !== undefined && ofPod !== own) {
      const detail = `pod hostProcess value must be identical if both are specified, was ${ofPod}`;
      errors.push(fieldInvalid(childPath(at, "securityContext", "windowsOptions", "hostProcess"), own, detail));
    }
    if (own ?? ofPod) onHost++;
  });
  if (onHost === 0) return errors;
  if (onHost < all) {
    const detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
    errors.push(fieldInvalid(path, "", detail));
  }
  if (!spec.hostNetwork) {
    const detail = "hostNetwork must be true if pod contains any hostProcess containers";
    errors.push(fieldInvalid(childPath(path, "hostNetwork"), false, detail));
  }
  return errors;
}

const POD_SPEC_FIELDS = ["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"] as const;
const POD_CONTEXT_FIELDS = [
  "appArmorProfile",
  "seLinuxOptions",
  "seccompProfile",
  "fsGroup",
  "fsGroupChangePolicy",
  "sysctls",
  "runAsUser",
  "runAsGroup",
  "supplementalGroups",
  "supplementalGroupsPolicy",
  "seLinuxChangePolicy",
] as const;
const CONTAINER_FIELDS = [
  "appArmorProfile",
  "seLinuxOptions",
  "seccompProfile",
  "capabilities",
  "readOnlyRootFilesystem",
  "privileged",
  "allowPrivilegeEscalation",
  "procMount",
  "runAsUser",
  "runAsGroup",
] as const;

/** An empty list of sysctls, and a namespace of the node that is not asked for, are nothing. */
const isSet = (name: string, value: unknown): boolean => {
  if (name === "hostPID" || name === "hostIPC") return value === true;
  return name === "sysctls" ? Array.isArray(value) && value.length > 0 : value !== undefined;
};

function validateWindows(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const forbid = (at: string, names: readonly string[], owner: object | undefined): void => {
    const given: Readonly<Record<string, unknown>> = { ...owner };
    const set = names.filter((name) => isSet(name, given[name]));
    errors.push(...set.map((name) => fieldForbidden(childPath(at, name), "cannot be set for a windows pod")));
  };
  forbid(childPath(path, "securityContext"), POD_CONTEXT_FIELDS, spec.securityContext);
  forbid(path, POD_SPEC_FIELDS, spec);
  eachContainer(spec, path, ({ securityContext }, at) => {
    forbid(childPath(at, "securityContext"), CONTAINER_FIELDS, securityContext);
  });
  return errors;
}

function validateLinux(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const look = (options: WindowsSecurityContextOptions | undefined, at: string): void => {
    if (options === undefined) return;
    const here = childPath(at, "securityContext", "windowsOptions");
    errors.push(fieldForbidden(here, "windows options cannot be set for a linux pod"));
  };
  look(spec.securityContext?.windowsOptions, path);
  eachContainer(spec, path, ({ securityContext }, at) => look(securityContext?.windowsOptions, at));
  return errors;
}

/** A pod that names its operating system asks for nothing of the other. */
export function validateOs(spec: PodSpec, path: string): FieldError[] {
  if (spec.os === undefined) return [];
  const at = childPath(path, "os");
  const { name } = spec.os;
  if (!name) return [fieldRequired(childPath(at, "name"), "")];
  if (name === "linux") return validateLinux(spec, path);
  return name === "windows" ? validateWindows(spec, path) : [fieldNotSupported(at, name, ["linux", "windows"])];
}
