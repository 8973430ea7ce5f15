// A kubelet inside a test node, with an API in memory: what pods.kernel.test.ts talks to over the channel of a child process.
// The API outlives the kubelets, so that one can be ended and another started over what it left.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { EVENTS, NODES, PODS, type Event, type Node, type Pod } from "@coxswain/api";
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import { createEventRecorder, createInformerFactory } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics } from "@coxswain/component-base";
import { createLogger } from "@coxswain/component-base/logger";
import { createRealEnv } from "@coxswain/env";
import { createKubelet } from "../src/app.ts";
import { createContainerdCri } from "../src/cri/containerd/containerd-cri.ts";
import type { Cri } from "../src/cri/contract.ts";
import { createRealNode, type RealNodeOptions } from "../src/node/real-node.ts";

const run = promisify(execFile);

export type DriverOptions = RealNodeOptions & { readonly hostIp: string };

const env = createRealEnv();
const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
const logger = createLogger({ level: "debug", bindings: { component: "kubelet" } });
let running: { readonly stop: AbortController; readonly done: Promise<void>; readonly cri: Cri } | undefined;

async function start(options: DriverOptions): Promise<void> {
  const client = cluster.client("kubelet");
  const informers = createInformerFactory({ env, client, logger });
  const host = await createRealNode(options, { env, logger, client, informers });
  const app = createKubelet({
    env,
    logger,
    metrics: noMetrics,
    client,
    recorder: createEventRecorder({ env, client, component: "kubelet" }),
    informers,
    nodes: [options.node],
    host,
    options: { advertiseAddress: options.hostIp, capacity: options.allocatable },
  });
  const stop = new AbortController();
  running = { stop, done: app.run(stop.signal), cri: host.cri };
}

/** Containers are left as they are, as by a kubelet that is killed. */
async function stop(): Promise<void> {
  running?.stop.abort();
  await running?.done;
  running = undefined;
}

const find = (name: string): Pod | undefined => cluster.objects<Pod>(PODS).find((one) => one.metadata?.name === name);

const containerId = (name: string, container: string): string | undefined =>
  find(name)?.status?.containerStatuses?.find((one) => one.name === container)?.containerID;

async function until<T>(read: () => T | undefined): Promise<T> {
  for (;;) {
    const found = read();
    if (found !== undefined) return found;
    await env.timers.sleep(1);
  }
}

/** Milliseconds from the creation of each pod until the API says that it runs. */
async function timeToRunning(pods: readonly Pod[]): Promise<number[]> {
  return Promise.all(
    pods.map(async (pod) => {
      const beganMs = env.clock.monotonic();
      cluster.seed(PODS, pod);
      await until(() => (find(pod.metadata?.name ?? "")?.status?.phase === "Running" ? true : undefined));
      return env.clock.monotonic() - beganMs;
    }),
  );
}

/** Milliseconds that the same calls take by hand, one after another for each pod. */
async function timeByHand(endpoint: string, name: string, attempts: readonly number[]): Promise<number[]> {
  const cri = createContainerdCri({ env, logger, endpoint });
  const uid = find(name)?.metadata?.uid ?? "";
  const [sandbox] = await cri.listPodSandbox({ uid });
  const [container] = await cri.listContainers({ podUid: uid });
  if (sandbox === undefined || container === undefined) throw new Error(`no pod ${name} to copy`);
  try {
    return await Promise.all(
      attempts.map(async (attempt) => {
        const own = `by-hand-${attempt}`;
        const config = { ...sandbox.config, name: own, uid: own, labels: {}, logDirectory: `/var/log/pods/${own}` };
        const beganMs = env.clock.monotonic();
        const id = await cri.runPodSandbox(config);
        await cri.podSandboxStatus(id);
        await cri.imageStatus(container.config.image);
        const life = await cri.createContainer(id, { ...container.config, mounts: [], labels: {} });
        await cri.startContainer(life);
        await cri.containerStatus(life);
        const tookMs = env.clock.monotonic() - beganMs;
        await cri.stopPodSandbox(id);
        await cri.removePodSandbox(id);
        return tookMs;
      }),
    );
  } finally {
    cri.close();
  }
}

const methods = {
  start,
  stop,
  seed: (ref: ResourceRef, object: KubeObject) => cluster.seed(ref, object),
  pod: (name: string) => find(name),
  node: () => cluster.objects<Node>(NODES)[0],
  events: (name: string) =>
    cluster
      .objects<Event>(EVENTS)
      .filter((one) => one.involvedObject.name === name)
      .map((one) => `${one.reason}: ${one.message}`),
  remove: (name: string, gracePeriodSeconds?: number) =>
    cluster
      .client()
      .delete(PODS, { namespace: "default", name }, gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
  patch: (name: string, patch: unknown, subresource?: string) =>
    cluster
      .client()
      .patch(
        PODS,
        { namespace: "default", name },
        "application/strategic-merge-patch+json",
        patch,
        subresource === undefined ? {} : { subresource },
      ),
  /** Follows a container's log from its beginning until the line comes. */
  logUntil: async (name: string, container: string, last: string) => {
    const lines: string[] = [];
    const stop = new AbortController();
    const [, id = ""] = (containerId(name, container) ?? "").split("://");
    if (running === undefined) throw new Error("no kubelet runs");
    for await (const { line } of running.cri.logs(id, { follow: true }, stop.signal)) {
      lines.push(line.toString());
      if (line.toString() === last) break;
    }
    stop.abort();
    return lines;
  },
  timeToRunning,
  timeByHand,
  nowMs: () => env.clock.monotonic(),
  /** The API forgets the pod without its kubelet. */
  erase: (name: string) => cluster.client().delete(PODS, { namespace: "default", name }, { gracePeriodSeconds: 0 }),
  /** Ends the process that holds the pod's namespaces, as a crash would. */
  killSandbox: async (uid: string) => {
    const { stdout } = await run("ps", ["-eo", "pid,cgroup"]);
    const [sandbox] = (await running?.cri.listPodSandbox({ uid })) ?? [];
    const line = stdout.split("\n").find((one) => sandbox !== undefined && one.includes(sandbox.id));
    if (line === undefined) throw new Error(`no process of a sandbox of pod ${uid}`);
    process.kill(Number(line.trim().split(" ")[0]), "SIGKILL");
  },
};

export type DriverMethods = typeof methods;

interface Call {
  readonly id: number;
  readonly method: keyof DriverMethods;
  readonly args: readonly unknown[];
}

process.on("message", ({ id, method, args }: Call) => {
  const call = methods[method] as (...all: readonly unknown[]) => unknown;
  void (async () => {
    try {
      process.send?.({ id, result: await call(...args) });
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  })();
});
process.on("disconnect", () => process.exit(0));
process.send?.({ id: 0 });
