// Runs one workload through a real api-server, etcd, NATS and scheduler, each a process. Nodes are objects: no kubelet is there.
// What counts is the time from the first measured pod's creation until the scheduler says that the last one is bound.
import { NODES as NODE_REF, PODS } from "@coxswain/api";
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import { createRealEnv } from "@coxswain/env";
import { waitFor } from "@coxswain/testkit";
import { startControlPlane, type ControlPlane } from "../../integration/control-plane-fixture.ts";
import { makeNamespace } from "../api/measures.ts";
import { cpuSeconds } from "../api/process-cost.ts";
import { createRestClient, type RestClient } from "../api/rest-client.ts";
import { node, pod, TEMPLATES } from "./templates.ts";
import type { Churn, Workload } from "./workloads.ts";

const PROCESSES = ["api-server/0", "scheduler/0", "etcd/0", "nats/0"] as const;
/** Writes that are on their way at once: upstream's clients have no limit but their own parallelism. */
const BATCH = 250;
/** Nobody is there who would take the taint of a new node away; upstream's workloads leave that plugin out, too. */
const API_SERVER_ARGS = ["--disable-admission-plugins=TaintNodesByCondition"];
const LIMIT_MS = 300_000;
const SERVICES: ResourceRef = { group: "", version: "v1", resource: "services" };
const PRIORITY_CLASSES: ResourceRef = { group: "scheduling.k8s.io", version: "v1", resource: "priorityclasses" };
const env = createRealEnv();

export interface WorkloadResult {
  readonly podsPerSecond: number;
  /** CPU microseconds a measured pod, by process. */
  readonly cpu: Readonly<Record<string, number>>;
}

interface Run {
  readonly plane: ControlPlane;
  readonly client: ResourceClient;
  readonly metrics: RestClient;
}

/** Creates all, some hundred at a time. Rejects where one is refused. */
async function createAll(client: ResourceClient, ref: ResourceRef, count: number, make: (at: number) => KubeObject) {
  for (let from = 0; from < count; from += BATCH) {
    const size = Math.min(BATCH, count - from);
    const operations = Array.from({ length: size }, (_, at) => {
      const object = make(from + at);
      return { op: "create", ref, object, namespace: object.metadata?.namespace } as const;
    });
    for (const outcome of await client.batch(operations)) if (!outcome.ok) throw outcome.error;
  }
}

/** How many pods the scheduler has bound or found no room for, since its start. */
async function attempts({ metrics }: Run, result: "scheduled" | "unschedulable"): Promise<number> {
  const text = await metrics.text("/metrics");
  return Number(
    new RegExp(`^scheduler_schedule_attempts_total\\{result="${result}",profile="[^"]*"\\} (\\S+)$`, "m").exec(
      text,
    )?.[1] ?? 0,
  );
}

/** Of what is left by the pace so far: late enough to take little of the scheduler's time, and soon enough for the figure. */
const ASKED_AGAIN = 0.25;
const [MIN_PAUSE_MS, MAX_PAUSE_MS] = [20, 1_000];

async function untilScheduled(run: Run, pods: () => number): Promise<void> {
  const startMs = env.clock.monotonic();
  let first: number | undefined;
  for (;;) {
    const done = await attempts(run, "scheduled");
    const count = pods();
    if (done >= count) return;
    const tookMs = env.clock.monotonic() - startMs;
    if (tookMs > LIMIT_MS) throw new Error(`waited ${LIMIT_MS} ms in vain for ${count} pods to be scheduled`);
    first ??= done;
    const leftMs = done === first ? 0 : ((count - done) * tookMs) / (done - first);
    await env.timers.sleep(Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, leftMs * ASKED_AGAIN)));
  }
}

/** Pods that churn has created so far and that get a node in the end. */
interface Churned {
  pods: number;
}

