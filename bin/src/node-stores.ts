// How images get onto the nodes of a running cluster.
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  type Cluster,
  ClusterError,
  type ClusterSpec,
  ensureNodePrograms,
  nodeCapacity,
  nodeImageStore,
  openPlatform,
  planPlatform,
  platformId,
  repositoryRoot,
} from "@coxswain/cluster";
import { ensureSystemImages, type NodeImageStore, type SystemImages } from "@coxswain/images";

export interface NodeStores {
  /** In order of the nodes. */
  readonly stores: readonly NodeImageStore[];
  readonly names: readonly string[];
  /** The images that every node has. */
  readonly system: SystemImages;
  /** Where archives are kept. */
  readonly cacheDir: string;
}

/** The nodes' image stores. Throws ClusterError where the cluster's nodes are simulated. */
export async function nodeStores(cluster: Cluster, say: (line: string) => void): Promise<NodeStores> {
  const spec = JSON.parse(readFileSync(cluster.paths.spec, "utf8")) as ClusterSpec;
  if (spec.runtime !== "containerd")
    throw new ClusterError(`the nodes of cluster "${cluster.name}" are simulated: they hold no images`);
  const tools = path.join(repositoryRoot(), ".tools");
  const programs = await ensureNodePrograms(tools, say);
  const { dataDir } = cluster.paths;
  const id = platformId(cluster.name, path.dirname(dataDir));
  const plan = planPlatform({ id, dataDir, controlMembers: [], nodes: nodeCapacity(spec), programs });
  const platform = openPlatform(plan);
  const cacheDir = path.join(tools, "images");
  const system = await ensureSystemImages({ cacheDir, programs: { busybox: programs.busybox }, say });
  const { records } = await cluster.status();
  const names = records.filter((record) => record.spec.component === "containerd").map((record) => record.spec.node);
  return { stores: names.map((name) => nodeImageStore(platform, name)), names, system, cacheDir };
}
