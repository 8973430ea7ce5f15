// The measurements of `bench api`, each on a control plane that is running, beside its limit in the same run.
import { PODS } from "@coxswain/api";
import type { ResourceClient } from "@coxswain/client";
import { createRealEnv } from "@coxswain/env";
import { startEtcd } from "@coxswain/storage/testing/etcd-server";
import { createPlainEtcd3 } from "@coxswain/storage/testing/plain-etcd3";
import type { ControlPlane } from "../../integration/control-plane-fixture.ts";
import { benchPod, NAMESPACE } from "./bench-pod.ts";
import { createGrpcCreates, createRestCreates } from "./create-clients.ts";
import { startLoad, type LoadProcess } from "./load-process.ts";
import type { LoadRole } from "./load-roles.ts";
import { cpuSeconds, residentBytes } from "./process-cost.ts";
import type { RestClient } from "./rest-client.ts";

const AT_ONCE = 64;
const WATCHED_PODS = 50;
const API_SERVER = "api-server/0";
const NATS = "nats/0";
const env = createRealEnv();

export interface Bench {
  readonly plane: ControlPlane;
  readonly client: ResourceClient;
  /** To the api-server, over TLS. */
  readonly rest: RestClient;
  /** What node:http alone can do. */
  readonly bare: LoadProcess;
  readonly bareRest: RestClient;
  readonly durationMs: number;
}

const podsPath = (namespace = NAMESPACE): string => `/api/v1/namespaces/${namespace}/pods`;