async function createPods({ client }: Run, churn: Churn, churned: Churned, signal: AbortSignal): Promise<void> {
  for (let at = 0; !signal.aborted; at++) {
    await client.create(PODS, pod(TEMPLATES[churn.template], "sched-1", `churn-${at}`));
    if (churn.placed) churned.pods++;
    await env.timers.sleep(churn.everyMs);
  }
}

async function recreate({ client }: Run, churn: Churn, signal: AbortSignal): Promise<void> {
  const objects: readonly (readonly [ResourceRef, KubeObject])[] = [
    [NODE_REF, node("churn", [], 0, { cpu: "1", memory: "1Gi" })],
    [PODS, pod(TEMPLATES[churn.template], "sched-1", "churn")],
    [
      SERVICES,
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "churn", namespace: "sched-1" },
        spec: { ports: [{ port: 80 }] },
      } as KubeObject,
    ],
  ];
  while (!signal.aborted) {
    for (const [ref, object] of objects) await client.create(ref, structuredClone(object));
    await env.timers.sleep(churn.everyMs);
    for (const [ref, { metadata }] of objects) {
      await client.delete(ref, {
        name: metadata!.name!,
        ...(metadata?.namespace === undefined ? {} : { namespace: metadata.namespace }),
      });
    }
  }
}

async function runChurn(run: Run, churn: Churn | undefined, churned: Churned, signal: AbortSignal): Promise<void> {
  if (churn?.mode === "create") await createPods(run, churn, churned, signal);
  else if (churn?.mode === "recreate") await recreate(run, churn, signal);
}

async function prepare(run: Run, workload: Workload, nodes: number): Promise<void> {
  const { client } = run;
  for (const name of ["sched-0", "sched-1"]) await makeNamespace(client, name);
  const high = { apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata: { name: "high" }, value: 10 };
  await client.create(PRIORITY_CLASSES, high);
  await createAll(client, NODE_REF, nodes, (at) => node(`node-${at}`, workload.zones, at));
  const template = TEMPLATES[workload.initTemplate];
  await createAll(client, PODS, workload.init, (at) => pod(template, "sched-0", `init-${at}`));
  if (workload.initStaysPending !== true) return untilScheduled(run, () => workload.init);
  const tried = async (): Promise<boolean> => (await attempts(run, "unschedulable")) >= workload.init;
  await waitFor(env, `${workload.init} pods to be tried`, tried, LIMIT_MS);
}

async function measure(run: Run, workload: Workload): Promise<WorkloadResult> {
  const { plane, client } = run;
  const before = await attempts(run, "scheduled");
  const cpu = (key: string): number => cpuSeconds(plane.process(key).pid);
  const started = Object.fromEntries(PROCESSES.map((key) => [key, cpu(key)]));
  const stop = new AbortController();
  const churned: Churned = { pods: 0 };
  const churning = runChurn(run, workload.churn, churned, stop.signal);
  const start = env.clock.monotonic();
  await createAll(client, PODS, workload.measured, (at) =>
    pod(TEMPLATES[workload.template], "sched-1", `measured-${at}`),
  );
  await untilScheduled(run, () => before + workload.measured + churned.pods);
  const seconds = (env.clock.monotonic() - start) / 1000;
  stop.abort();
  await churning;
  const cost = PROCESSES.map(
    (key) => [key, Math.round(((cpu(key) - started[key]!) * 1e6) / workload.measured)] as const,
  );
  return { podsPerSecond: workload.measured / seconds, cpu: Object.fromEntries(cost) };
}

export async function runWorkload(workload: Workload, nodes: number): Promise<WorkloadResult> {
  await using plane = await startControlPlane({ components: ["scheduler"], apiServerArgs: API_SERVER_ARGS });
  const client = plane.client();
  const origin = `https://127.0.0.1:${plane.process("scheduler/0").spec.ports.main}`;
  const metrics = createRestClient({ origin, tls: plane.tls("admin"), connections: 1 });
  try {
    const run = { plane, client, metrics };
    await prepare(run, workload, nodes);
    return await measure(run, workload);
  } finally {
    await Promise.all([client.close(), metrics.close()]);
  }
}
