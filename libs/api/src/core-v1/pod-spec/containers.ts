// What a container must be: named, with an image, and with ports, variables, mounts and probes that make sense.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  validateDns1123Label,
  validateDns1123Subdomain,
  validateEnvVarName,
  validatePortName,
} from "@coxswain/apimachinery";
import type {
  Container,
  ContainerPort,
  ContainerResizePolicy,
  EnvFromSource,
  EnvVar,
  EphemeralContainer,
  PodSpec,
  Volume,
  VolumeDevice,
  VolumeMount,
} from "../../types.gen.ts";
import { validateEnum, validateRequiredWith, validateWith } from "../../validation/enums.ts";
import { validatePort } from "../../validation/numbers.ts";
import { validateResourceRequirements } from "../../validation/resources.ts";
import { validateClaimUses } from "./device-claims.ts";
import { validateNoBacksteps, validateRelativePath, validateValueFrom } from "./env-sources.ts";
import { validateLifecycle, validateProbe } from "./probes.ts";
import { validateInitRestartPolicy, validateRestartPolicy } from "./restart-policies.ts";
import { validateContainerSecurity } from "./security.ts";
import { PULL_POLICIES } from "./volumes.ts";

type AnyContainer = Container | EphemeralContainer;

const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const MESSAGE_POLICIES = ["File", "FallbackToLogsOnError"];

