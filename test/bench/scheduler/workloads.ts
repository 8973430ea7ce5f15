// Upstream's scheduler_perf workloads: how many nodes, which pods are there before, which are measured, and the floor of pods
// a second that upstream's own runs must reach, with the scheduler in one process with its API server.
import type { TEMPLATES } from "./templates.ts";

/** As upstream's churn op: pods of a template are created; or a node, such a pod and a Service come and go in turn. */
export interface Churn {
  readonly mode: "create" | "recreate";
  readonly template: keyof typeof TEMPLATES;
  readonly everyMs: number;
  /** Whether the pods get a node in the end. */
  readonly placed: boolean;
}

export interface Workload {
  readonly name: string;
  readonly zones: readonly string[];
  readonly init: number;
  readonly initTemplate: keyof typeof TEMPLATES;
  /** Init pods that no node has room for. */
  readonly initStaysPending?: boolean;
  readonly measured: number;
  readonly template: keyof typeof TEMPLATES;
  /** What happens all the while. */
  readonly churn?: Churn;
  /** Upstream's floor, pods/s; null where it has none. */
  readonly upstream: number | null;
  /** Pods/s. */
  readonly aim: number;
}

const MOONS = ["moon-1", "moon-2", "moon-3"];

export const NODES = 5_000;

export const WORKLOADS: readonly Workload[] = [
  {
    name: "SchedulingBasic",
    zones: [],
    init: 1_000,
    initTemplate: "default",
    measured: 10_000,
    template: "default",
    upstream: 680,
    aim: 2_000,
  },
  {
    name: "TopologySpreading",
    zones: MOONS,
    init: 5_000,
    initTemplate: "default",
    measured: 5_000,
    template: "with-topology-spreading",
    upstream: 460,
    aim: 1_200,
  },
  {
    name: "PreferredTopologySpreading",
    zones: MOONS,
    init: 5_000,
    initTemplate: "default",
    measured: 5_000,
    template: "with-preferred-topology-spreading",
    upstream: 340,
    aim: 1_200,
  },
  {
    name: "PodAffinity",
    zones: ["zone1"],
    init: 5_000,
    initTemplate: "with-pod-affinity",
    measured: 5_000,
    template: "with-pod-affinity",
    upstream: 35,
    aim: 500,
  },
  {
    name: "PodAntiAffinity",
    zones: [],
    init: 1_000,
    initTemplate: "with-pod-anti-affinity",
    measured: 2_000,
    template: "with-pod-anti-affinity",
    upstream: 60,
    aim: 500,
  },
  {
    name: "NodeAffinity",
    zones: ["zone1"],
    init: 5_000,
    initTemplate: "with-node-affinity",
    measured: 10_000,
    template: "with-node-affinity",
    upstream: 220,
    aim: 1_500,
  },
  {
    name: "PreemptionAsync",
    zones: [],
    init: 20_000,
    initTemplate: "low-priority",
    measured: 5_000,
    template: "default",
    churn: { mode: "create", template: "high-priority", everyMs: 200, placed: true },
    upstream: 570,
    aim: 1_000,
  },
  {
    // Each measured pod has to push three others off. Upstream has left it out at this size: it "always seems to fail".
    name: "PreemptionBasic",
    zones: [],
    init: 20_000,
    initTemplate: "low-priority",
    measured: 5_000,
    template: "high-priority",
    upstream: null,
    aim: 1_000,
  },
  {
    name: "MixedChurn",
    zones: [],
    init: 0,
    initTemplate: "default",
    measured: 10_000,
    template: "default",
    churn: { mode: "recreate", template: "high-priority-large-cpu", everyMs: 1_000, placed: false },
    upstream: 710,
    aim: 1_500,
  },
  {
    name: "Unschedulable",
    zones: [],
    init: 20_000,
    initTemplate: "default",
    measured: 10_000,
    template: "default",
    churn: { mode: "create", template: "high-priority-large-cpu", everyMs: 200, placed: false },
    upstream: 600,
    aim: 1_500,
  },
  {
    // Harder than upstream's: all that fit nowhere are there before.
    name: "UnschedulableBacklog",
    zones: [],
    init: 20_000,
    initTemplate: "large-cpu",
    initStaysPending: true,
    measured: 10_000,
    template: "default",
    upstream: null,
    aim: 1_500,
  },
];
