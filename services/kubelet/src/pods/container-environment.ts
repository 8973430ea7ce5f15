// The environment of a container: plain values with $(VAR) expanded, fields, resources, ConfigMaps, Secrets, files, and the
// Services around its pod. What is named and missing makes the container wait with CreateContainerConfigError, unless it
// is optional.
import type { Container, EnvVar, FileKeySelector, Pod } from "@coxswain/api";
import { MountError } from "../volumes/contract.ts";
import { EnvFileError, envFileValue } from "./env-file.ts";
import type { ObjectCache } from "./object-cache.ts";
import { FieldError, podField, resourceField } from "./pod-fields.ts";
import { serviceVariables, type ServiceSource } from "./service-environment.ts";

/** What keeps a container from being made; the message is upstream's. */
export class ContainerConfigError extends Error {
  override readonly name = "ContainerConfigError";
}

export interface EnvironmentInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly podIp: string;
  readonly hostIp: string;
  readonly objects: ObjectCache;
  /** The node's allocatable resources, which stand for limits that are not set. */
  readonly allocatable: Readonly<Record<string, string>>;
  /** Absent where containers hear of no Services. */
  readonly services?: ServiceSource;
  /** A file of one of the pod's volumes; absent where there are none. */
  readonly file?: (volume: string, path: string) => Promise<Buffer | undefined>;
}

type Env = Map<string, string>;
/** Printable ASCII without "=". */
const ENV_NAME = /^[ -<>-~]+$/;

/** Throws ContainerConfigError; rejects with a StatusError where the api-server cannot be asked. */
export async function resolveEnvironment(input: EnvironmentInput): Promise<{ name: string; value: string }[]> {
  const env: Env = new Map();
  const services = servicesOf(input);
  await addSources(input, env);
  for (const variable of input.container.env ?? []) {
    const value = await valueOf(variable, input, new Map([...services, ...env]));
    if (value !== undefined) env.set(variable.name, value);
  }
  // What the pod says of a name holds against what Services say.
  for (const [name, value] of services) if (!env.has(name)) env.set(name, value);
  return [...env].map(([name, value]) => ({ name, value }));
}

function servicesOf({ pod, services }: EnvironmentInput): ReadonlyMap<string, string> {
  if (services === undefined) return new Map();
  if (!services.hasSynced()) {
    throw new ContainerConfigError("services have not yet been read at least once, cannot construct envvars");
  }
  return serviceVariables(pod, services);
}

async function addSources({ pod, container, objects }: EnvironmentInput, env: Env): Promise<void> {
  const namespace = pod.metadata?.namespace ?? "";
  for (const { configMapRef, secretRef, prefix = "" } of container.envFrom ?? []) {
    const data: Record<string, string> = {};
    if (configMapRef !== undefined) {
      const name = configMapRef.name ?? "";
      const found = await objects.configMap(namespace, name);
      if (found === undefined && configMapRef.optional !== true) throw missing("configmap", name);
      Object.assign(data, found?.data);
    }
    if (secretRef !== undefined) {
      const name = secretRef.name ?? "";
      const found = await objects.secret(namespace, name);
      if (found === undefined && secretRef.optional !== true) throw missing("secret", name);
      for (const [key, value] of Object.entries(found?.data ?? {})) data[key] = decode(value);
    }
    for (const [key, value] of Object.entries(data)) {
      if (ENV_NAME.test(prefix + key)) env.set(prefix + key, value);
    }
  }
}

function decode(base64: string): string {
  return Buffer.from(base64, "base64").toString("utf8");
}

function missing(kind: "configmap" | "secret", name: string): ContainerConfigError {
  return new ContainerConfigError(`${kind} "${name}" not found`);
}

async function valueOf(
  variable: EnvVar,
  input: EnvironmentInput,
  env: ReadonlyMap<string, string>,
): Promise<string | undefined> {
  const { valueFrom } = variable;
  if (valueFrom === undefined) return expandVariables(variable.value ?? "", env);
  const { configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef, fileKeyRef } = valueFrom;
  const namespace = input.pod.metadata?.namespace ?? "";
  if (configMapKeyRef !== undefined) {
    const { name = "", key, optional } = configMapKeyRef;
    const found = await input.objects.configMap(namespace, name);
    if (found === undefined && optional !== true) throw missing("configmap", name);
    const value = found?.data?.[key];
    if (value === undefined && optional !== true) throw noKey("ConfigMap", key, namespace, name);
    return value;
  }
  if (secretKeyRef !== undefined) {
    const { name = "", key, optional } = secretKeyRef;
    const found = await input.objects.secret(namespace, name);
    if (found === undefined && optional !== true) throw missing("secret", name);
    const value = found?.data?.[key];
    if (value === undefined && optional !== true) throw noKey("Secret", key, namespace, name);
    return value === undefined ? undefined : decode(value);
  }
  if (fieldRef !== undefined) return fieldValue(fieldRef.fieldPath, input);
  if (resourceFieldRef !== undefined) return asConfig(() => resourceField(resourceFieldRef, input));
  if (fileKeyRef !== undefined && input.file !== undefined) return fileValue(fileKeyRef, input.file);
  const [source] = Object.keys(valueFrom);
  throw new ContainerConfigError(`environment variable ${variable.name}: source ${source} is not supported`);
}

async function fileValue(
  { volumeName, path, key, optional }: FileKeySelector,
  read: NonNullable<EnvironmentInput["file"]>,
): Promise<string | undefined> {
  let value: string | undefined;
  try {
    const file = await read(volumeName, path);
    if (file === undefined && optional !== true) throw new EnvFileError(`open ${path}: no such file or directory`);
    value = file === undefined ? undefined : envFileValue(file.toString("utf8"), key);
  } catch (error) {
    if (!(error instanceof EnvFileError) && !(error instanceof MountError)) throw error;
    throw new ContainerConfigError(`couldn't parse env file: ${error.message}`);
  }
  if (value === undefined && optional !== true) {
    throw new ContainerConfigError(`environment variable key "${key}" not found in file`);
  }
  return value;
}

function noKey(kind: string, key: string, namespace: string, name: string): ContainerConfigError {
  return new ContainerConfigError(`couldn't find key ${key} in ${kind} ${namespace}/${name}`);
}

/** $(NAME) becomes the value of an earlier variable, $$ a dollar; what is unknown stays as written. */
export function expandVariables(text: string, env: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$(?:\$|\(([^)]*)\))/g, (whole, name: string | undefined) =>
    name === undefined ? "$" : (env.get(name) ?? whole),
  );
}

function fieldValue(path: string, { pod, podIp, hostIp }: EnvironmentInput): string {
  if (path === "status.hostIP" || path === "status.hostIPs") return hostIp;
  if (path === "status.podIP" || path === "status.podIPs") return podIp;
  return asConfig(() => podField(pod, path));
}

function asConfig(read: () => string): string {
  try {
    return read();
  } catch (error) {
    if (error instanceof FieldError) throw new ContainerConfigError(error.message);
    throw error;
  }
}