function validateContainerPort(port: ContainerPort, earlier: readonly ContainerPort[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (port.name) {
    const at = childPath(path, "name");
    errors.push(...validateWith(validatePortName, port.name, at));
    if (errors.length === 0 && earlier.some((other) => other.name === port.name)) {
      errors.push(fieldDuplicate(at, port.name));
    }
  }
  const at = childPath(path, "containerPort");
  errors.push(...(port.containerPort ? validatePort(port.containerPort, at) : [fieldRequired(at, "")]));
  if (port.hostPort) errors.push(...validatePort(port.hostPort, childPath(path, "hostPort")));
  return [...errors, ...validateEnum(port.protocol, PROTOCOLS, childPath(path, "protocol"))];
}

function validateEnv(variables: readonly EnvVar[], path: string): FieldError[] {
  return variables.flatMap((variable, index) => {
    const at = indexPath(path, index);
    return [
      ...validateRequiredWith(validateEnvVarName, variable.name, childPath(at, "name")),
      ...validateValueFrom(variable, childPath(at, "valueFrom")),
    ];
  });
}

function validateEnvFrom(sources: readonly EnvFromSource[], path: string): FieldError[] {
  return sources.flatMap((source, index) => {
    const at = indexPath(path, index);
    const errors = source.prefix ? validateWith(validateEnvVarName, source.prefix, childPath(at, "prefix")) : [];
    const given = (["configMapRef", "secretRef"] as const).filter((name) => source[name]);
    for (const name of given) {
      errors.push(...validateRequiredWith(validateDns1123Subdomain, source[name]?.name, childPath(at, name, "name")));
    }
    if (given.length === 0) errors.push(fieldInvalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
    if (given.length > 1) errors.push(fieldInvalid(path, "", "may not have more than one field specified at a time"));
    return errors;
  });
}

function validatePropagation(mount: VolumeMount, container: AnyContainer, path: string): FieldError[] {
  const modes = ["Bidirectional", "HostToContainer", "None"];
  if (mount.mountPropagation === undefined) return [];
  const errors = validateEnum(mount.mountPropagation, modes, path);
  if (mount.mountPropagation === "Bidirectional" && !container.securityContext?.privileged) {
    const detail = "Bidirectional mount propagation is available only to privileged containers";
    errors.push(fieldForbidden(path, detail));
  }
  return errors;
}

function validateRecursiveReadOnly({ recursiveReadOnly: how, ...mount }: VolumeMount, path: string): FieldError[] {
  const modes = ["Disabled", "Enabled", "IfPossible"];
  if (how === undefined || how === "Disabled") return [];
  if (!modes.includes(how)) return [fieldNotSupported(path, how, modes)];
  const errors = mount.readOnly ? [] : [fieldForbidden(path, "may only be specified when readOnly is true")];
  if ((mount.mountPropagation ?? "None") !== "None") {
    errors.push(fieldForbidden(path, "may only be specified when mountPropagation is None or not specified"));
  }
  return errors;
}

function validateMounts(container: AnyContainer, volumes: ReadonlyMap<string, Volume>, path: string): FieldError[] {
  const mounts = container.volumeMounts ?? [];
  return mounts.flatMap((mount, index) => {
    const at = indexPath(path, index);
    const errors: FieldError[] = [];
    if (!mount.name) errors.push(fieldRequired(childPath(at, "name"), ""));
    if (!volumes.has(mount.name)) errors.push(fieldNotFound(childPath(at, "name"), mount.name));
    if (!mount.mountPath) errors.push(fieldRequired(childPath(at, "mountPath"), ""));
    if (mounts.slice(0, index).some((other) => other.mountPath === mount.mountPath)) {
      errors.push(fieldInvalid(childPath(at, "mountPath"), mount.mountPath, "must be unique"));
    }
    const devices = container.volumeDevices ?? [];
    if (devices.some(({ name }) => name === mount.name)) {
      errors.push(fieldInvalid(childPath(at, "name"), mount.name, "must not already exist in volumeDevices"));
    }
    if (devices.some(({ devicePath }) => devicePath === mount.mountPath)) {
      const detail = "must not already exist as a path in volumeDevices";
      errors.push(fieldInvalid(childPath(at, "mountPath"), mount.mountPath, detail));
    }
    // Upstream reports these four without the index.
    if (mount.subPath) errors.push(...validateRelativePath(mount.subPath, childPath(path, "subPath")));
    if (mount.subPathExpr) {
      if (mount.subPath) {
        const detail = "subPathExpr and subPath are mutually exclusive";
        errors.push(fieldInvalid(childPath(at, "subPathExpr"), mount.subPathExpr, detail));
      }
      errors.push(...validateRelativePath(mount.subPathExpr, childPath(path, "subPathExpr")));
    }
    return [
      ...errors,
      ...validatePropagation(mount, container, childPath(path, "mountPropagation")),
      ...validateRecursiveReadOnly(mount, childPath(path, "recursiveReadOnly")),
    ];
  });
}

function validateDevice(device: VolumeDevice, volumes: ReadonlyMap<string, Volume>, path: string): FieldError[] {
  const { name, devicePath } = device;
  const at = childPath(path, "name");
  const volume = volumes.get(name);
  const errors = name ? [] : [fieldRequired(at, "")];
  if (volume === undefined) errors.push(fieldNotFound(at, name));
  else if (!volume.persistentVolumeClaim && !volume.ephemeral) {
    const detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
    errors.push(fieldInvalid(at, name, detail));
  }
  const target = childPath(path, "devicePath");
  if (!devicePath) errors.push(fieldRequired(target, ""));
  else if (validateNoBacksteps(devicePath, target).length > 0) {
    errors.push(fieldInvalid(target, devicePath, "can not contain backsteps ('..')"));
  }
  return errors;
}

/** Block devices: of claims, each once, and apart from what is mounted. */
function validateDevices(container: AnyContainer, volumes: ReadonlyMap<string, Volume>, path: string): FieldError[] {
  const { volumeDevices: devices = [], volumeMounts: mounts = [] } = container;
  return devices.flatMap((device, index) => {
    const at = indexPath(path, index);
    const before = devices.slice(0, index);
    const errors = validateDevice(device, volumes, at);
    const [name, target] = [childPath(at, "name"), childPath(at, "devicePath")];
    const refuse = (field: string, value: string, is: boolean, detail: string): void => {
      if (is) errors.push(fieldInvalid(field, value, detail));
    };
    refuse(
      name,
      device.name,
      before.some((other) => other.name === device.name),
      "must be unique",
    );
    refuse(
      target,
      device.devicePath,
      before.some((other) => other.devicePath === device.devicePath),
      "must be unique",
    );
    refuse(
      name,
      device.name,
      mounts.some((mount) => mount.name === device.name),
      "must not already exist in volumeMounts",
    );
    const mounted = mounts.some((mount) => mount.mountPath === device.devicePath);
    refuse(target, device.devicePath, mounted, "must not already exist as a path in volumeMounts");
    return errors;
  });
}

const RESIZABLE = ["cpu", "memory"];
const RESIZE_POLICIES = ["NotRequired", "RestartContainer"];

/** Upstream reports all of these without the index. */
function validateResizePolicy(
  policies: readonly ContainerResizePolicy[],
  podPolicy: string | undefined,
  path: string,
): FieldError[] {
  return policies.flatMap(({ resourceName, restartPolicy }, index) => {
    const repeated = policies.slice(0, index).some((other) => other.resourceName === resourceName);
    const errors = repeated ? [fieldDuplicate(indexPath(path, index), resourceName)] : [];
    errors.push(...validateEnum(resourceName, RESIZABLE, path), ...validateEnum(restartPolicy, RESIZE_POLICIES, path));
    if (podPolicy === "Never" && restartPolicy !== "NotRequired") {
      const detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
      errors.push(fieldInvalid(path, restartPolicy, detail));
    }
    return errors;
  });
}

function validateCommon(
  container: AnyContainer,
  spec: PodSpec,
  volumes: ReadonlyMap<string, Volume>,
  path: string,
): FieldError[] {
  const ports = container.ports ?? [];
  const at = (name: string) => childPath(path, name);
  return [
    ...validateRequiredWith(validateDns1123Label, container.name, at("name")),
    ...(container.image ? [] : [fieldRequired(at("image"), "")]),
    ...validateEnum(container.terminationMessagePolicy, MESSAGE_POLICIES, at("terminationMessagePolicy")),
    ...ports.flatMap((port, i) => validateContainerPort(port, ports.slice(0, i), indexPath(at("ports"), i))),
    ...validateEnv(container.env ?? [], at("env")),
    ...validateEnvFrom(container.envFrom ?? [], at("envFrom")),
    ...validateMounts(container, volumes, at("volumeMounts")),
    ...validateDevices(container, volumes, at("volumeDevices")),
    ...validateEnum(container.imagePullPolicy, PULL_POLICIES, at("imagePullPolicy")),
    ...validateResourceRequirements(container.resources, at("resources")),
    ...validateClaimUses(container, spec, childPath(at("resources"), "claims")),
    ...validateResizePolicy(container.resizePolicy ?? [], spec.restartPolicy, at("resizePolicy")),
    ...validateContainerSecurity(container.securityContext, spec.hostUsers !== false, at("securityContext")),
  ];
}

const PROBES = ["livenessProbe", "readinessProbe", "startupProbe"] as const;

function validateLiveParts(container: Container, graceSeconds: number, path: string): FieldError[] {
  return [
    ...validateLifecycle(container.lifecycle, graceSeconds, childPath(path, "lifecycle")),
    ...PROBES.flatMap((name) => validateProbe(container[name], name, childPath(path, name))),
  ];
}

function validateHostPorts(containers: readonly Container[], path: string): FieldError[] {
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const [i, container] of containers.entries()) {
    for (const [j, port] of (container.ports ?? []).entries()) {
      if (!port.hostPort) continue;
      const key = `${port.protocol}/${port.hostIP ?? ""}/${port.hostPort}`;
      if (seen.has(key)) {
        const at = childPath(indexPath(path, i), indexPath("ports", j), "hostPort");
        errors.push(fieldDuplicate(at, key));
      }
      seen.add(key);
    }
  }
  return errors;
}

/** The regular containers, at least one, which stand under `path`. */
export function validateContainers(spec: PodSpec, volumes: ReadonlyMap<string, Volume>, path: string): FieldError[] {
  const containers = spec.containers ?? [];
  if (containers.length === 0) return [fieldRequired(path, "")];
  const errors = containers.flatMap((container, index) => {
    const at = indexPath(path, index);
    const own = validateCommon(container, spec, volumes, at);
    if (containers.slice(0, index).some((other) => other.name === container.name)) {
      own.push(fieldDuplicate(childPath(at, "name"), container.name));
    }
    own.push(...validateLiveParts(container, spec.terminationGracePeriodSeconds ?? 0, at));
    return [...own, ...validateRestartPolicy(container, at)];
  });
  return [...errors, ...validateHostPorts(containers, path)];
}

/** Init containers run to their end, save those with restartPolicy Always, which live as long as the pod. */
export function validateInitContainers(
  spec: PodSpec,
  volumes: ReadonlyMap<string, Volume>,
  path: string,
): FieldError[] {
  const names = new Set((spec.containers ?? []).map((container) => container.name));
  return (spec.initContainers ?? []).flatMap((container, index) => {
    const at = indexPath(path, index);
    const errors = [...validateCommon(container, spec, volumes, at), ...validateInitRestartPolicy(container, at)];
    // They run one by one; upstream counts them as if each were the first.
    errors.push(...validateHostPorts([container], path));
    if (names.has(container.name)) errors.push(fieldDuplicate(childPath(at, "name"), container.name));
    names.add(container.name);
    if (container.restartPolicy === "Always") {
      return [...errors, ...validateLiveParts(container, spec.terminationGracePeriodSeconds ?? 0, at)];
    }
    const detail = "may not be set for init containers without restartPolicy=Always";
    const forbidden = (["lifecycle", ...PROBES] as const).filter((name) => container[name]);
    return [...errors, ...forbidden.map((name) => fieldForbidden(childPath(at, name), detail))];
  });
}

const NOT_EPHEMERAL = [
  "ports",
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle",
  "resizePolicy",
  "restartPolicy",
  "restartPolicyRules",
] as const;

/** Ephemeral containers look into a running pod: no ports, probes, hooks or resources. */
export function validateEphemeralContainers(
  spec: PodSpec,
  volumes: ReadonlyMap<string, Volume>,
  path: string,
): FieldError[] {
  const others = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map((container) => container.name);
  const names = new Set(others);
  return (spec.ephemeralContainers ?? []).flatMap((container, index) => {
    const at = indexPath(path, index);
    const errors = validateCommon(container, spec, volumes, at);
    if (names.has(container.name)) errors.push(fieldDuplicate(childPath(at, "name"), container.name));
    names.add(container.name);
    const target = container.targetContainerName;
    if (target && !others.includes(target)) errors.push(fieldNotFound(childPath(at, "targetContainerName"), target));
    const set: string[] = NOT_EPHEMERAL.filter((name) => container[name] !== undefined);
    const { resources, volumeMounts = [] } = container;
    if (Object.keys({ ...resources?.limits, ...resources?.requests }).length > 0 || resources?.claims?.length) {
      set.push("resources");
    }
    for (const [place, mount] of volumeMounts.entries()) {
      for (const name of ["subPath", "subPathExpr"] as const) {
        if (mount[name]) set.push(childPath(indexPath("volumeMounts", place), name));
      }
    }
    errors.push(...set.map((name) => fieldForbidden(childPath(at, name), "cannot be set for an Ephemeral Container")));
    return errors;
  });
}
