// A runtime that outlives its kubelet and tells nothing by itself, under virtual time: what is adopted, noticed, cleaned up.
import { EVENTS, NODES, PODS, type ContainerStatus, type Event, type Node, type Pod } from "@coxswain/api";
import { createEventRecorder, createInformerFactory } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_IMAGE_POLICY } from "../src/images/plan-collection.ts";
import { createKubelet, type NodeHost } from "../src/app.ts";
import { CriError, type Cri } from "../src/cri/contract.ts";
import { createSimulatedCri } from "../src/cri/simulated/simulated-cri.ts";
import { planStorageExcess } from "../src/pods/plan-storage-excess.ts";
import { planAdoptedBackoff } from "../src/pods/plan-adoption.ts";

type Faults = { -readonly [K in keyof Cri]?: Cri[K] };

function setup() {
  const env = new VirtualEnv({ seed: 11 });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const inner = createSimulatedCri({ env, node: "node-1", podCidr: () => "10.244.1.0/24" });
  /** What tests put here goes before the runtime's own. */
  const faults: Faults = {};
  const cri = new Proxy(inner, {
    get(target, name: keyof Cri) {
      if (name === "events") return undefined;
      const own = faults[name] ?? target[name];
      return typeof own === "function" ? own.bind(target) : own;
    },
  });
  const full: { message?: string; volumeBytes?: number; logBytes?: number; layerBytes?: number } = {};
  const left = { volumes: new Set<string>(), cgroups: new Set<string>() };
  const host: NodeHost = {
    cri,
    runtimeName: "containerd",
    runtimeVersion: "1.6.20",
    podCidr: "10.244.1.0/24",
    removeNodeDisk: async () => {},
    imagePolicy: DEFAULT_IMAGE_POLICY,
    machine: { osImage: "Linux", kernelVersion: "6", machineId: "m", bootId: "b", memoryBytes: 2 ** 33 },
    runtime: {
      podLogsDir: "/var/log/pods",
      clusterDomain: "cluster.local",
      linux: { cgroupRoot: "/c", clusterDns: [], hostDns: { servers: [], searches: [], options: [] } },
    },
    real: () => ({
      volumes: {
        setUp: async (pod) => void left.volumes.add(pod.metadata?.uid ?? ""),
        refresh: async () => undefined,
        mounts: async () => [],
        readFile: async () => undefined,
        excess: async () => full.message,
        usage: async () => full.volumeBytes ?? 0,
        terminationMessage: async () => "last words",
        forgetLife: async () => {},
        tearDown: async (uid) => void left.volumes.delete(uid),
        known: async () => [...left.volumes],
      },
      network: {
        http: async () => ({ outcome: "success", output: "" }),
        get: async () => {},
        tcp: async () => ({ outcome: "success", output: "" }),
        grpc: async () => ({ outcome: "success", output: "" }),
      },
      cgroups: {
        apply: async () => {},
        remove: async (uid) => void left.cgroups.delete(uid),
        known: async () => [...left.cgroups],
      },
      logs: {
        removeLife: async () => {},
        usage: async () => full.logBytes ?? 0,
        remove: async () => {},
        known: async () => [],
      },
      services: { hasSynced: () => true, list: () => [] },
      usage: async () => ({ cpuNanos: 0, cpuNanoCores: 0, workingSetBytes: 0, startMs: 0, timeMs: 0 }),
      pullImage: async (image) => void (await cri.pullImage(image)),
      pullRecords: {
        load: async () => ({ intents: [], records: [] }),
        writeIntent: async () => {},
        removeIntent: async () => {},
        writeRecord: async () => {},
        removeRecord: async () => {},
      },
    }),
    writeNetworkConfig: async () => {},
  };
  const start = () => {
    const client = cluster.client("kubelet");
    const recorder = createEventRecorder({ env, client, component: "kubelet" });
    const informers = createInformerFactory({ env, client, logger: silentLogger });
    const stop = new AbortController();
    const deps = {
      env,
      logger: silentLogger,
      metrics: noMetrics,
      client,
      recorder,
      informers,
      nodes: ["node-1"],
      host,
    };
    const running = createKubelet(deps).run(stop.signal);
    return { stop: async () => (stop.abort(), await env.advance(100), await running) };
  };
  const get = (name: string): Pod | undefined => cluster.objects<Pod>(PODS).find((one) => one.metadata?.name === name);
  const status = (name: string): ContainerStatus | undefined => get(name)?.status?.containerStatuses?.[0];
  const ready = (): Node["status"] => cluster.objects<Node>(NODES)[0]?.status;
  const within = (ms: number, done: () => boolean): Promise<boolean> => env.runUntil(done, env.elapsedMs + ms);
  const events = (): string[] => cluster.objects<Event>(EVENTS).map((one) => `${one.reason}: ${one.message}`);
  const create = (name: string, entry: object = {}, spec: Partial<NonNullable<Pod["spec"]>> = {}): void => {
    const annotations = { "coxswain.dev/simulate": JSON.stringify({ c: entry }) };
    cluster.seed(PODS, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", annotations },
      spec: { nodeName: "node-1", restartPolicy: "Always", containers: [{ name: "c", image: "nginx" }], ...spec },
    });
  };
  return { env, cluster, inner, faults, left, full, start, get, status, ready, within, events, create };
}

