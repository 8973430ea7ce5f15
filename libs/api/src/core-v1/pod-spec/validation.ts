// The validation of a pod spec, wherever one stands: in a pod or in a template.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldRequired,
  fieldTooLong,
  indexPath,
  rangeMessage,
  validateDns1123Label,
  validateDns1123Subdomain,
  validateDns1123SubdomainWithUnderscore,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import type { PodDNSConfig, PodSpec, PodTemplateSpec } from "../../types.gen.ts";
import { validateEnum, validateOptionalEnum, validateWith } from "../../validation/enums.ts";
import { validateIp } from "../../validation/ip.ts";
import { validateAnnotations, validateLabels } from "../../validation/labels.ts";
import { validateResourceList } from "../../validation/resources.ts";
import { validateContainers, validateEphemeralContainers, validateInitContainers } from "./containers.ts";
import { validateDeviceClaims } from "./device-claims.ts";
import { eachContainer } from "./each-container.ts";
import { validateHostProcess, validateOs } from "./os-security.ts";
import { validatePodResources } from "./pod-resources.ts";
import { validateAffinity, validateTolerations, validateTopologySpread } from "./scheduling.ts";
import { validatePodSecurity } from "./security.ts";
import { validateVolumes } from "./volumes.ts";

const RESTART_POLICIES = ["Always", "OnFailure", "Never"];
const DNS_POLICIES = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const MAX_INT32 = 2 ** 31 - 1;
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_LENGTH = 2048;
const MAX_HOSTNAME_LENGTH = 64;

/** Each may have underscores, as names of services do, or be a single dot: then names are asked for as they are. */
function validateSearches(searches: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (searches.length > MAX_SEARCHES) {
    errors.push(fieldInvalid(path, searches, `must not have more than ${MAX_SEARCHES} search paths`));
  }
  if (searches.join(" ").length > MAX_SEARCH_LENGTH) {
    const detail = `must not have more than ${MAX_SEARCH_LENGTH} characters (including spaces) in the search list`;
    errors.push(fieldInvalid(path, searches, detail));
  }
  for (const [index, search] of searches.entries()) {
    if (search === ".") continue;
    const domain = search.endsWith(".") ? search.slice(0, -1) : search;
    errors.push(...validateWith(validateDns1123SubdomainWithUnderscore, domain, indexPath(path, index)));
  }
  return errors;
}

function validateDnsConfig(config: PodDNSConfig | undefined, policy: string | undefined, path: string): FieldError[] {
  const servers = config?.nameservers ?? [];
  const at = childPath(path, "nameservers");
  if (policy === "None" && servers.length === 0) {
    return [fieldRequired(config ? at : path, `must provide at least one DNS nameserver when \`dnsPolicy\` is None`)];
  }
  const errors = servers.flatMap((server, index) => validateIp(server, indexPath(at, index)));
  if (servers.length > MAX_NAMESERVERS) {
    errors.push(fieldInvalid(at, servers, `must not have more than ${MAX_NAMESERVERS} nameservers`));
  }
  errors.push(...validateSearches(config?.searches ?? [], childPath(path, "searches")));
  for (const [index, option] of (config?.options ?? []).entries()) {
    if (!option.name) errors.push(fieldRequired(indexPath(childPath(path, "options"), index), "must not be empty"));
  }
  return errors;
}

/** Fields that hold the name of something else, each with its rule. */
function validateNames(spec: PodSpec, path: string): FieldError[] {
  const rules = [
    ["serviceAccountName", validateDns1123Subdomain],
    ["nodeName", validateDns1123Subdomain],
    ["hostname", validateDns1123Label],
    ["subdomain", validateDns1123Label],
    ["priorityClassName", validateDns1123Subdomain],
    ["runtimeClassName", validateDns1123Subdomain],
  ] as const;
  return rules.flatMap(([name, check]) => {
    const value = spec[name];
    return value ? validateWith(check, value, childPath(path, name)) : [];
  });
}

