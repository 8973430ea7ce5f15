// The environment of a container: plain values with $(VAR) expanded, fields, resources, ConfigMaps and Secrets. What is
// named and missing makes the container wait with CreateContainerConfigError, unless it is optional.
import type { Container, EnvVar, Pod } from "@coxswain/api";
import { parseCpuMillis, parseQuantity } from "@coxswain/apimachinery";
import type { ObjectCache } from "./object-cache.ts";

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
}

type Env = Map<string, string>;
const ENV_NAME = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/;

/** Throws ContainerConfigError; rejects with a StatusError where the api-server cannot be asked. */
export async function resolveEnvironment(input: EnvironmentInput): Promise<{ name: string; value: string }[]> {
  const env: Env = new Map();
  await addSources(input, env);
  for (const variable of input.container.env ?? []) {
    const value = await valueOf(variable, input, env);
    if (value !== undefined) env.set(variable.name, value);
  }
  return [...env].map(([name, value]) => ({ name, value }));
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

async function valueOf(variable: EnvVar, input: EnvironmentInput, env: Env): Promise<string | undefined> {
  const { valueFrom } = variable;
  if (valueFrom === undefined) return expandVariables(variable.value ?? "", env);
  const { configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef } = valueFrom;
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
  if (resourceFieldRef !== undefined) return resourceValue(resourceFieldRef, input);
  throw new ContainerConfigError(`environment variable ${variable.name}: its source is not supported`);
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
  const { metadata = {}, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (subscript !== null) {
    const map = subscript[1] === "labels" ? metadata.labels : metadata.annotations;
    return map?.[subscript[2] ?? ""] ?? "";
  }
  switch (path) {
    case "metadata.name":
      return metadata.name ?? "";
    case "metadata.namespace":
      return metadata.namespace ?? "";
    case "metadata.uid":
      return metadata.uid ?? "";
    case "spec.nodeName":
      return spec?.nodeName ?? "";
    case "spec.serviceAccountName":
      return spec?.serviceAccountName ?? "";
    case "status.hostIP":
    case "status.hostIPs":
      return hostIp;
    case "status.podIP":
    case "status.podIPs":
      return podIp;
    default:
      throw new ContainerConfigError(`unsupported fieldPath: ${path}`);
  }
}

function resourceValue(
  { containerName, resource, divisor }: { containerName?: string; resource: string; divisor?: string },
  { pod, container, allocatable }: EnvironmentInput,
): string {
  const all = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const target =
    containerName === undefined || containerName === "" ? container : all.find((one) => one.name === containerName);
  if (target === undefined) throw new ContainerConfigError(`container ${containerName} not found`);
  const [kind = "", name = ""] = resource.split(/\.(.*)/s);
  const { limits, requests } = target.resources ?? {};
  const given = kind === "limits" ? (limits?.[name] ?? allocatable[name]) : requests?.[name];
  const amount = given ?? "0";
  const by = divisor === undefined || divisor === "" || divisor === "0" ? "1" : divisor;
  if (name === "cpu") return String(Math.ceil(parseCpuMillis(amount) / parseCpuMillis(by)));
  return String(Math.ceil(parseQuantity(amount).value() / parseQuantity(by).value()));
}
