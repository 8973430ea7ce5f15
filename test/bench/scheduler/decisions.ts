// How fast decisions alone are: no client, no queue, no events.
import type { Node, Pod } from "@coxswain/api";
import { createRealEnv } from "@coxswain/env";
import { Framework } from "@coxswain/scheduler/framework/plan-schedule";
import { DEFAULT_PROFILES } from "@coxswain/scheduler/framework/registry";
import { makePodInfo } from "@coxswain/scheduler/pod-info";
import { ClusterSnapshot } from "@coxswain/scheduler/snapshot/cluster-snapshot";
import { ZONE } from "./templates.ts";

function node(at: number): Node {
  return {
    metadata: { name: `node-${at}`, labels: { "kubernetes.io/hostname": `node-${at}`, [ZONE]: `zone-${at % 5}` } },
    status: { allocatable: { cpu: "32", memory: "128Gi", pods: "110" } },
  };
}

function pod(at: number, constrained: boolean): Pod {
  const labelSelector = { matchLabels: { app: "bench" } };
  const constraints = {
    topologySpreadConstraints: [{ maxSkew: 1, topologyKey: ZONE, whenUnsatisfiable: "DoNotSchedule", labelSelector }],
    affinity: {
      podAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          { weight: 10, podAffinityTerm: { labelSelector, topologyKey: ZONE } },
        ],
      },
    },
  };
  return {
    metadata: { name: `pod-${at}`, namespace: "default", uid: `uid-${at}`, labels: { app: "bench" } },
    spec: {
      schedulerName: "default-scheduler",
      containers: [{ name: "main", resources: { requests: { cpu: "100m", memory: "128Mi" } } }],
      ...(constrained ? constraints : {}),
    },
  };
}

/** Pods a second that get one of `nodes` nodes, each of which is filtered and scored; each pod counts for the next. */
export function decisionsPerSecond(nodes: number, pods: number, constrained: boolean): number {
  const env = createRealEnv();
  const snapshot = new ClusterSnapshot();
  for (let at = 0; at < nodes; at++) snapshot.upsertNode(node(at));
  const infos = Array.from({ length: pods }, (_, at) => makePodInfo(pod(at, constrained)));
  const framework = new Framework(DEFAULT_PROFILES[0]!);
  const options = { random: env.random, percentageOfNodesToScore: 100 };
  const start = env.clock.monotonic();
  for (const info of infos) {
    const plan = framework.planSchedule(info, snapshot, options);
    if (plan.kind !== "node") throw new Error(`no node for ${info.key}: ${plan.message}`);
    snapshot.assume(info, plan.node);
  }
  return Math.round((pods * 1000) / (env.clock.monotonic() - start));
}

function preemptible(at: number, nodes: number): Pod {
  const { spec, ...rest } = pod(at, false);
  const requests = { cpu: "7900m", memory: "500Mi" };
  return {
    ...rest,
    spec: { ...spec!, nodeName: `node-${at % nodes}`, containers: [{ name: "main", resources: { requests } }] },
  };
}

/**
 * Pods a second for which a node is found that four less important pods fill, three of which have to leave: deciding whom,
 * then placing the pod there once they are gone.
 */
export function preemptionsPerSecond(nodes: number): number {
  const env = createRealEnv();
  const snapshot = new ClusterSnapshot();
  for (let at = 0; at < nodes; at++) snapshot.upsertNode(node(at));
  for (let at = 0; at < nodes * 4; at++) snapshot.upsertPod(preemptible(at, nodes));
  const requests = { cpu: "24", memory: "500Mi" };
  const infos = Array.from({ length: nodes }, (_, at) => {
    const { metadata, spec } = pod(nodes * 4 + at, false);
    return makePodInfo({
      metadata: metadata!,
      spec: { ...spec!, priority: 10, containers: [{ name: "main", resources: { requests } }] },
    });
  });
  const framework = new Framework(DEFAULT_PROFILES[0]!);
  const options = { random: env.random, percentageOfNodesToScore: 100 };
  const start = env.clock.monotonic();
  for (const info of infos) {
    const plan = framework.planSchedule(info, snapshot, options);
    if (plan.kind === "node" || plan.nominated === undefined) throw new Error(`nobody to preempt for ${info.key}`);
    snapshot.nominations.add(info, plan.nominated);
    for (const victim of plan.victims) snapshot.removePod(victim.key);
    if (framework.planSchedule(info, snapshot, options).kind !== "node") throw new Error(`no node for ${info.key}`);
    snapshot.assume(info, plan.nominated);
    snapshot.nominations.remove(info.key);
  }
  return Math.round((nodes * 1000) / (env.clock.monotonic() - start));
}