describe("a kubelet over a runtime that tells nothing by itself", () => {
  test("the last words of a container that is over before it was looked at are told", async () => {
    const { env, start, create, faults, inner, status, within } = setup();
    faults.startContainer = async (id) => {
      await inner.startContainer(id);
      await env.timers.sleep(5_000);
    };
    start();
    create("quick", { exitAfterMs: 100, exitCode: 0 }, { restartPolicy: "Never" });
    expect(await within(60_000, () => status("quick")?.state?.terminated !== undefined)).toBe(true);
    expect(status("quick")?.state?.terminated).toMatchObject({ exitCode: 0, message: "last words" });
  });

  test("adopts what runs, with counts, previous lives, readiness and backoff", async () => {
    const { env, start, create, get, status, within, inner } = setup();
    const first = start();
    create("stays");
    create("crashes", { exitAfterMs: 1_000, exitCode: 3 });
    expect(await within(60_000, () => status("crashes")?.restartCount === 3 && status("stays")?.ready === true)).toBe(
      true,
    );
    const before = status("stays");
    await first.stop();
    const second = start();
    await env.advance(5_000);
    expect(status("stays")).toEqual(before);
    expect(await inner.listPodSandbox()).toHaveLength(2);
    // The fourth wait is twice the third, although nobody remembers the third.
    expect(
      await within(60_000, () => status("crashes")?.state?.waiting?.message?.startsWith("back-off 40s") === true),
    ).toBe(true);
    expect(status("crashes")?.restartCount).toBe(3);
    expect(status("crashes")?.lastState?.terminated).toMatchObject({ exitCode: 3, message: "last words" });
    expect(get("crashes")?.status?.phase).toBe("Running");
    await second.stop();
  });

  test("turns pods away for good that ask for what its runtime cannot give", async () => {
    const { start, create, get, within, inner } = setup();
    const kubelet = start();
    const lifecycle = { stopSignal: "SIGUSR1" };
    create("signal", {}, { containers: [{ name: "c", image: "nginx", lifecycle }] });
    expect(await within(5_000, () => get("signal")?.status?.phase === "Failed")).toBe(true);
    expect(get("signal")?.status).toMatchObject({
      reason: "UnsupportedByRuntime",
      message: "Pod was rejected: lifecycle.stopSignal is not supported by this node's runtime",
    });
    expect(get("signal")?.status?.containerStatuses).toBeUndefined();
    expect(await inner.listPodSandbox()).toEqual([]);
    await kubelet.stop();
  });

  test("evicts a pod whose volume takes more than it may", async () => {
    const { start, create, get, within, full, events, env } = setup();
    const kubelet = start();
    create("greedy", {}, { volumes: [{ name: "work", emptyDir: { sizeLimit: "1Mi" } }] });
    create("modest");
    const phase = (name: string) => get(name)?.status?.phase;
    expect(await within(5_000, () => phase("greedy") === "Running" && phase("modest") === "Running")).toBe(true);
    const message = 'Usage of EmptyDir volume "work" exceeds the limit "1Mi". ';
    full.message = message;
    expect(await within(15_000, () => phase("greedy") === "Failed")).toBe(true);
    expect(get("greedy")?.status).toMatchObject({ reason: "Evicted", message });
    const condition = get("greedy")?.status?.conditions?.find((one) => one.type === "DisruptionTarget");
    expect(condition).toMatchObject({ status: "True", reason: "TerminationByKubelet", message });
    await env.advance(30_000);
    expect(events().filter((one) => one.startsWith("Evicted"))).toEqual([`Evicted: ${message}`]);
    expect(phase("modest")).toBe("Running");
    await kubelet.stop();
  });

  test.each([
    ["what its container wrote", { layerBytes: 2 ** 20 + 1 }],
    ["its logs", { logBytes: 2 ** 20 + 1 }],
    ["its volumes", { volumeBytes: 2 ** 20 + 1 }],
  ])("evicts a pod that takes more of the disk than its limit, for %s", async (_, takes) => {
    const { start, create, get, within, full, faults, inner } = setup();
    faults.containerStats = async (sandbox) =>
      (await inner.containerStats(sandbox)).map((one) => ({ ...one, writableLayerBytes: full.layerBytes ?? 0 }));
    const kubelet = start();
    const resources = { limits: { "ephemeral-storage": "1Mi" } };
    create("greedy", {}, { containers: [{ name: "c", image: "nginx", resources }] });
    create("modest");
    const phase = (name: string) => get(name)?.status?.phase;
    expect(await within(5_000, () => phase("greedy") === "Running" && phase("modest") === "Running")).toBe(true);
    expect(await within(25_000, () => phase("greedy") !== "Running")).toBe(false);
    Object.assign(full, takes);
    expect(await within(15_000, () => phase("greedy") === "Failed")).toBe(true);
    const message = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ";
    expect(get("greedy")?.status).toMatchObject({ reason: "Evicted", message });
    expect(phase("modest")).toBe("Running");
    await kubelet.stop();
  });

  test("says which container takes more than its limit, where the pod's total is not reached", () => {
    const limited = (name: string, limit: string) => ({ name, resources: { limits: { "ephemeral-storage": limit } } });
    const pod: Pod = { spec: { containers: [limited("a", "1Mi"), limited("b", "3M"), { name: "free" }] } };
    const used = (a: number, b: number, free = 0) => new Map(Object.entries({ a, b, free }));
    expect(planStorageExcess(pod, used(2 ** 20, 3e6), 0)).toBeUndefined();
    expect(planStorageExcess(pod, used(2 ** 20 + 1, 0), 0)).toBe(
      'Container a exceeded its local ephemeral storage limit "1Mi". ',
    );
    expect(planStorageExcess(pod, used(0, 3e6 + 1), 0)).toBe(
      'Container b exceeded its local ephemeral storage limit "3M". ',
    );
    expect(planStorageExcess(pod, used(2 ** 20, 3e6, 1), 0)).toBe(
      "Pod ephemeral local storage usage exceeds the total limit of containers 4048576. ",
    );
    expect(planStorageExcess({ spec: { containers: [{ name: "free" }] } }, used(0, 0, 1e12), 1e12)).toBeUndefined();
  });

  test("ends what belongs to no pod, and nothing else", async () => {
    const { env, cluster, start, create, status, within, inner, left } = setup();
    const first = start();
    create("stays");
    create("goes");
    expect(await within(10_000, () => status("stays")?.ready === true && status("goes")?.ready === true)).toBe(true);
    await first.stop();
    await Promise.all([
      cluster.client().delete(PODS, { namespace: "default", name: "goes" }, { gracePeriodSeconds: 0 }),
      env.advance(100),
    ]);
    left.volumes.add("older");
    left.cgroups.add("older");
    const second = start();
    await env.advance(70_000);
    expect(await inner.listPodSandbox()).toHaveLength(1);
    expect(left.volumes.size).toBe(1);
    expect(left.cgroups.size).toBe(0);
    expect(status("stays")?.restartCount).toBe(0);
    await second.stop();
  });

  test("notices a container that vanishes, and a sandbox that dies", async () => {
    const { start, create, status, get, within, inner, events } = setup();
    const { stop } = start();
    create("pod");
    expect(await within(10_000, () => status("pod")?.ready === true)).toBe(true);
    const [container] = await inner.listContainers();
    await inner.removeContainer(container?.id ?? "");
    expect(await within(10_000, () => status("pod")?.restartCount === 1 && status("pod")?.ready === true)).toBe(true);
    expect(status("pod")?.lastState?.terminated?.reason).toBe("ContainerStatusUnknown");
    const ip = get("pod")?.status?.podIP;
    const [sandbox] = await inner.listPodSandbox();
    await inner.stopPodSandbox(sandbox?.id ?? "");
    expect(await within(30_000, () => status("pod")?.restartCount === 2 && status("pod")?.ready === true)).toBe(true);
    expect(events()).toContain("SandboxChanged: Pod sandbox changed, it will be killed and re-created.");
    expect(get("pod")?.status?.podIP).not.toBe(ip);
    await stop();
  });

  test("a call that failed after it was done leaves no second sandbox and no second container", async () => {
    const { start, create, status, within, inner, faults } = setup();
    let sandboxes = 0;
    let containers = 0;
    faults.runPodSandbox = async (config) => {
      const id = await inner.runPodSandbox(config);
      if (sandboxes++ === 0) throw new CriError("DeadlineExceeded", "no answer");
      return id;
    };
    faults.createContainer = async (sandbox, config) => {
      const id = await inner.createContainer(sandbox, config);
      if (containers++ === 0) throw new CriError("DeadlineExceeded", "no answer");
      return id;
    };
    const { stop } = start();
    create("pod");
    expect(await within(60_000, () => status("pod")?.ready === true)).toBe(true);
    expect(await inner.listPodSandbox()).toHaveLength(1);
    expect(await inner.listContainers()).toHaveLength(1);
    await stop();
  });

  test("the node says when its runtime or network is away, and is Ready again by itself", async () => {
    const { env, start, ready, within, faults } = setup();
    const condition = () => ready()?.conditions?.find((one) => one.type === "Ready");
    const message =
      "NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
    faults.status = async () => ({ runtimeReady: true, networkReady: false, message });
    const { stop } = start();
    expect(await within(10_000, () => condition()?.status === "False")).toBe(true);
    expect(condition()).toMatchObject({
      reason: "KubeletNotReady",
      message: `container runtime network not ready: ${message}`,
    });
    delete faults.status;
    expect(await within(2_000, () => condition()?.status === "True")).toBe(true);
    faults.status = () => Promise.reject(new CriError("Unavailable", "no runtime"));
    await env.advance(20_000);
    expect(condition()?.status).toBe("True");
    expect(await within(30_000, () => condition()?.message === "container runtime is down")).toBe(true);
    delete faults.status;
    expect(await within(10_000, () => condition()?.status === "True")).toBe(true);
    await stop();
  });

  test("a preStop hook takes its time out of the grace period, and no more", async () => {
    const { env, cluster, start, create, status, get, within, faults, inner } = setup();
    const graces: number[] = [];
    faults.stopContainer = (id, seconds) => {
      graces.push(seconds);
      return inner.stopContainer(id, seconds);
    };
    const { stop } = start();
    for (const [name, seconds] of [
      ["short", 4],
      ["long", 60],
    ] as const) {
      const lifecycle = { preStop: { sleep: { seconds } } };
      const containers = [{ name: "c", image: "nginx", lifecycle }];
      create(name, {}, { containers, terminationGracePeriodSeconds: 10 });
      expect(await within(10_000, () => status(name)?.ready === true)).toBe(true);
      const beganMs = env.elapsedMs;
      const deleted = cluster.client().delete(PODS, { namespace: "default", name });
      expect(await within(30_000, () => get(name) === undefined)).toBe(true);
      await deleted;
      expect(Math.round((env.elapsedMs - beganMs) / 1000)).toBe(Math.min(seconds, 10));
    }
    expect(graces).toEqual([6, 2]);
    await stop();
  });
});

test("the backoff that a life had waited for is the one before its own", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 0, max: 900 }), (restarts, lateMs) => {
      const waitedMs = restarts === 0 ? 0 : Math.min(300_000, 10_000 * 2 ** (restarts - 1));
      const next = Math.min(300_000, 10_000 * 2 ** restarts);
      expect(planAdoptedBackoff(1_000, 1_000 + waitedMs + lateMs).delayMs).toBe(next);
    }),
  );
});