function validateLists(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, secret] of (spec.imagePullSecrets ?? []).entries()) {
    const at = indexPath(childPath(path, "imagePullSecrets"), index);
    if (!secret.name) errors.push(fieldRequired(childPath(at, "name"), ""));
  }
  for (const [index, gate] of (spec.readinessGates ?? []).entries()) {
    const at = childPath(indexPath(childPath(path, "readinessGates"), index), "conditionType");
    errors.push(...validateWith(validateQualifiedName, gate.conditionType, at));
  }
  for (const [index, gate] of (spec.schedulingGates ?? []).entries()) {
    const at = indexPath(childPath(path, "schedulingGates"), index);
    errors.push(...validateWith(validateQualifiedName, gate.name, at));
    const known = spec.schedulingGates?.slice(0, index).some(({ name }) => name === gate.name);
    if (known) errors.push(fieldDuplicate(at, gate.name));
  }
  for (const [index, alias] of (spec.hostAliases ?? []).entries()) {
    const at = indexPath(childPath(path, "hostAliases"), index);
    errors.push(...validateIp(alias.ip, childPath(at, "ip")));
    for (const [place, name] of (alias.hostnames ?? []).entries()) {
      errors.push(...validateWith(validateDns1123Subdomain, name, indexPath(childPath(at, "hostnames"), place)));
    }
  }
  return errors;
}

function validateHostNetwork(spec: PodSpec, path: string): FieldError[] {
  if (!spec.hostNetwork) return [];
  return (["containers", "initContainers"] as const).flatMap((list) =>
    (spec[list] ?? []).flatMap((container, i) =>
      (container.ports ?? []).flatMap((port, j) => {
        if (!port.hostPort || port.hostPort === port.containerPort) return [];
        const at = childPath(indexPath(childPath(path, list), i), indexPath("ports", j), "hostPort");
        return [fieldInvalid(at, port.hostPort, "must match `containerPort` when `hostNetwork` is true")];
      }),
    ),
  );
}

/** A pod with users of its own shares no namespace of its node that would need the node's users. */
function validateHostUsers(spec: PodSpec, path: string): FieldError[] {
  if (spec.hostUsers !== false) return [];
  const forbid = (at: string): FieldError => fieldForbidden(at, "when `hostUsers` is false");
  const errors = spec.hostNetwork ? [forbid(childPath(path, "hostNetwork"))] : [];
  // Upstream's own spelling.
  if (spec.hostPID) errors.push(forbid(childPath(path, "HostPID")));
  if (spec.hostIPC) errors.push(forbid(childPath(path, "HostIPC")));
  eachContainer(spec, path, ({ volumeDevices = [] }, at) => {
    if (volumeDevices.length > 0) errors.push(forbid(childPath(at, "volumeDevices")));
  });
  return errors;
}

function validateHostnameOverride(spec: PodSpec, path: string): FieldError[] {
  const name = spec.hostnameOverride;
  if (name === undefined) return [];
  const at = childPath(path, "hostnameOverride");
  const errors: FieldError[] = [];
  if (spec.setHostnameAsFQDN) {
    errors.push(fieldForbidden(at, "may not be specified when setHostnameAsFQDN is true"));
  }
  if (spec.hostNetwork) errors.push(fieldForbidden(at, "may not be specified when hostNetwork is true"));
  if (name.length > MAX_HOSTNAME_LENGTH) errors.push(fieldTooLong(at, MAX_HOSTNAME_LENGTH));
  return [...errors, ...validateWith(validateDns1123Subdomain, name, at)];
}

/** Files of variables lie in an emptyDir, which containers of the pod write. */
function validateEnvFiles(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  eachContainer(spec, path, ({ env = [] }, at) => {
    for (const [index, { valueFrom }] of env.entries()) {
      const name = valueFrom?.fileKeyRef?.volumeName;
      if (name === undefined) continue;
      const here = childPath(indexPath(childPath(at, "env"), index), "valueFrom", "fileKeyRef", "volumeName");
      const volume = spec.volumes?.find((one) => one.name === name);
      if (volume === undefined) errors.push(fieldNotFound(here, name));
      else if (volume.emptyDir === undefined) {
        errors.push(fieldInvalid(here, name, "referenced volume must be of type emptyDir"));
      }
    }
  });
  return errors;
}