/** Runs `work` for `durationMs`, `AT_ONCE` at once; how many a second were done. */
async function rate(durationMs: number, work: (n: number) => Promise<unknown>): Promise<number> {
  let done = 0;
  const start = env.clock.monotonic();
  const one = async (): Promise<void> => {
    while (env.clock.monotonic() - start < durationMs) await work(done++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return (done * 1000) / (env.clock.monotonic() - start);
}

/** Does all of `count`, `AT_ONCE` at once. */
async function all(count: number, work: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

/** The best of three turns of each, taken in turns, so that what passes over the machine hits all alike. */
async function inTurns<K extends string>(
  ways: Record<K, () => Promise<number>>,
  better: (a: number, b: number) => number = Math.max,
): Promise<Record<K, number>> {
  const best = {} as Record<K, number>;
  for (let turn = 0; turn < 3; turn++) {
    for (const [name, way] of Object.entries(ways) as [K, () => Promise<number>][]) {
      const value = await way();
      best[name] = best[name] === undefined ? value : better(best[name], value);
    }
  }
  return best;
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const start = env.clock.monotonic();
  await work();
  return env.clock.monotonic() - start;
}

/** Creates of 2.5 KB pods a second. */
export async function creates({ plane, durationMs }: Bench): Promise<Record<"etcd3" | "grpc" | "rest", number>> {
  const server = await startEtcd();
  const plain = createPlainEtcd3([server.endpoint]);
  const api = plane.process(API_SERVER);
  const grpc = createGrpcCreates(api.grpc, plane.tls("admin"));
  const rest = createRestCreates(api.spec.ports.main, plane.tls("admin"), AT_ONCE);
  let made = 0;
  const value = Buffer.from(JSON.stringify(benchPod("plain")));
  try {
    return await inTurns({
      etcd3: () => rate(durationMs, () => plain.create(`/bench/${made++}`, value)),
      grpc: () => rate(durationMs, () => grpc.create(`grpc-${made++}`)),
      rest: () => rate(durationMs, () => rest.create(`rest-${made++}`)),
    });
  } finally {
    for (const load of [plain, grpc, rest]) load.close();
    await server.stop();
  }
}

/** GETs of one pod a second. */
export async function gets({
  client,
  rest,
  bare,
  bareRest,
  durationMs,
}: Bench): Promise<Record<"bare" | "ours", number>> {
  await client.create(PODS, benchPod("got"));
  const path = `${podsPath()}/got`;
  await bare.ask("serve", { path, body: await rest.text(path) });
  return await inTurns({
    bare: () => rate(durationMs, () => bareRest.request("GET", path)),
    ours: () => rate(durationMs, () => rest.request("GET", path)),
  });
}

/** The metric is the time between two turns of a timer of so many ms: that is what it shows where nothing stands still. */
const LOOP_SAMPLING_MS = 10;

/** The longest that the api-server's event loop stood still since the last call, ms. */
async function loopDelayMs(rest: RestClient): Promise<number> {
  const metrics = await rest.text("/metrics");
  const longestMs = Number(/^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(metrics)?.[1]) * 1000;
  return Math.max(0, longestMs - LOOP_SAMPLING_MS);
}

/** One LIST of `count` pods, ms; and the longest block of the event loop meanwhile, ms. */
export async function lists(
  { client, rest, bare, bareRest }: Bench,
  count: number,
): Promise<Record<"bare" | "ours" | "block", number>> {
  const namespace = "bench-list";
  await makePods({ client }, namespace, count);
  const path = podsPath(namespace);
  await bare.ask("serve", { path, body: await rest.text(path) });
  await loopDelayMs(rest);
  const times = await inTurns(
    {
      bare: () => milliseconds(() => bareRest.request("GET", path)),
      ours: () => milliseconds(() => rest.request("GET", path)),
    },
    Math.min,
  );
  return { ...times, block: await loopDelayMs(rest) };
}

/** With the account that pods want; no controller is there to make it. */
export async function makeNamespace(client: ResourceClient, name: string): Promise<void> {
  await client.create(
    { group: "", version: "v1", resource: "namespaces" },
    { apiVersion: "v1", kind: "Namespace", metadata: { name } },
  );
  const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: name } };
  await client.create({ group: "", version: "v1", resource: "serviceaccounts" }, account);
}

/** A namespace of its own with `count` pods, pod-0 and on. */
async function makePods({ client }: Pick<Bench, "client">, namespace: string, count: number): Promise<void> {
  await makeNamespace(client, namespace);
  await all(count, (n) => client.create(PODS, benchPod(`pod-${n}`, namespace)));
}

let round = 0;

/** Changes the watched pods `changes` times in all, each time to something new. */
async function change({ client }: Bench, namespace: string, changes: number): Promise<void> {
  await all(changes, (n) =>
    client.patch(PODS, { namespace, name: `pod-${n % WATCHED_PODS}` }, "application/merge-patch+json", {
      metadata: { annotations: { "bench.coxswain.dev/round": String(round++) } },
    }),
  );
}

/** Deliveries a second to `watchers` REST watchers of one resource. */
export async function watches(
  bench: Bench,
  watchers: number,
  changes: number,
): Promise<Record<"bare" | "ours", number>> {
  const { plane, rest, bare } = bench;
  const namespace = "bench-watch";
  await makePods(bench, namespace, WATCHED_PODS);
  const port = plane.process(API_SERVER).spec.ports.main;
  const watch = `${podsPath(namespace)}?watch=true`;
  const one = JSON.parse(await rest.text(`${podsPath(namespace)}/pod-0`)) as object;
  const line = `${JSON.stringify({ type: "MODIFIED", object: one })}\n`;
  const barePort = await bare.ask<number>("port");
  const run = async (role: LoadRole, make: () => Promise<unknown>): Promise<number> => {
    await using load = await startLoad(role);
    const heard = load.ask<number>("await", watchers * changes);
    await make();
    return (watchers * changes * 1000) / (await heard);
  };
  const role = { role: "rest-watchers", count: watchers, initial: WATCHED_PODS } as const;
  return await inTurns({
    bare: () =>
      run({ ...role, port: barePort, path: "/watch", initial: 0 }, () => bare.ask("push", { line, count: changes })),
    ours: () => run({ ...role, port, path: watch, tls: plane.tls("admin") }, () => change(bench, namespace, changes)),
  });
}

/** CPU milliseconds of api-server and nats-server a change, that `listeners` hear over NATS or as gRPC watches. */
export async function feedCost(
  bench: Bench,
  listeners: number,
  changes: number,
): Promise<Record<"nats" | "grpc", number>> {
  const { plane } = bench;
  const namespace = "bench-feed";
  await makePods(bench, namespace, WATCHED_PODS);
  const pids = [API_SERVER, NATS].map((key) => plane.process(key).pid);
  const cpu = (): number => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const run = async (role: LoadRole): Promise<number> => {
    await using load = await startLoad(role);
    const before = cpu();
    const heard = load.ask("await", listeners * changes);
    await change(bench, namespace, changes);
    await heard;
    return ((cpu() - before) * 1000) / changes;
  };
  const tls = plane.tls("scheduler");
  const count = listeners;
  const address = plane.process(API_SERVER).grpc;
  return await inTurns(
    {
      nats: () =>
        run({
          role: "nats-listeners",
          server: `127.0.0.1:${plane.process(NATS).spec.ports.main}`,
          pattern: `kube.core.pods.${namespace}`,
          count,
          tls,
        }),
      grpc: () =>
        run({ role: "grpc-watchers", address, namespace, count, initial: WATCHED_PODS, tls: plane.tls("admin") }),
    },
    Math.min,
  );
}

/**
 * How long an api-server takes from its start to /readyz with `count` pods in etcd, ms; and what a pod costs it in resident
 * memory, bytes: the difference to a start with none.
 */
export async function starts(
  { plane, client }: Pick<Bench, "plane" | "client">,
  count: number,
): Promise<Record<"readyMs" | "podBytes", number>> {
  const server = plane.process(API_SERVER);
  const again = async (): Promise<{ ms: number; bytes: number }> => {
    await server.kill();
    const ms = await milliseconds(() => server.start());
    return { ms, bytes: residentBytes(server.pid) };
  };
  const empty = await again();
  await makePods({ client }, "bench-start", count);
  const full = await again();
  return { readyMs: full.ms, podBytes: (full.bytes - empty.bytes) / count };
}
