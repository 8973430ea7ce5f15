// Start and stop clusters: `import { startCluster } from "coxswain"`.
export { attach, ClusterError, repositoryRoot, startCluster, statusOf, stopCluster } from "./cluster.ts";
export type { Chaos, Cluster, StartOptions } from "./cluster.ts";
export type { ClusterInfo, ProcessInfo } from "./cluster-info.ts";
export { clusterPaths, clusterSpec, homeDir, nodeCapacity, SpecError } from "./cluster-spec.ts";
export type { AutoscaleRange, ClusterPaths, ClusterSpec } from "./cluster-spec.ts";
export {
  CLIENTS_134,
  CLIENTS_135,
  ensureClientProgram,
  ensureKubectl,
  ensureOnPath,
  ensureProgram,
  ETCD,
  findProgram,
  installHint,
  MissingProgramError,
  NATS_SERVER,
} from "./external-programs.ts";
export type { ClientPackage } from "./external-programs.ts";
export { ControlError } from "./control-api.ts";
export { ExposeError } from "./expose-targets.ts";
export { pssKib } from "./process-table.ts";
export type { ClusterState, Exposed } from "./state-file.ts";
export type { ProcessRecord } from "./supervisor.ts";
export { nodeImageStore } from "./node-image-store.ts";
export { ensureNodePrograms, nodeRuntimeMissing } from "./node-programs.ts";
export type { NodePrograms } from "./node-programs.ts";
export { createPlatform, openPlatform } from "./platform/create-platform.ts";
export type { Platform } from "./platform/create-platform.ts";
export { nodeShare } from "./platform/node-share.ts";
export { PlatformError, planPlatform, platformId } from "./platform/platform-plan.ts";
export type { MemberPlan, NodePlan, PlatformPlan } from "./platform/platform-plan.ts";
export { removePlatform } from "./platform/remove-platform.ts";
