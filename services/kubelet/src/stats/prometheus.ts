// /metrics/resource and /metrics/cadvisor in Prometheus' text format, with upstream's names: pure. Where several nodes share a
// process, what is a node's has a label `node` besides upstream's.
// https://kubernetes.io/docs/reference/instrumentation/metrics/
import { sumOf, type NodeStats } from "./node-stats.ts";

type Labels = Readonly<Record<string, string>>;

interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** When it was taken; upstream writes it behind resource metrics only. */
  readonly timeMs?: number;
}

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly samples: readonly Sample[];
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function line(name: string, { labels, value, timeMs }: Sample): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  const told = pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
  return `${name}${told} ${value}${timeMs === undefined ? "" : ` ${timeMs}`}`;
}

/** Families without samples are left out. */
function exposition(families: readonly Family[]): string {
  const lines = families
    .filter(({ samples }) => samples.length > 0)
    .flatMap(({ name, help, type, samples }) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...samples.map((sample) => line(name, sample)),
    ]);
  return `${lines.join("\n")}\n`;
}

const seconds = (nanos: number): number => nanos / 1e9;

/** Whether any figure is made up; in no node is that so on real ones. */
function simulatedFamily(nodes: readonly NodeStats[]): Family {
  return {
    name: "coxswain_node_simulated",
    help: "1 for a node that runs no program: all of its figures are made up",
    type: "gauge",
    samples: nodes.filter(({ simulated }) => simulated).map(({ node }) => ({ labels: { node }, value: 1 })),
  };
}

function containerSamples(
  nodes: readonly NodeStats[],
  value: (one: NodeStats["pods"][number]["containers"][number]) => Omit<Sample, "labels">,
): Sample[] {
  return nodes.flatMap(({ pods }) =>
    pods.flatMap(({ namespace, name: pod, containers }) =>
      containers.map((one) => ({ labels: { container: one.name, namespace, pod }, ...value(one) })),
    ),
  );
}

function nodeFamilies(nodes: readonly NodeStats[]): Family[] {
  const labels = (node: string): Labels => (nodes.length === 1 ? {} : { node });
  const known = nodes.flatMap(({ node, usage }) => (usage === undefined ? [] : [{ labels: labels(node), usage }]));
  return [
    {
      name: "node_cpu_usage_seconds_total",
      help: "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
      type: "counter",
      samples: known.map(({ labels, usage }) => ({ labels, value: seconds(usage.cpuNanos), timeMs: usage.timeMs })),
    },
    {
      name: "node_memory_working_set_bytes",
      help: "[STABLE] Current working set of the node in bytes",
      type: "gauge",
      samples: known.map(({ labels, usage }) => ({ labels, value: usage.workingSetBytes, timeMs: usage.timeMs })),
    },
  ];
}

function podFamilies(nodes: readonly NodeStats[]): Family[] {
  const sums = nodes.flatMap(({ pods }) =>
    pods.flatMap(({ namespace, name: pod, containers }) => {
      const sum = sumOf(containers);
      return sum === undefined ? [] : [{ labels: { namespace, pod }, sum }];
    }),
  );
  return [
    {
      name: "pod_cpu_usage_seconds_total",
      help: "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
      type: "counter",
      samples: sums.map(({ labels, sum }) => ({ labels, value: seconds(sum.cpuNanos), timeMs: sum.timeMs })),
    },
    {
      name: "pod_memory_working_set_bytes",
      help: "[STABLE] Current working set of the pod in bytes",
      type: "gauge",
      samples: sums.map(({ labels, sum }) => ({ labels, value: sum.workingSetBytes, timeMs: sum.timeMs })),
    },
  ];
}

/** What /metrics/resource answers. */
export function resourceMetrics(nodes: readonly NodeStats[]): string {
  const failed = nodes.some(({ errors }) => errors > 0) ? 1 : 0;
  return exposition([
    {
      name: "container_cpu_usage_seconds_total",
      help: "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
      type: "counter",
      samples: containerSamples(nodes, ({ cpuNanos, timeMs }) => ({ value: seconds(cpuNanos), timeMs })),
    },
    {
      name: "container_memory_working_set_bytes",
      help: "[STABLE] Current working set of the container in bytes",
      type: "gauge",
      samples: containerSamples(nodes, ({ workingSetBytes: value, timeMs }) => ({ value, timeMs })),
    },
    {
      name: "container_start_time_seconds",
      help: "[STABLE] Start time of the container since unix epoch in seconds",
      type: "gauge",
      samples: containerSamples(nodes, ({ startMs }) => ({ value: startMs / 1000 })),
    },
    simulatedFamily(nodes),
    ...nodeFamilies(nodes),
    ...podFamilies(nodes),
    {
      name: "resource_scrape_error",
      help: "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
      type: "gauge",
      samples: [{ labels: {}, value: failed }],
    },
  ]);
}

/** The part of what /metrics/cadvisor answers upstream that is known here. */
export function cadvisorMetrics(nodes: readonly NodeStats[]): string {
  const samples = (
    value: (one: NodeStats["pods"][number]["containers"][number]) => number,
    more: Labels = {},
  ): Sample[] =>
    nodes.flatMap(({ pods }) =>
      pods.flatMap(({ namespace, name: pod, containers }) =>
        containers.map((one) => ({
          labels: { container: one.name, ...more, id: one.id, image: one.image, name: one.id, namespace, pod },
          value: value(one),
          timeMs: one.timeMs,
        })),
      ),
    );
  return exposition([
    {
      name: "container_cpu_usage_seconds_total",
      help: "Cumulative cpu time consumed in seconds.",
      type: "counter",
      samples: samples(({ cpuNanos }) => seconds(cpuNanos), { cpu: "total" }),
    },
    {
      name: "container_last_seen",
      help: "Last time a container was seen by the exporter",
      type: "gauge",
      samples: samples(({ timeMs }) => Math.floor(timeMs / 1000)),
    },
    {
      name: "container_memory_working_set_bytes",
      help: "Current working set in bytes.",
      type: "gauge",
      samples: samples(({ workingSetBytes }) => workingSetBytes),
    },
    {
      name: "container_start_time_seconds",
      help: "Start time of the container since unix epoch in seconds.",
      type: "gauge",
      samples: samples(({ startMs }) => startMs / 1000),
    },
    simulatedFamily(nodes),
  ]);
}
