// What becomes of a change of what a pod's containers ask for: pure. Guarantees: a pod keeps what it was granted until the node
// can give it all that it wants anew; what is more than the whole node is never granted.
// https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/1287-in-place-update-pod-resources
import { type Container, type Pod, type ResourceRequirements, sameValue } from "@coxswain/api";
import { aggregateText, quote } from "@coxswain/apimachinery";
import { type Amounts, podRequests, resourceRefusal } from "./admission.ts";

export const RESIZE_PENDING = "PodResizePending";
export const RESIZE_IN_PROGRESS = "PodResizeInProgress";

/** By the names of containers: main ones and sidecars. */
export type Allocation = ReadonlyMap<string, ResourceRequirements>;

const RESIZABLE = ["cpu", "memory"] as const;

function resizable(pod: Pod): Container[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  return [...sidecars, ...(pod.spec?.containers ?? [])];
}

/** What the pod's own spec asks for. */
export function wantedAllocation(pod: Pod): Allocation {
  return new Map(resizable(pod).map(({ name, resources = {} }) => [name, resources]));
}

/** What an earlier process of the kubelet reported as granted; where it reported nothing, what the spec asks for. */
export function reportedAllocation(pod: Pod): Allocation {
  const { initContainerStatuses = [], containerStatuses = [] } = pod.status ?? {};
  const statuses = [...initContainerStatuses, ...containerStatuses];
  return new Map(
    resizable(pod).map(({ name, resources = {} }) => {
      const status = statuses.find((one) => one.name === name);
      if (status?.resources === undefined) return [name, resources];
      const { allocatedResources: requests = {}, resources: { limits = {} } = {} } = status;
      return [name, { ...resources, requests, limits }];
    }),
  );
}

/** The pod as if its spec asked for what is granted. The same object where it does. */
export function withAllocation(pod: Pod, allocation: Allocation): Pod {
  if (pod.spec === undefined || sameAllocation(wantedAllocation(pod), allocation)) return pod;
  const granted = (container: Container): Container => {
    const resources = allocation.get(container.name);
    return resources === undefined ? container : { ...container, resources };
  };
  const { initContainers, containers } = pod.spec;
  const init = initContainers === undefined ? {} : { initContainers: initContainers.map(granted) };
  return { ...pod, spec: { ...pod.spec, ...init, containers: containers.map(granted) } };
}

export function sameAllocation(a: Allocation, b: Allocation): boolean {
  return a.size === b.size && [...a].every(([name, resources]) => sameValue(resources, b.get(name) ?? {}));
}

export interface ResizeInput {
  /** As it would be. */
  readonly pod: Pod;
  /** Those that take room on the node, with what is granted to them. */
  readonly others: readonly Pod[];
  readonly allocatable: Amounts;
}

/** Undefined where the node can give it now. */
export function planResize({
  pod,
  others,
  allocatable,
}: ResizeInput): { readonly reason: "Deferred" | "Infeasible"; readonly message: string } | undefined {
  const requests = podRequests(pod);
  for (const name of RESIZABLE) {
    const [requested = 0, capacity = 0] = [requests[name], allocatable[name]];
    if (requested <= capacity) continue;
    const message = `Node didn't have enough capacity: ${name}, requested: ${requested}, capacity: ${capacity}`;
    return { reason: "Infeasible", message };
  }
  const refusal = resourceRefusal(pod, others, allocatable);
  return refusal === undefined ? undefined : { reason: "Deferred", message: refusal.message };
}

/** Whether the container must begin anew to have `after` instead of `before`, by its policy. */
export function resizeRestarts(
  container: Container,
  before: ResourceRequirements,
  after: ResourceRequirements,
): boolean {
  return RESIZABLE.some((name) => {
    const same = before.requests?.[name] === after.requests?.[name] && before.limits?.[name] === after.limits?.[name];
    const policy = container.resizePolicy?.find(({ resourceName }) => resourceName === name);
    return !same && policy?.restartPolicy === "RestartContainer";
  });
}

/** A bound of memory that becomes smaller, in bytes: of a container, or of the whole pod. */
export interface MemoryBound {
  readonly container: string | undefined;
  readonly limit: number;
  /** Undefined where the runtime does not tell. */
  readonly used: number | undefined;
}

/** Why the bounds cannot be set while so much is in use, in upstream's words; undefined where they can. */
export function memoryRefusal(bounds: readonly MemoryBound[]): string | undefined {
  const problems = bounds.flatMap(({ container, limit, used }) => {
    const whose = container === undefined ? "pod" : `container ${quote(container)}`;
    if (used === undefined) return [`missing ${whose} memory usage`];
    return used >= limit ? [`attempting to set ${whose} memory limit (${limit}) below current usage (${used})`] : [];
  });
  if (problems.length === 0) return undefined;
  return `cannot decrease memory limits: ${aggregateText(problems)}`;
}

/** What events tell of a resize. */
export function resizeDetail(pod: Pod, error?: string): string {
  const containers = resizable(pod).map(({ name, resources = {} }) => ({ name, resources }));
  const generation = pod.metadata?.generation ?? 0;
  return JSON.stringify({ containers, generation, ...(error === undefined ? {} : { error }) });
}
