// How fast decisions alone are: no client, no queue, no events. `node services/scheduler/bench/scheduler-core.ts [nodes] [pods]`
import type { Node, Pod } from "@coxswain/api";
import { createRealEnv } from "@coxswain/env";
import { Framework } from "../src/framework/plan-schedule.ts";
import { DEFAULT_PROFILES } from "../src/framework/registry.ts";
import { makePodInfo } from "../src/pod-info.ts";
import { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";

export interface CoreFigures {
  readonly nodes: number;
  readonly pods: number;
  readonly podsPerSecond: number;
}

function node(at: number): Node {
  return {
    metadata: { name: `node-${at}`, labels: { "kubernetes.io/hostname": `node-${at}`, zone: `zone-${at % 5}` } },
    status: { allocatable: { cpu: "32", memory: "128Gi", pods: "110" } },
  };
}

function pod(at: number, spread: boolean): Pod {
  const constraint = {
    maxSkew: 1,
    topologyKey: "zone",
    whenUnsatisfiable: "DoNotSchedule",
    labelSelector: { matchLabels: { app: "bench" } },
  };
  return {
    metadata: { name: `pod-${at}`, namespace: "default", uid: `uid-${at}`, labels: { app: "bench" } },
    spec: {
      schedulerName: "default-scheduler",
      containers: [{ name: "main", resources: { requests: { cpu: "100m", memory: "128Mi" } } }],
      ...(spread ? { topologySpreadConstraints: [constraint] } : {}),
    },
  };
}

/** Decides for `pods` pods, each of which counts for the next. `percentage` 100 looks at all nodes each time. */
export function benchSchedulerCore(nodes: number, pods: number, percentage = 0, spread = false): CoreFigures {
  const env = createRealEnv();
  const snapshot = new ClusterSnapshot();
  for (let at = 0; at < nodes; at++) snapshot.upsertNode(node(at));
  const infos = Array.from({ length: pods }, (_, at) => makePodInfo(pod(at, spread)));
  const framework = new Framework(DEFAULT_PROFILES[0]!);
  const start = env.clock.monotonic();
  for (const info of infos) {
    const plan = framework.planSchedule(info, snapshot, { random: env.random, percentageOfNodesToScore: percentage });
    if (plan.kind !== "node") throw new Error(`no node for ${info.key}: ${plan.message}`);
    snapshot.assume(info, plan.node);
  }
  const seconds = (env.clock.monotonic() - start) / 1000;
  return { nodes, pods, podsPerSecond: Math.round(pods / seconds) };
}

if (import.meta.main) {
  const [nodes = 5000, pods = 20_000] = process.argv.slice(2).map(Number);
  for (const [name, percentage, spread] of [
    ["adaptive", 0, false],
    ["all nodes", 100, false],
    ["hard zone spread, adaptive", 0, true],
  ] as const) {
    console.log(name, benchSchedulerCore(nodes, pods, percentage, spread));
  }
}
