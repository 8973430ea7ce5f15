// Start and stop clusters: `import { startCluster } from "coxswain"`.
export { attach, ClusterError, repositoryRoot, startCluster, statusOf, stopCluster } from "./cluster.ts";
export type { Chaos, Cluster, StartOptions } from "./cluster.ts";
export type { ClusterInfo, ProcessInfo } from "./cluster-info.ts";
export { clusterPaths, clusterSpec, homeDir, SpecError } from "./cluster-spec.ts";
export type { ClusterPaths, ClusterSpec } from "./cluster-spec.ts";
export {
  ensureKubectl,
  ensureProgram,
  ETCD,
  findProgram,
  installHint,
  MissingProgramError,
  NATS_SERVER,
} from "./external-programs.ts";
export { pssKib } from "./process-table.ts";
export type { ClusterState } from "./state-file.ts";
export type { ProcessRecord } from "./supervisor.ts";
