// A controller-manager on the in-memory cluster under virtual time, with a stand-in for scheduler and kubelets.
import {
  DEPLOYMENTS,
  EVENTS,
  NAMESPACES,
  PODS,
  REPLICA_SETS,
  type Deployment,
  type Event,
  type Node,
  type Pod,
  type ReplicaSet,
} from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import { createEventRecorder, createInformerFactory, createLeaderElector } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { createMetrics } from "@coxswain/component-base/metrics";
import { VirtualEnv } from "@coxswain/env";
import { createControllerManager, type ControllerManagerDeps, type ControllerManagerOptions } from "../src/app.ts";

export interface FixtureOptions {
  readonly seed?: number;
  readonly options?: ControllerManagerOptions;
  readonly authority?: ControllerManagerDeps["authority"];
  readonly tokens?: ControllerManagerDeps["tokens"];
  readonly aggregated?: ControllerManagerDeps["aggregated"];
  readonly remotes?: ControllerManagerDeps["remotes"];
  /** Counts what `figures` tells; off where unset, as it costs time. */
  readonly measured?: boolean;
}

export function makeFixture({
  seed = 3,
  options = {},
  authority,
  tokens,
  aggregated,
  remotes,
  measured = false,
}: FixtureOptions = {}) {
  const registry = measured ? createMetrics() : undefined;
  const env = new VirtualEnv({ seed });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const admin = cluster.client();
  const start = (identity = "cm-0") => {
    const client = cluster.client(identity);
    const recorderFor = (component: string) => createEventRecorder({ env, client, component });
    const lease = { namespace: "kube-system", name: "kube-controller-manager", identity };
    const elector = createLeaderElector(lease, { env, client, logger: silentLogger });
    const informers = createInformerFactory({ env, client, logger: silentLogger });
    const base = { env, logger: silentLogger, metrics: registry ?? noMetrics };
    const app = createControllerManager({
      ...base,
      client,
      informers,
      elector,
      recorderFor,
      identity,
      options,
      ...(authority === undefined ? {} : { authority }),
      ...(tokens === undefined ? {} : { tokens }),
      ...(aggregated === undefined ? {} : { aggregated }),
      ...(remotes === undefined ? {} : { remotes }),
    });
    const stop = new AbortController();
    return { app, stop, elector, running: app.run(stop.signal) };
  };
  return {
    env,
    cluster,
    admin,
    start,
    /** Lets virtual time pass until the call has its answer. */
    settle: async <T>(call: Promise<T>): Promise<T> => {
      let settled = false;
      const note = (): void => void (settled = true);
      call.then(note, note);
      await env.runUntil(() => settled, env.elapsedMs + 60_000);
      return call;
    },
    until: (done: () => boolean, ms = 60_000) => env.runUntil(done, env.elapsedMs + ms),
    pods: () => cluster.objects<Pod>(PODS),
    replicaSets: () => cluster.objects<ReplicaSet>(REPLICA_SETS),
    deployment: (name = "web") => cluster.objects<Deployment>(DEPLOYMENTS).find((one) => one.metadata?.name === name),
    events: (reason?: string) =>
      cluster.objects<Event>(EVENTS).filter((one) => reason === undefined || one.reason === reason),
    /** The series whose names start like this, as in `job_syncs_total{result="success"}`, without buckets. */
    figures: async (start: string): Promise<Record<string, number>> => {
      const lines = ((await registry?.text()) ?? "").split("\n");
      const found = lines.filter((line) => line.startsWith(start) && !/^\w+_bucket\b/.test(line));
      return Object.fromEntries(
        found.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
      );
    },
    seedNamespace: (name = "default") => cluster.seed(NAMESPACES, namespace(name)),
  };
}

export type Fixture = ReturnType<typeof makeFixture>;

export function namespace(name: string) {
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name },
    spec: { finalizers: ["kubernetes"] },
    status: { phase: "Active" },
  };
}

/** Runs pods as they come: bound to a node, ready after `delayMs`; ends those that are being deleted. */
export function runPods(
  fixture: Fixture,
  options: { delayMs?: number; ready?: (pod: Pod) => boolean; node?: string } = {},
): void {
  const { env, cluster, admin } = fixture;
  const { delayMs = 50, ready = () => true, node = "node-1" } = options;
  const started = new Set<string>();
  const act = async (pod: Pod): Promise<void> => {
    const { namespace: ns, name = "" } = pod.metadata ?? {};
    const target = { namespace: ns, name };
    await env.timers.sleep(delayMs);
    if (pod.metadata?.deletionTimestamp !== undefined) {
      await admin.delete(PODS, target, { gracePeriodSeconds: 0 });
      return;
    }
    const body = { apiVersion: "v1", kind: "Binding", metadata: { name, namespace: ns }, target: { name: node } };
    await admin.create(PODS, body, { namespace: ns, name, subresource: "binding" });
    const lastTransitionTime = formatTime(env.clock.now());
    const conditions = [{ type: "Ready", status: ready(pod) ? "True" : "False", lastTransitionTime }];
    const status = { phase: "Running", podIP: "10.244.0.9", startTime: lastTransitionTime, conditions };
    await admin.patch(PODS, target, "application/merge-patch+json", { status }, { subresource: "status" });
  };
  cluster.onChange((change) => {
    const pod = change.object as Pod;
    if (pod.kind !== "Pod" || change.type === "DELETED") return;
    const stage = `${pod.metadata?.uid} ${pod.metadata?.deletionTimestamp !== undefined}`;
    if (started.has(stage)) return;
    started.add(stage);
    // A pod that went away meanwhile needs no running.
    act(structuredClone(pod)).catch(() => undefined);
  });
}

export function deployment(name = "web", spec: Partial<NonNullable<Deployment["spec"]>> = {}): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "default" },
    spec: {
      replicas: 3,
      selector: { matchLabels: { app: name } },
      template: template(name, "v1"),
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      ...spec,
    },
  };
}

export function template(app: string, image: string) {
  return {
    metadata: { labels: { app } },
    spec: { containers: [{ name: "c", image }], terminationGracePeriodSeconds: 1 },
  };
}

export function readyNode(name: string, nowMs: number): Node {
  const time = formatTime(nowMs);
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    spec: {},
    status: {
      conditions: [
        { type: "Ready", status: "True", reason: "KubeletReady", lastHeartbeatTime: time, lastTransitionTime: time },
      ],
    },
  };
}
