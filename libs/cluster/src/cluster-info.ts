// What `up --output json` and `status` tell about a running cluster (docs: INTERFACE). Pure.
import type { ClusterPaths } from "./cluster-spec.ts";
import type { ProcessSpec } from "./process-plan.ts";
import { COMPONENTS, isOurs } from "./process-slots.ts";
import type { ClusterState } from "./state-file.ts";
import type { ProcessRecord } from "./supervisor.ts";

export interface ProcessInfo {
  readonly component: string;
  readonly instance: string;
  readonly node: string;
  readonly pid: number;
  /** host:port, or "" where the process serves no gRPC of ours. */
  readonly grpc: string;
  /** URL of the metrics. */
  readonly metrics: string;
  readonly log: string;
}

export interface ClusterInfo {
  readonly name: string;
  readonly kubeconfig: string;
  readonly apiServer: string;
  readonly grpc: string;
  readonly nats: string;
  /** "" where objects are in the api-server's memory. */
  readonly etcd: string;
  readonly dashboard: string;
  readonly dataDir: string;
  readonly processes: readonly ProcessInfo[];
}

const HOST = "127.0.0.1";

function firstOf(records: readonly ProcessRecord[], component: string): ProcessSpec | undefined {
  return records.find((record) => record.spec.component === component)?.spec;
}

function processInfo({ spec, pid }: ProcessRecord): ProcessInfo {
  return {
    component: spec.component,
    instance: spec.instance,
    node: spec.node,
    pid,
    grpc: isOurs(spec.component) ? `${HOST}:${spec.ports.grpc}` : "",
    metrics: spec.component === "nats" || spec.ports.main === 0 ? "" : `https://${HOST}:${spec.ports.main}/metrics`,
    log: spec.log,
  };
}

/** The object that `up --output json` prints. */
export function clusterInfo(
  name: string,
  paths: ClusterPaths,
  { records, front }: Pick<ClusterState, "records" | "front">,
): ClusterInfo {
  const api = firstOf(records, "api-server");
  const etcd = firstOf(records, "etcd");
  return {
    name,
    kubeconfig: paths.kubeconfig,
    apiServer: `https://${HOST}:${front ?? api?.ports.main ?? 0}`,
    grpc: `${HOST}:${api?.ports.grpc ?? 0}`,
    nats: `tls://${HOST}:${firstOf(records, "nats")?.ports.main ?? 0}`,
    etcd: etcd === undefined ? "" : `https://${HOST}:${etcd.ports.main}`,
    dashboard: "",
    dataDir: paths.dataDir,
    processes: records.map(processInfo),
  };
}

/** One line about what is still missing, or undefined where all processes are ready. */
export function missingPart(records: readonly ProcessRecord[]): string | undefined {
  for (const component of COMPONENTS) {
    const missing = records.find((record) => record.spec.component === component && record.state !== "ready");
    if (missing !== undefined) return `${component}/${missing.spec.instance}: ${missing.state} (${missing.message})`;
  }
  return undefined;
}