/** A pod of no service account has nobody whose token it could be given. */
function validateTokens({ serviceAccountName, volumes = [] }: PodSpec, path: string): FieldError[] {
  if (serviceAccountName) return [];
  return volumes.flatMap(({ projected }, index) =>
    (projected?.sources ?? []).flatMap(({ serviceAccountToken }, place) => {
      if (serviceAccountToken === undefined) return [];
      const at = childPath(indexPath(childPath(path, "volumes"), index), "projected", indexPath("sources", place));
      const detail = "must not be specified when serviceAccountName is not set";
      return [fieldForbidden(childPath(at, "serviceAccountToken"), detail)];
    }),
  );
}

function validateDeadline(seconds: number | undefined, path: string): FieldError[] {
  if (seconds === undefined || (seconds >= 1 && seconds <= MAX_INT32)) return [];
  return [fieldInvalid(path, seconds, rangeMessage(1, MAX_INT32))];
}

/** Errors of a pod spec that stands under `path`; `ofPod` is false for a template of pods. */
export function validatePodSpec(spec: PodSpec, path: string, ofPod = true): FieldError[] {
  const at = (name: string) => childPath(path, name);
  const volumes = validateVolumes(spec.volumes, ofPod, at("volumes"));
  return [
    ...volumes.errors,
    ...validateContainers(spec, volumes.named, at("containers")),
    ...validateInitContainers(spec, volumes.named, at("initContainers")),
    ...validateEphemeralContainers(spec, volumes.named, at("ephemeralContainers")),
    ...validatePodResources(spec, path),
    ...validateDeviceClaims(spec, at("resourceClaims")),
    ...validateHostNetwork(spec, path),
    ...validateEnum(spec.restartPolicy, RESTART_POLICIES, at("restartPolicy")),
    ...validateEnum(spec.dnsPolicy, DNS_POLICIES, at("dnsPolicy")),
    ...validateLabels(spec.nodeSelector, at("nodeSelector")),
    ...validatePodSecurity(spec.securityContext, spec, at("securityContext")),
    ...validateAffinity(spec.affinity, at("affinity")),
    ...validateDnsConfig(spec.dnsConfig, spec.dnsPolicy, at("dnsConfig")),
    ...validateLists(spec, path),
    ...validateTopologySpread(spec.topologySpreadConstraints, at("topologySpreadConstraints")),
    ...validateHostProcess(spec, path),
    ...validateHostUsers(spec, path),
    ...validateHostnameOverride(spec, path),
    ...validateNames(spec, path),
    ...validateDeadline(spec.activeDeadlineSeconds, at("activeDeadlineSeconds")),
    ...validateTolerations(spec.tolerations, at("tolerations")),
    ...validateOptionalEnum(spec.preemptionPolicy, ["PreemptLowerPriority", "Never"], at("preemptionPolicy")),
    ...validateResourceList(spec.overhead, at("overhead")),
    ...validateOs(spec, path),
    ...validateEnvFiles(spec, path),
    ...(ofPod ? validateTokens(spec, path) : []),
  ];
}

function validateNoEphemeral({ ephemeralContainers = [] }: PodSpec, path: string): FieldError[] {
  if (ephemeralContainers.length === 0) return [];
  return [fieldForbidden(childPath(path, "ephemeralContainers"), "ephemeral containers not allowed in pod template")];
}

/** Errors of a template under `path`: its labels and annotations, and its spec. */
export function validatePodTemplate(template: PodTemplateSpec, path: string): FieldError[] {
  return [
    ...validateLabels(template.metadata?.labels, childPath(path, "labels")),
    ...validateAnnotations(template.metadata?.annotations, childPath(path, "annotations")),
    ...(template.spec
      ? [
          ...validatePodSpec(template.spec, childPath(path, "spec"), false),
          ...validateNoEphemeral(template.spec, childPath(path, "spec")),
        ]
      : [fieldRequired(childPath(path, "spec", "containers"), "")]),
  ];
}
