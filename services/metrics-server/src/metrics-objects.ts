// The objects and documents of metrics.k8s.io/v1beta1: pure.
// https://kubernetes.io/docs/reference/external-api/metrics.v1beta1/
import type { Node, Pod } from "@coxswain/api";
import { formatTime, Quantity, type ObjectMeta } from "@coxswain/apimachinery";
import type { ContainerUsage, Usage } from "./sample-store.ts";

export const GROUP = "metrics.k8s.io";
export const VERSION = "v1beta1";
export const API_VERSION = `${GROUP}/${VERSION}`;
/** On figures of nodes that run no program. */
export const SIMULATED_ANNOTATION = "simulation.coxswain.dev/simulated";

export interface ResourceUsage {
  readonly cpu: string;
  readonly memory: string;
}

interface Measured {
  readonly metadata: ObjectMeta;
  readonly timestamp: string;
  readonly window: string;
}

export interface NodeMetrics extends Measured {
  readonly usage: ResourceUsage;
}

export interface PodMetrics extends Measured {
  readonly containers: readonly { readonly name: string; readonly usage: ResourceUsage }[];
}

/** Milliseconds as Go writes a duration: "15.032s", "1m30s". */
export function goDuration(ms: number): string {
  if (ms <= 0) return "0s";
  if (ms < 1000) return `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = `${(ms % 60_000) / 1000}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

function resourceUsage({
  cpuNanoCores,
  workingSetBytes,
}: Pick<Usage, "cpuNanoCores" | "workingSetBytes">): ResourceUsage {
  return {
    cpu: new Quantity(BigInt(cpuNanoCores), "DecimalSI").toString(),
    memory: new Quantity(BigInt(workingSetBytes) * 1_000_000_000n, "BinarySI").toString(),
  };
}

function metadataOf(object: Node | Pod, nowMs: number, simulated: boolean): ObjectMeta {
  const { name, namespace, labels } = object.metadata ?? {};
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    creationTimestamp: formatTime(nowMs),
    ...(labels === undefined ? {} : { labels }),
    ...(simulated ? { annotations: { [SIMULATED_ANNOTATION]: "true" } } : {}),
  };
}

export function nodeMetrics(node: Node, usage: Usage, simulated: boolean, nowMs: number): NodeMetrics {
  return {
    metadata: metadataOf(node, nowMs, simulated),
    timestamp: formatTime(usage.timeMs),
    window: goDuration(usage.windowMs),
    usage: resourceUsage(usage),
  };
}

/** The window is the earliest container's, as upstream has it. */
export function podMetrics(
  pod: Pod,
  containers: readonly ContainerUsage[],
  simulated: boolean,
  nowMs: number,
): PodMetrics {
  const earliest = containers.reduce((first, one) => (one.timeMs < first.timeMs ? one : first));
  return {
    metadata: metadataOf(pod, nowMs, simulated),
    timestamp: formatTime(earliest.timeMs),
    window: goDuration(earliest.windowMs),
    containers: containers.map((one) => ({ name: one.name, usage: resourceUsage(one) })),
  };
}

export const RESOURCE_LIST = {
  kind: "APIResourceList",
  apiVersion: "v1",
  groupVersion: API_VERSION,
  resources: [
    { name: "nodes", singularName: "", namespaced: false, kind: "NodeMetrics", verbs: ["get", "list"] },
    { name: "pods", singularName: "", namespaced: true, kind: "PodMetrics", verbs: ["get", "list"] },
  ],
};

const GROUP_VERSION = { groupVersion: API_VERSION, version: VERSION };
export const API_GROUP = {
  kind: "APIGroup",
  apiVersion: "v1",
  name: GROUP,
  versions: [GROUP_VERSION],
  preferredVersion: GROUP_VERSION,
};
export const GROUP_LIST = { kind: "APIGroupList", apiVersion: "v1", groups: [API_GROUP] };

interface TableRow {
  readonly metadata: ObjectMeta;
  readonly window: string;
  readonly usage: readonly ResourceUsage[];
}

function sumText(texts: readonly Quantity[]): string {
  return texts.reduce((sum, one) => sum.add(one)).toString();
}

/** What `kubectl get` of these resources prints, in upstream's columns. */
export function tableOf(rows: readonly TableRow[], parse: (text: string) => Quantity): object {
  const column = (name: string, type: string, format: string, description: string): object => ({
    name,
    type,
    format,
    description,
    priority: 0,
  });
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: {},
    columnDefinitions: [
      column("Name", "string", "name", "Name of the resource"),
      column("cpu", "string", "quantity", "Use of cpu"),
      column("memory", "string", "quantity", "Use of memory"),
      column("Window", "string", "duration", "Time over which it was measured"),
    ],
    rows: rows.map(({ metadata, window, usage }) => ({
      cells: [
        metadata.name,
        sumText(usage.map(({ cpu }) => parse(cpu))),
        sumText(usage.map(({ memory }) => parse(memory))),
        window,
      ],
      object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata },
    })),
  };
}
