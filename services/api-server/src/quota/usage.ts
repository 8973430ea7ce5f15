// What objects count for against a ResourceQuota, and which quotas count them. Pure.
// https://kubernetes.io/docs/concepts/policy/resource-quotas/
import {
  chargedPod,
  type ExactDeviceRequest,
  type KindDefinition,
  type PersistentVolumeClaim,
  type Pod,
  type PodSpec,
  qosClass,
  type DeviceResourceClaim,
  type ResourceQuota,
  type ScopedResourceSelectorRequirement,
  type Service,
} from "@coxswain/api";
import {
  groupResource,
  isQuantity,
  type KubeObject,
  parseQuantity,
  parseTime,
  type Quantity,
  quantityOf,
} from "@coxswain/apimachinery";
import { isPodLevelResource, podDemand } from "../admission/limit-ranger.ts";

export type Usage = ReadonlyMap<string, Quantity>;
type KindRef = Pick<KindDefinition, "group" | "resource">;

const ONE = quantityOf(1);
/** Kinds that have a name of their own among the resources, besides count/…. */
const BY_NAME = new Set([
  "configmaps",
  "persistentvolumeclaims",
  "replicationcontrollers",
  "resourcequotas",
  "secrets",
  "services",
]);

/** What one object counts for, by the names that quotas use. `nowMs` is the time of day, ms since the epoch. */
export function usageOf(kind: KindRef, object: KubeObject, nowMs: number): Usage {
  const usage = new Map<string, Quantity>();
  add(usage, `count/${groupResource(kind)}`, ONE);
  if (kind.group === "resource.k8s.io" && kind.resource === "resourceclaims")
    addDevices(usage, object as DeviceResourceClaim);
  if (kind.group !== "") return usage;
  if (kind.resource === "pods") addPod(usage, object, nowMs);
  if (BY_NAME.has(kind.resource)) add(usage, kind.resource, ONE);
  if (kind.resource === "services") addService(usage, object);
  if (kind.resource === "persistentvolumeclaims") addClaim(usage, object);
  return usage;
}

function add(usage: Map<string, Quantity>, name: string, amount: Quantity): void {
  usage.set(name, usage.get(name)?.add(amount) ?? amount);
}

export function sumOf(usages: Iterable<Usage>): Map<string, Quantity> {
  const sum = new Map<string, Quantity>();
  for (const usage of usages) for (const [name, amount] of usage) add(sum, name, amount);
  return sum;
}

/** True of a pod that should long be gone, as of a node that is lost: its owner must be able to replace it. */
function isStuck({ metadata }: Pod, nowMs: number): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata ?? {};
  const deletionMs = parseTime(deletionTimestamp);
  if (deletionMs === undefined || deletionGracePeriodSeconds === undefined) return false;
  return nowMs > deletionMs + deletionGracePeriodSeconds * 1000;
}

/**
 * A pod that is over, or stuck on its way out, keeps its place among the objects, and needs nothing else. While one is resized
 * in place it counts for the most of what it asks for, was granted and has.
 */
function addPod(usage: Map<string, Quantity>, pod: Pod, nowMs: number): void {
  const { phase } = pod.status ?? {};
  if (phase === "Succeeded" || phase === "Failed" || pod.spec === undefined || isStuck(pod, nowMs)) return;
  add(usage, "pods", ONE);
  const { requests, limits } = podDemand(chargedPod(pod).spec ?? pod.spec);
  const overhead = Object.entries(pod.spec.overhead ?? {});
  for (const [name, value] of [...Object.entries(requests), ...overhead]) {
    if (!isQuantity(value)) continue;
    const amount = parseQuantity(value);
    add(usage, `requests.${name}`, amount);
    if (!name.includes("/")) add(usage, name, amount);
  }
  for (const [name, value] of [...Object.entries(limits), ...overhead.filter(([name]) => limits[name] !== undefined)]) {
    if (isQuantity(value)) add(usage, `limits.${name}`, parseQuantity(value));
  }
}

function addService(usage: Map<string, Quantity>, { spec }: Service): void {
  const balanced = spec?.type === "LoadBalancer";
  if (balanced) add(usage, "services.loadbalancers", ONE);
  const allocates = spec?.type === "NodePort" || (balanced && spec.allocateLoadBalancerNodePorts !== false);
  if (allocates) add(usage, "services.nodeports", quantityOf(spec?.ports?.length ?? 0));
}

function addClaim(usage: Map<string, Quantity>, { spec }: PersistentVolumeClaim): void {
  const request = spec?.resources?.requests?.["storage"];
  const className = spec?.storageClassName;
  if (className) add(usage, `${className}.storageclass.storage.k8s.io/persistentvolumeclaims`, ONE);
  if (request === undefined || !isQuantity(request)) return;
  add(usage, "requests.storage", parseQuantity(request));
  if (className) add(usage, `${className}.storageclass.storage.k8s.io/requests.storage`, parseQuantity(request));
}

/** How many results an allocation holds at most: what a request for all devices may get (resource.k8s.io/v1). */
const MAX_DEVICES = 32;
/** What a class of devices is called among the resources, as in "gpu.deviceclass.resource.k8s.io/devices". */
export const DEVICES_OF_CLASS = ".deviceclass.resource.k8s.io/devices";

