// What the scheduler knows of a pod, computed once per version of the pod: its requests as numbers, its ports, its labels.
import { deepEqual, objectKey, parseBytes, parseCpuMillis } from "@coxswain/apimachinery";
import { occupyingPod, type Container, type Pod } from "@coxswain/api";
import { affinityTermsOf, type PodTerms } from "./affinity-terms.ts";

/** cpu in millicores, memory and ephemeral-storage in bytes, everything else as a count. */
export type ResourceAmounts = ReadonlyMap<string, number>;

/** What scoring assumes for a container that requests nothing, so that such pods do not all land on one node. */
const DEFAULT_CPU_MILLIS = 100;
const DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024;

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

export interface PodInfo {
  readonly pod: Pod;
  /** namespace/name */
  readonly key: string;
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Equal for pods of one namespace with the same labels. */
  readonly signature: string;
  readonly terms: PodTerms;
  readonly priority: number;
  readonly requests: ResourceAmounts;
  /** The requests with defaults for containers that name none; what LeastAllocated counts. */
  readonly nonZeroCpu: number;
  readonly nonZeroMemory: number;
  /** Equal for pods with the same requests. */
  readonly shape: string;
  readonly hostPorts: readonly HostPort[];
  /** Being deleted: no longer counts for topology spreading. */
  readonly terminating: boolean;
}

/** One amount in the unit of its resource. Throws on text that is no quantity. */
export function parseAmount(resource: string, quantity: string | number): number {
  return resource === "cpu" ? parseCpuMillis(String(quantity)) : parseBytes(String(quantity));
}

type Quantities = Readonly<Record<string, string | number>>;

function addAll(into: Map<string, number>, amounts: ResourceAmounts): void {
  for (const [resource, amount] of amounts) into.set(resource, (into.get(resource) ?? 0) + amount);
}

function raiseTo(into: Map<string, number>, amounts: ResourceAmounts): void {
  for (const [resource, amount] of amounts) {
    if (amount > (into.get(resource) ?? 0)) into.set(resource, amount);
  }
}

function containerRequests(container: Container, defaults: ResourceAmounts): Map<string, number> {
  const out = new Map<string, number>(defaults);
  const requests = (container.resources?.requests ?? {}) as Quantities;
  for (const [resource, quantity] of Object.entries(requests)) out.set(resource, parseAmount(resource, quantity));
  return out;
}

const NO_DEFAULTS: ResourceAmounts = new Map();
const NON_ZERO_DEFAULTS: ResourceAmounts = new Map([
  ["cpu", DEFAULT_CPU_MILLIS],
  ["memory", DEFAULT_MEMORY_BYTES],
]);

/** Pod-level resources hold for these alone. */
function podLevel(resource: string): boolean {
  return resource === "cpu" || resource === "memory" || resource.startsWith("hugepages-");
}

/**
 * What a pod needs of a node: the containers and sidecars together, or the largest init container with the sidecars
 * that were started before it, whichever is more; pod-level requests in their place; and the overhead on top. What a pod
 * was granted or still has counts as long as it is more than what it asks for.
 */
export function podRequests(pod: Pod): Map<string, number> {
  return requestsOf(occupyingPod(pod).spec, NO_DEFAULTS);
}

/** All that a pod's requests are made of. */
export function requestSources({ spec, status }: Pod): unknown {
  const asked = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].map(({ resources }) => resources);
  const statuses = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  const given = statuses.map(({ resources, allocatedResources }) => [resources, allocatedResources]);
  const pending = status?.conditions?.find(({ type }) => type === "PodResizePending")?.reason;
  return [asked, spec?.resources, spec?.overhead, given, pending];
}

