// The nodes and pods of upstream's scheduler_perf workloads, by their description:
// https://github.com/kubernetes/kubernetes/tree/master/test/integration/scheduler_perf
import type { Node, Pod } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";

type PodSpec = NonNullable<Pod["spec"]>;

export const ZONE = "topology.kubernetes.io/zone";
const HOSTNAME = "kubernetes.io/hostname";

/** A node of 4 cores and 32 GiB that nobody runs; zones are dealt out in turn. */
export function node(name: string, zones: readonly string[], at: number, capacity = {}): KubeObject & Node {
  const room = { cpu: "4", memory: "32Gi", pods: "110", ...capacity };
  const zone = zones[at % Math.max(1, zones.length)];
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { [HOSTNAME]: name, ...(zone === undefined ? {} : { [ZONE]: zone }) } },
    status: {
      capacity: room,
      allocatable: room,
      conditions: [{ type: "Ready", status: "True", reason: "KubeletReady" }],
    },
  };
}

export interface PodTemplate {
  readonly labels?: Readonly<Record<string, string>>;
  readonly cpu: string;
  readonly memory: string;
  readonly spec?: Partial<PodSpec>;
}

const SMALL = { cpu: "100m", memory: "500Mi" };
const blue = { labels: { color: "blue" }, ...SMALL };

const term = (color: string, topologyKey: string) => ({
  requiredDuringSchedulingIgnoredDuringExecution: [
    { labelSelector: { matchLabels: { color } }, topologyKey, namespaces: ["sched-0", "sched-1"] },
  ],
});

const spread = (whenUnsatisfiable: "DoNotSchedule" | "ScheduleAnyway"): PodTemplate => ({
  ...blue,
  spec: {
    topologySpreadConstraints: [
      { maxSkew: 5, topologyKey: ZONE, whenUnsatisfiable, labelSelector: { matchLabels: { color: "blue" } } },
    ],
  },
});

/** By upstream's names of them, without "pod-" and ".yaml". */
export const TEMPLATES = {
  default: SMALL,
  "with-topology-spreading": spread("DoNotSchedule"),
  "with-preferred-topology-spreading": spread("ScheduleAnyway"),
  "with-pod-affinity": { ...blue, spec: { affinity: { podAffinity: term("blue", ZONE) } } },
  "with-pod-anti-affinity": {
    ...SMALL,
    labels: { color: "green", name: "test" },
    spec: { affinity: { podAntiAffinity: term("green", HOSTNAME) } },
  },
  "with-node-affinity": {
    ...SMALL,
    spec: {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: ZONE, operator: "In", values: ["zone1", "zone2"] }] }],
          },
        },
      },
    },
  },
  "low-priority": { cpu: "900m", memory: "500Mi" },
  "high-priority": { cpu: "3000m", memory: "500Mi", spec: { priority: 10, priorityClassName: "high" } },
  "large-cpu": { cpu: "9", memory: "500Mi" },
  "high-priority-large-cpu": { cpu: "9", memory: "500Mi", spec: { priority: 10, priorityClassName: "high" } },
} satisfies Record<string, PodTemplate>;

export function pod(template: PodTemplate, namespace: string, name: string): KubeObject & Pod {
  const { cpu, memory, labels, spec } = template;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, ...(labels === undefined ? {} : { labels }) },
    spec: {
      ...spec,
      automountServiceAccountToken: false,
      // No kubelet is there to end it in its time.
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: "pause",
          image: "registry.k8s.io/pause:3.10.1",
          ports: [{ containerPort: 80 }],
          resources: { limits: { cpu, memory }, requests: { cpu, memory } },
        },
      ],
    },
  };
}
