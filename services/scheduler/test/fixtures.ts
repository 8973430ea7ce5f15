// Nodes, pods and one-off decisions for the tables of plugin tests.
import type { Node, Pod, PodSpec } from "@coxswain/api";
import { createSeededRandom } from "@coxswain/env";
import { Framework } from "../src/framework/plan-schedule.ts";
import { DEFAULT_PROFILES } from "../src/framework/registry.ts";
import type { Plugin, Profile } from "../src/framework/contract.ts";
import { makePodInfo } from "../src/pod-info.ts";
import { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";

export function node(
  name: string,
  labels: Record<string, string> = {},
  allocatable: Record<string, string> = {},
): Node {
  return {
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...labels } },
    status: { allocatable: { cpu: "4", memory: "8Gi", pods: "110", ...allocatable } },
  };
}

export type PodShape = Partial<PodSpec> & {
  readonly labels?: Record<string, string>;
  readonly namespace?: string;
  readonly requests?: Record<string, string>;
  readonly on?: string;
};

export function pod(name: string, shape: PodShape = {}): Pod {
  const { labels = {}, namespace = "default", requests = {}, on, ...spec } = shape;
  return {
    metadata: { name, namespace, uid: `uid-${name}`, labels },
    spec: {
      schedulerName: "default-scheduler",
      containers: [{ name: "main", resources: { requests } }],
      ...(on === undefined ? {} : { nodeName: on }),
      ...spec,
    },
  };
}

export function snapshotOf(nodes: readonly Node[], placed: readonly Pod[] = []): ClusterSnapshot {
  const snapshot = new ClusterSnapshot();
  for (const one of nodes) snapshot.upsertNode(one);
  for (const one of placed) snapshot.upsertPod(one);
  return snapshot;
}

/** The default profile with other plugins in the places of those with their names. */
export function profileWith(...plugins: readonly Plugin[]): Profile {
  const [profile] = DEFAULT_PROFILES;
  const other = (name: string): Plugin | undefined => plugins.find((plugin) => plugin.name === name);
  return {
    ...profile!,
    plugins: profile!.plugins.map((one) => ({ ...one, plugin: other(one.plugin.name) ?? one.plugin })),
  };
}

export function planOn(snapshot: ClusterSnapshot, wanted: Pod, profile: Profile = DEFAULT_PROFILES[0]!) {
  const options = { random: createSeededRandom(1), percentageOfNodesToScore: 100 };
  return new Framework(profile).planSchedule(makePodInfo(wanted), snapshot, options);
}

/** "-> node", or why not. */
export function decide(nodes: readonly Node[], wanted: Pod, placed: readonly Pod[] = [], profile?: Profile): string {
  const plan = planOn(snapshotOf(nodes, placed), wanted, profile);
  return plan.kind === "node" ? `-> ${plan.node}` : plan.message;
}