function devicesOf({ allocationMode, count = 0 }: Pick<ExactDeviceRequest, "allocationMode" | "count">): number {
  if (allocationMode === "All") return MAX_DEVICES;
  return allocationMode === "ExactCount" ? count : 0;
}

/** Of requests that name alternatives, each class counts for the most that one of them may get. */
function addDevices(usage: Map<string, Quantity>, { spec }: DeviceResourceClaim): void {
  for (const { exactly, firstAvailable = [] } of spec?.devices?.requests ?? []) {
    const most = new Map<string, number>();
    for (const one of exactly === undefined ? firstAvailable : [exactly]) {
      const name = one.deviceClassName ?? "";
      most.set(name, Math.max(most.get(name) ?? 0, devicesOf(one)));
    }
    for (const [name, devices] of most) add(usage, `${name}${DEVICES_OF_CLASS}`, quantityOf(devices));
  }
}

/** True where the quota counts the object at all: all of its scopes must fit. */
export function quotaCounts(quota: ResourceQuota, kind: KindRef, object: KubeObject): boolean {
  const selected = quota.spec?.scopeSelector?.matchExpressions ?? [];
  const scopes: ScopedResourceSelectorRequirement[] = [
    ...(quota.spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: "Exists" })),
    ...selected,
  ];
  if (scopes.length === 0) return true;
  if (kind.group !== "") return false;
  if (kind.resource === "persistentvolumeclaims") return scopes.every((scope) => claimFits(scope, object));
  if (kind.resource !== "pods") return false;
  return scopes.every((scope) => podFits(scope, (object as Pod).spec ?? { containers: [] }));
}

/** A claim is of the classes of attributes that it asks for, has, and is being given. */
function claimFits(
  { scopeName, operator, values = [] }: ScopedResourceSelectorRequirement,
  { spec, status }: PersistentVolumeClaim,
): boolean {
  if (scopeName !== "VolumeAttributesClass") return false;
  const names = [
    spec?.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ].filter((name) => name !== undefined && name !== "");
  if (names.length === 0) return classFits(operator, values, "");
  return names.some((name) => classFits(operator, values, name ?? ""));
}

function podFits({ scopeName, operator, values = [] }: ScopedResourceSelectorRequirement, spec: PodSpec): boolean {
  switch (scopeName) {
    case "Terminating":
      return spec.activeDeadlineSeconds !== undefined;
    case "NotTerminating":
      return spec.activeDeadlineSeconds === undefined;
    case "BestEffort":
      return qosClass(spec) === "BestEffort";
    case "NotBestEffort":
      return qosClass(spec) !== "BestEffort";
    case "PriorityClass":
      return classFits(operator, values, spec.priorityClassName ?? "");
    case "CrossNamespacePodAffinity":
      return looksAcrossNamespaces(spec);
    default:
      return false;
  }
}

function classFits(operator: string, values: readonly string[], name: string): boolean {
  if (operator === "In") return values.includes(name);
  if (operator === "NotIn") return !values.includes(name);
  return (name !== "") === (operator === "Exists");
}

function looksAcrossNamespaces({ affinity }: PodSpec): boolean {
  return [affinity?.podAffinity, affinity?.podAntiAffinity].some((each) => {
    const preferred = each?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    const terms = [
      ...(each?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
      ...preferred.map((term) => term.podAffinityTerm),
    ];
    return terms.some((term) => (term?.namespaces?.length ?? 0) > 0 || term?.namespaceSelector !== undefined);
  });
}

/**
 * "limits.cpu for: c" for each computing resource of the quota that a container of the pod leaves open. Nothing where the pod
 * asks as a whole: its containers need not then.
 */
export function unspecified(quota: ResourceQuota, pod: Pod): string[] {
  const { requests, limits } = pod.spec?.resources ?? {};
  if (Object.keys({ ...requests, ...limits }).some(isPodLevelResource)) return [];
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  return Object.keys(quota.spec?.hard ?? {})
    .filter((name) => /^((requests|limits)\.)?(cpu|memory)$/.test(name))
    .toSorted()
    .flatMap((name) => {
      const bare = name.replace(/^(requests|limits)\./, "");
      const lacking = containers.filter(({ resources }) => {
        const limit = resources?.limits?.[bare];
        return name.startsWith("limits.") ? limit === undefined : (resources?.requests?.[bare] ?? limit) === undefined;
      });
      const names = lacking.map((container) => container.name).toSorted();
      return names.length === 0 ? [] : [`${name} for: ${names.join(",")}`];
    });
}

/** The names of the quota that `used` and `added` together exceed. */
export function exceeded(quota: ResourceQuota, used: Usage, added: Usage): string[] {
  return Object.entries(quota.spec?.hard ?? {})
    .filter(([name, hard]) => {
      const more = added.get(name);
      if (more === undefined || more.sign() <= 0 || !isQuantity(hard)) return false;
      return (used.get(name)?.add(more) ?? more).compare(parseQuantity(hard)) > 0;
    })
    .map(([name]) => name)
    .toSorted();
}
