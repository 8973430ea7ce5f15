// The name under which the kernel knows a cluster: pure, and the same for everybody who knows its data folder.
import path from "node:path";
import type { ClusterPaths } from "./cluster-spec.ts";
import { platformId } from "./platform/platform-plan.ts";

export function clusterId(paths: Pick<ClusterPaths, "dataDir">): string {
  const dataDir = path.resolve(paths.dataDir);
  return platformId(path.basename(dataDir), path.dirname(dataDir));
}