function requestsOf(spec: Pod["spec"], defaults: ResourceAmounts): Map<string, number> {
  const total = new Map<string, number>();
  const sidecars = new Map<string, number>();
  const initPeak = new Map<string, number>();
  for (const container of spec?.containers ?? []) addAll(total, containerRequests(container, defaults));
  for (const container of spec?.initContainers ?? []) {
    const own = containerRequests(container, defaults);
    if (container.restartPolicy === "Always") {
      addAll(total, own);
      addAll(sidecars, own);
      raiseTo(initPeak, sidecars);
    } else {
      addAll(own, sidecars);
      raiseTo(initPeak, own);
    }
  }
  raiseTo(total, initPeak);
  for (const [resource, quantity] of Object.entries((spec?.resources?.requests ?? {}) as Quantities)) {
    if (podLevel(resource)) total.set(resource, parseAmount(resource, quantity));
  }
  for (const [resource, quantity] of Object.entries((spec?.overhead ?? {}) as Quantities)) {
    total.set(resource, (total.get(resource) ?? 0) + parseAmount(resource, quantity));
  }
  return total;
}

function hostPortsOf(pod: Pod): HostPort[] {
  const out: HostPort[] = [];
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === "Always");
  for (const container of [...(pod.spec?.containers ?? []), ...sidecars]) {
    for (const port of container.ports ?? []) {
      if (port.hostPort === undefined || port.hostPort <= 0) continue;
      out.push({ ip: port.hostIP || "0.0.0.0", protocol: port.protocol || "TCP", port: port.hostPort });
    }
  }
  return out;
}

function signatureOf(namespace: string, labels: Readonly<Record<string, string>>): string {
  let text = namespace;
  // No label key and no value holds a line break.
  for (const key of Object.keys(labels).toSorted()) text += `\n${key}=${labels[key]}`;
  return text;
}

/** Whether every container names what has a default in scoring. */
function namesAll(spec: Pod["spec"]): boolean {
  return [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].every(({ resources }) => {
    const { cpu, memory } = (resources?.requests ?? {}) as Quantities;
    return cpu !== undefined && memory !== undefined;
  });
}

/** Of the same pod, where nothing that its PodInfo is computed from has changed but the deletion. */
function isComputedAlike(old: Pod, pod: Pod): boolean {
  const [before, after] = [old.metadata, pod.metadata];
  // The generation counts the changes of the spec.
  if (after?.uid === undefined || after.uid !== before?.uid) return false;
  if (after.generation === undefined || after.generation !== before.generation) return false;
  return deepEqual(before.labels, after.labels) && deepEqual(requestSources(old), requestSources(pod));
}

/**
 * `known`: of an earlier version of the pod, whose parts are taken over where they hold. Throws where a request is no
 * quantity; the api-server lets none such through.
 */
export function makePodInfo(pod: Pod, known?: PodInfo): PodInfo {
  const meta = pod.metadata ?? {};
  const terminating = meta.deletionTimestamp !== undefined;
  if (known !== undefined && isComputedAlike(known.pod, pod)) return { ...known, pod, terminating };
  const namespace = meta.namespace ?? "";
  const name = meta.name ?? "";
  const { spec } = occupyingPod(pod);
  const requests = requestsOf(spec, NO_DEFAULTS);
  const nonZero = namesAll(spec) ? requests : requestsOf(spec, NON_ZERO_DEFAULTS);
  return {
    pod,
    key: objectKey(pod),
    uid: meta.uid ?? "",
    namespace,
    name,
    labels: meta.labels ?? {},
    signature: signatureOf(namespace, meta.labels ?? {}),
    terms: affinityTermsOf(pod),
    priority: pod.spec?.priority ?? 0,
    requests,
    shape: `${[...requests].join(";")}|${[...nonZero].join(";")}`,
    nonZeroCpu: nonZero.get("cpu") ?? 0,
    nonZeroMemory: nonZero.get("memory") ?? 0,
    hostPorts: hostPortsOf(pod),
    terminating,
  };
}

/** A pod that has ended holds nothing on its node any more. */
export function isTerminal(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}
