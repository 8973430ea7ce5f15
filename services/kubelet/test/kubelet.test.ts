// The whole kubelet on the in-memory cluster, under virtual time.
import {
  CONFIG_MAPS,
  EVENTS,
  LEASES,
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  PODS,
  RESOURCE_CLAIMS,
  SECRETS,
  type ContainerStatus,
  type Event,
  type Lease,
  type Node,
  type DeviceResourceClaim,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
} from "@coxswain/api";
import { createEventRecorder, createInformerFactory } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { describe, expect, test } from "vitest";
import { createKubelet, type KubeletDeps } from "../src/app.ts";

function pod(
  name: string,
  spec: Partial<NonNullable<Pod["spec"]>> = {},
  annotations: Record<string, string> = {},
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", annotations },
    spec: {
      nodeName: "node-1",
      restartPolicy: "Always",
      terminationGracePeriodSeconds: 30,
      containers: [{ name: "c", image: "nginx" }],
      ...spec,
    },
  };
}

const simulate = (entry: object): Record<string, string> => ({ "coxswain.dev/simulate": JSON.stringify({ c: entry }) });

function setup(nodes: readonly string[] = ["node-1"], seed = 7) {
  const env = new VirtualEnv({ seed });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const start = (
    simulated: NonNullable<KubeletDeps["options"]>["simulated"] = {},
    { client = cluster.client("kubelet"), logger = silentLogger }: Partial<Pick<KubeletDeps, "client" | "logger">> = {},
  ) => {
    const recorder = createEventRecorder({ env, client, component: "kubelet" });
    const informers = createInformerFactory({ env, client, logger: silentLogger });
    const stop = new AbortController();
    const options = { simulated };
    const base = { env, logger, metrics: noMetrics };
    const app = createKubelet({ ...base, client, recorder, informers, nodes, options });
    return { app, stop, running: app.run(stop.signal) };
  };
  const get = (name: string): Pod | undefined => cluster.objects<Pod>(PODS).find((one) => one.metadata?.name === name);
  const ready = (name: string): boolean =>
    get(name)?.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") ?? false;
  const within = (ms: number, done: () => boolean): Promise<boolean> => env.runUntil(done, env.elapsedMs + ms);
  const events = (): string[] => cluster.objects<Event>(EVENTS).map((one) => `${one.reason}: ${one.message}`);
  const counted = (reason: string): number =>
    cluster.objects<Event>(EVENTS).reduce((sum, one) => sum + (one.reason === reason ? (one.count ?? 1) : 0), 0);
  return { env, cluster, start, get, ready, within, events, counted };
}

describe("kubelet", () => {
  test("an image that was pulled with a secret is pulled anew for a pod that has none", async () => {
    const { env, cluster, start, get, ready, within, counted } = setup();
    const { stop, running } = start();
    const auths = Buffer.from(JSON.stringify({ auths: { "quay.io": { username: "u", password: "p" } } }));
    cluster.seed(SECRETS, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "pull", namespace: "default" },
      type: "kubernetes.io/dockerconfigjson",
      data: { ".dockerconfigjson": auths.toString("base64") },
    });
    const containers = [{ name: "c", image: "quay.io/app:1", imagePullPolicy: "IfNotPresent" }];
    const run = async (name: string, imagePullSecrets: { name: string }[]): Promise<number> => {
      cluster.seed(PODS, pod(name, { containers, imagePullSecrets }));
      expect(await within(10_000, () => ready(name))).toBe(true);
      return counted("Pulling");
    };
    expect(await run("first", [{ name: "pull" }])).toBe(1);
    expect(await run("same", [{ name: "pull" }])).toBe(1);
    expect(await run("other", [])).toBe(2);
    // Now nobody needs a secret any more.
    expect(await run("another", [])).toBe(2);
    expect(get("another")?.status?.phase).toBe("Running");
    stop.abort();
    await env.advance(100);
    await running;
  });

  test("a pull secret that cannot be read is told of once, however many pods wait for it", async () => {
    const { env, cluster, start, ready, within } = setup();
    const asked = Promise.withResolvers<void>();
    const real = cluster.client("kubelet");
    const client: KubeletDeps["client"] = {
      ...real,
      get: async (ref, ...rest) => {
        if (ref.resource !== SECRETS.resource) return real.get(ref, ...rest);
        await asked.promise;
        throw new Error("no answer");
      },
    };
    const told: string[] = [];
    const logger = { ...silentLogger, warn: (_: object, message: string) => void told.push(message) };
    const { stop, running } = start({}, { client, logger });
    const containers = [{ name: "c", image: "quay.io/app:1", imagePullPolicy: "IfNotPresent" }];
    const names = ["a", "b", "c"];
    for (const name of names) cluster.seed(PODS, pod(name, { containers, imagePullSecrets: [{ name: "pull" }] }));
    await env.advance(2_000);
    asked.resolve();
    expect(await within(10_000, () => names.every(ready))).toBe(true);
    expect(told).toEqual(["an image pull secret could not be read"]);
    stop.abort();
    await env.advance(100);
    await running;
  });

  test("registers its node, Ready, with a lease that it renews", async () => {
    const { env, cluster, start, within, events } = setup();
    const { app, stop, running } = start();
    expect(await within(5_000, () => cluster.objects<Lease>(LEASES).length === 1)).toBe(true);
    const node = cluster.objects<Node>(NODES)[0];
    expect(node?.status?.conditions?.map((one) => `${one.type}=${one.status}`)).toEqual([
      "MemoryPressure=False",
      "DiskPressure=False",
      "PIDPressure=False",
      "Ready=True",
    ]);
    expect(node?.metadata?.annotations?.["coxswain.dev/kubelet-grpc"]).toBe("127.0.0.1:10260");
    expect(node?.status?.nodeInfo?.containerRuntimeVersion).toBe("simulated://0.1.0");
    const before = cluster.objects<Lease>(LEASES)[0]?.spec?.renewTime ?? "";
    await env.advance(11_000);
    expect((cluster.objects<Lease>(LEASES)[0]?.spec?.renewTime ?? "") > before).toBe(true);
    expect(events()).toContain("NodeReady: Node node-1 status is now: NodeReady");
    expect(app.checks["node-registration"]?.()).toBeUndefined();
    stop.abort();
    await env.advance(1_000);
    await running;
  });

  test("runs a pod to Ready and tells of each step", async () => {
    const { env, cluster, start, get, ready, within, events } = setup();
    start();
    cluster.seed(PODS, pod("web"));
    expect(await within(10_000, () => ready("web"))).toBe(true);
    await env.advance(2_000);
    const status = get("web")?.status;
    expect(status).toMatchObject({
      phase: "Running",
      podIP: "10.128.1.2",
      hostIP: "127.0.0.1",
      podIPs: [{ ip: "10.128.1.2" }],
    });
    expect(status?.containerStatuses?.[0]).toMatchObject({ ready: true, started: true, restartCount: 0 });
    expect(status?.containerStatuses?.[0]?.containerID).toMatch(/^simulated:\/\/[0-9a-f]{64}$/);
    expect(status?.observedGeneration).toBe(1);
    const steps = events().filter((text) => !/^(Starting|NodeReady):/.test(text));
    expect(steps.map((text) => text.replace(/\d+ms|\d+ bytes/g, "N"))).toEqual([
      'Pulling: Pulling image "nginx"',
      'Pulled: Successfully pulled image "nginx" in N (N including waiting). Image size: N.',
      "Created: Container created",
      "Started: Container started",
    ]);
    cluster.clearCalls();
    await env.advance(60_000);
    expect(cluster.writes().filter((call) => call.ref.resource === "pods")).toEqual([]);
  });

  /** What the API is told of a pod until it is ready: its phase, and what its container waits for. */
  async function toldUntilReady(startMs: number): Promise<string[]> {
    const { cluster, start, ready, within } = setup();
    const latency = { minMs: startMs, maxMs: startMs };
    start({ startLatency: latency, pullLatency: { minMs: 0, maxMs: 0 } });
    await within(5_000, () => cluster.objects<Node>(NODES).length === 1);
    const told: string[] = [];
    cluster.onChange(() => {
      const [seen] = cluster.objects<Pod>(PODS);
      if (seen?.status?.startTime === undefined) return;
      const text = `${seen.status.phase} ${seen.status.containerStatuses?.[0]?.state?.waiting?.reason ?? ""}`.trim();
      if (told.at(-1) !== text) told.push(text);
    });
    cluster.seed(PODS, pod("web"));
    expect(await within(10_000, () => ready("web"))).toBe(true);
    expect(cluster.writes().filter((call) => call.ref.resource === "pods")).toHaveLength(told.length);
    return told;
  }

  test("tells that containers are being made only where that takes a while", async () => {
    expect(await toldUntilReady(100)).toEqual(["Running"]);
    // As a pull and a start of the simulated runtime take together, mostly.
    expect(await toldUntilReady(400)).toEqual(["Running"]);
    expect(await toldUntilReady(600)).toEqual(["Pending ContainerCreating", "Running"]);
  });

  test("deletes gracefully: containers end, then the object goes", async () => {
    const { cluster, start, get, ready, within, events } = setup();
    start();
    cluster.seed(PODS, pod("web"));
    await within(10_000, () => ready("web"));
    const deleted = cluster.client().delete(PODS, { namespace: "default", name: "web" });
    await within(1_000, () => get("web")?.metadata?.deletionGracePeriodSeconds === 30);
    expect(await within(5_000, () => get("web") === undefined)).toBe(true);
    await deleted;
    expect(events()).toContain("Killing: Stopping container c");
  });

  test("a pod that is deleted before it ran has failed, for whoever holds it to count", async () => {
    const { cluster, start, get, within } = setup();
    start();
    const volumes = [{ name: "v", secret: { secretName: "missing" } }];
    const names = ["plain", "uninitialized"];
    const init = { initContainers: [{ name: "i", image: "nginx" }], volumes };
    for (const [at, one] of [pod("plain", { volumes }), pod("uninitialized", init)].entries()) {
      cluster.seed(PODS, {
        ...one,
        metadata: { ...one.metadata, name: names[at]!, finalizers: ["example.com/count"] },
      });
    }
    const waits = (name: string): boolean => get(name)?.status?.containerStatuses?.[0]?.state?.waiting !== undefined;
    expect(await within(10_000, () => names.every(waits))).toBe(true);
    for (const name of names) void cluster.client().delete(PODS, { namespace: "default", name });
    expect(await within(10_000, () => names.every((name) => get(name)?.status?.phase === "Failed"))).toBe(true);
    const [plain, uninitialized] = names.map((name) => get(name)?.status?.containerStatuses?.[0]?.state);
    expect(plain?.terminated).toEqual({
      exitCode: 137,
      reason: "ContainerStatusUnknown",
      message: "The container could not be located when the pod was terminated",
    });
    expect(uninitialized?.waiting?.reason).toBe("PodInitializing");
  });

  test("that a deletion was seen is written with the end of the containers, or where that takes its time before it", async () => {
    const { env, cluster, start, get, ready, within } = setup();
    start();
    cluster.seed(PODS, pod("quick"));
    cluster.seed(PODS, pod("slow", {}, simulate({ ignoresTermination: true })));
    expect(await within(10_000, () => ready("quick") && ready("slow"))).toBe(true);
    await env.advance(2_000);
    const writes: Record<string, number> = { quick: 0, slow: 0 };
    cluster.inject({
      resource: "pods",
      when: ({ verb, subresource, name }) => {
        if (verb === "patch" && subresource === "status") writes[name] = (writes[name] ?? 0) + 1;
        return false;
      },
    });
    for (const name of ["quick", "slow"]) void cluster.client().delete(PODS, { namespace: "default", name });
    const generation = (get("slow")?.metadata?.generation ?? 0) + 1;
    expect(await within(5_000, () => get("quick") === undefined)).toBe(true);
    expect(await within(5_000, () => get("slow")?.status?.observedGeneration === generation)).toBe(true);
    expect(writes).toEqual({ quick: 1, slow: 1 });
  });

  test("restarts what crashes with a backoff that doubles, and tells of it", async () => {
    const { env, cluster, start, get, within, events } = setup();
    start();
    cluster.seed(PODS, pod("crash", {}, simulate({ exitAfterMs: 1_000, exitCode: 3 })));
    const count = (): number => get("crash")?.status?.containerStatuses?.[0]?.restartCount ?? 0;
    const startsAt: number[] = [];
    for (let restart = 1; restart <= 4; restart++) {
      expect(await within(400_000, () => count() === restart)).toBe(true);
      startsAt.push(env.elapsedMs);
    }
    const gaps = startsAt.slice(1).map((at, index) => Math.round((at - startsAt[index]!) / 1000));
    // A second of life, then the wait.
    expect(gaps).toEqual([11, 21, 41]);
    await env.advance(3_000);
    const status = get("crash")?.status?.containerStatuses?.[0];
    expect(status?.state?.waiting?.reason).toBe("CrashLoopBackOff");
    const uid = get("crash")?.metadata?.uid;
    expect(status?.state?.waiting?.message).toBe(
      `back-off 1m20s restarting failed container=c pod=crash_default(${uid})`,
    );
    expect(status?.lastState?.terminated).toMatchObject({ exitCode: 3, reason: "Error" });
    expect(events()).toContain(`BackOff: Back-off restarting failed container c in pod crash_default(${uid})`);
  });

  test("a failing liveness probe restarts the container, a readiness probe keeps it from being Ready", async () => {
    const { cluster, start, get, ready, within, events } = setup();
    start();
    const probe = { httpGet: { port: 80 }, periodSeconds: 1, failureThreshold: 2 };
    const container = { name: "c", image: "nginx", livenessProbe: probe, readinessProbe: probe };
    const entry = { readyAfterMs: 4_000, livenessFailsAfterMs: 8_000 };
    cluster.seed(PODS, pod("probed", { containers: [container] }, simulate(entry)));
    expect(await within(10_000, () => get("probed")?.status?.phase === "Running")).toBe(true);
    expect(ready("probed")).toBe(false);
    expect(await within(6_000, () => ready("probed"))).toBe(true);
    expect(await within(20_000, () => get("probed")?.status?.containerStatuses?.[0]?.restartCount === 1)).toBe(true);
    const told = events();
    expect(told).toContain("Killing: Container c failed liveness probe, will be restarted");
    expect(told).toContain("Unhealthy: Liveness probe failed: simulated: the container is not alive");
  });

  test("init containers and sidecars come first, a job's pod ends as Succeeded", async () => {
    const { cluster, start, get, within } = setup();
    start();
    const initContainers = [
      { name: "first", image: "busybox", command: ["sleep", "2"] },
      { name: "side", image: "busybox", restartPolicy: "Always" },
    ];
    const containers = [{ name: "c", image: "busybox", command: ["sleep", "3"] }];
    cluster.seed(PODS, pod("job", { restartPolicy: "Never", initContainers, containers }));
    const init = (): string | undefined =>
      get("job")?.status?.conditions?.find((c) => c.type === "Initialized")?.message;
    expect(await within(2_000, () => init() === "containers with incomplete status: [first side]")).toBe(true);
    expect(await within(5_000, () => get("job")?.status?.phase === "Running")).toBe(true);
    expect(await within(6_000, () => get("job")?.status?.phase === "Succeeded")).toBe(true);
    const side = (): object | undefined => get("job")?.status?.initContainerStatuses?.[1]?.state?.terminated;
    expect(await within(3_000, () => side() !== undefined)).toBe(true);
  });

  test("waits for what a pod names: ConfigMaps, images, volumes", async () => {
    const { cluster, start, get, ready, within, events } = setup();
    start();
    const envFrom = [{ configMapRef: { name: "settings" } }];
    cluster.seed(PODS, pod("env", { containers: [{ name: "c", image: "nginx", envFrom }] }));
    cluster.seed(PODS, pod("image", { containers: [{ name: "c", image: "invalid/app" }] }));
    cluster.seed(PODS, pod("name", { containers: [{ name: "c", image: "Not OK" }] }));
    cluster.seed(PODS, pod("volume", { volumes: [{ name: "v", secret: { secretName: "keys" } }] }));
    const waiting = (name: string) => get(name)?.status?.containerStatuses?.[0]?.state?.waiting;
    const reason = (name: string, is: string) => within(15_000, () => waiting(name)?.reason === is);
    expect(await reason("env", "CreateContainerConfigError")).toBe(true);
    expect(waiting("env")?.message).toBe('configmap "settings" not found');
    expect(await reason("image", "ImagePullBackOff")).toBe(true);
    expect(await reason("name", "InvalidImageName")).toBe(true);
    expect(waiting("volume")?.reason).toBe("ContainerCreating");
    expect(events()).toContain('FailedMount: MountVolume.SetUp failed for volume "v" : secret "keys" not found');
    cluster.seed(CONFIG_MAPS, { metadata: { name: "settings", namespace: "default" }, data: { A: "b" } });
    cluster.seed(SECRETS, { metadata: { name: "keys", namespace: "default" }, data: {} });
    expect(await within(30_000, () => ready("env") && ready("volume"))).toBe(true);
  });

  test("image volumes are pulled, and keep back those that mount them", async () => {
    const { cluster, start, get, within, events } = setup();
    start();
    const mounting = (name: string, ...volumes: string[]) => ({
      name,
      image: "nginx",
      volumeMounts: volumes.map((volume) => ({ name: volume, mountPath: `/${volume}`, readOnly: volume === "good" })),
    });
    const image = (name: string, reference: string) => ({ name, image: { reference, pullPolicy: "Always" } });
    const volumes = [image("good", "registry.example/data:1"), image("bad", "invalid/data:1"), image("odd", "Not OK")];
    const containers = [mounting("c", "good"), mounting("d", "good", "bad"), mounting("e", "odd")];
    cluster.seed(PODS, pod("data", { containers, volumes }));
    const status = (name: string) => get("data")?.status?.containerStatuses?.find((one) => one.name === name);
    expect(await within(15_000, () => status("d")?.state?.waiting?.reason === "ImagePullBackOff")).toBe(true);
    expect(status("d")?.state?.waiting?.message).toMatch(
      /^Back-off pulling image "invalid\/data:1": ErrImagePull: rpc error: code = NotFound desc = failed to pull/,
    );
    expect(status("c")?.state?.running).toBeDefined();
    expect(status("e")?.state?.waiting?.reason).toBe("InvalidImageName");
    expect(status("d")?.volumeMounts).toEqual([
      { name: "good", mountPath: "/good", readOnly: true, recursiveReadOnly: "Disabled" },
      { name: "bad", mountPath: "/bad" },
    ]);
    const told = events();
    for (const event of [
      'Pulling: Pulling image "registry.example/data:1"',
      'Failed: Failed to pull image "invalid/data:1": rpc error: code = NotFound desc = ',
      'InspectFailed: Failed to apply default image tag "Not OK": ',
      "Failed: Error: ErrImagePull",
      "Failed: Error: InvalidImageName",
      'BackOff: Back-off pulling image "invalid/data:1"',
      "Failed: Error: ImagePullBackOff",
    ])
      expect(told.some((one) => one.startsWith(event))).toBe(true);
    // Three containers, one look at each volume: and none at what waits for its time.
    expect(told.filter((one) => one.includes('Pulling image "registry.example/data:1"'))).toHaveLength(1);
  });

  test("a pod that does not fit is refused", async () => {
    const { cluster, start, get, within } = setup();
    start();
    const resources = { requests: { cpu: "5" } };
    cluster.seed(PODS, pod("big", { containers: [{ name: "c", image: "nginx", resources }] }));
    expect(await within(5_000, () => get("big")?.status?.phase === "Failed")).toBe(true);
    expect(get("big")?.status).toMatchObject({
      reason: "OutOfcpu",
      message: "Pod was rejected: Node didn't have enough resource: cpu, requested: 5000, used: 0, capacity: 4000",
    });
  });

  test("a pod for other nodes is refused; a label that the pod was scheduled by counts at once", async () => {
    const { cluster, start, get, ready, within, events } = setup();
    start();
    expect(await within(5_000, () => cluster.objects<Node>(NODES).length === 1)).toBe(true);
    const client = cluster.client();
    const labels = { metadata: { labels: { disk: "ssd" } } };
    void client.patch(NODES, { name: "node-1" }, "application/merge-patch+json", labels);
    cluster.seed(PODS, pod("elsewhere", { nodeSelector: { disk: "hdd" } }));
    cluster.seed(PODS, pod("here", { nodeSelector: { disk: "ssd" } }));
    expect(await within(5_000, () => get("elsewhere")?.status?.phase === "Failed" && ready("here"))).toBe(true);
    expect(get("elsewhere")?.status).toMatchObject({
      reason: "NodeAffinity",
      message: "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    });
    expect(events()).toContain(
      "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    );
  });

  test("a new image restarts its container, whatever the pod's policy", async () => {
    const { cluster, start, get, ready, within, events } = setup();
    start();
    const containers = [
      { name: "c", image: "nginx:1" },
      { name: "other", image: "nginx:1" },
    ];
    cluster.seed(PODS, pod("swap", { restartPolicy: "Never", containers }));
    expect(await within(10_000, () => ready("swap"))).toBe(true);
    const patch = { spec: { containers: [{ name: "c", image: "nginx:2" }] } };
    const target = { namespace: "default", name: "swap" };
    void cluster.client().patch(PODS, target, "application/strategic-merge-patch+json", patch);
    const status = (name: string) => get("swap")?.status?.containerStatuses?.find((one) => one.name === name);
    expect(await within(60_000, () => status("c")?.restartCount === 1 && ready("swap"))).toBe(true);
    expect(status("c")?.image).toBe("nginx:2");
    expect(status("other")?.restartCount).toBe(0);
    expect(events()).toContain("Killing: Container c definition changed, will be restarted");
    expect(get("swap")?.status?.phase).toBe("Running");
  });

  test("after a restart of the process pods recover by themselves, and what was deleted goes", async () => {
    const { env, cluster, start, get, ready, within } = setup();
    const first = start();
    cluster.seed(PODS, pod("stays"));
    cluster.seed(PODS, pod("goes"));
    expect(await within(10_000, () => ready("stays") && ready("goes"))).toBe(true);
    first.stop.abort();
    await env.advance(5_000);
    await first.running;
    const deleted = cluster.client().delete(PODS, { namespace: "default", name: "goes" });
    await env.advance(5_000);
    await deleted;
    expect(get("goes")).toBeDefined();
    start();
    expect(await within(10_000, () => get("goes") === undefined)).toBe(true);
    const status = (): ContainerStatus | undefined => get("stays")?.status?.containerStatuses?.[0];
    expect(await within(10_000, () => status()?.restartCount === 1 && ready("stays"))).toBe(true);
    expect(status()?.lastState?.terminated).toMatchObject({ exitCode: 137, reason: "ContainerStatusUnknown" });
  });

  test("200 nodes in one process: all Ready, their pods running, with few calls", async () => {
    const names = Array.from({ length: 200 }, (_, at) => `node-${at + 1}`);
    const { cluster, start, within } = setup(names);
    start();
    for (const nodeName of names) for (const at of [1, 2]) cluster.seed(PODS, pod(`${nodeName}-${at}`, { nodeName }));
    const running = (): boolean => cluster.objects<Pod>(PODS).every((one) => one.status?.phase === "Running");
    expect(await within(20_000, () => cluster.objects(LEASES).length === 200)).toBe(true);
    expect(await within(20_000, running)).toBe(true);
    // Pods, nodes, and volumes on their disks.
    expect(cluster.openWatches).toBe(3);
    const ips = cluster.objects<Pod>(PODS).map((one) => one.status?.podIP);
    expect(new Set(ips).size).toBe(400);
    // Each pod has one news, but for the few whose image takes the longest.
    expect(cluster.writes().filter(({ ref }) => ref.resource === "pods").length).toBeLessThan(1.05 * 400);
  });
});

describe("claims on simulated nodes", () => {
  const claim = (name: string, phase: string) => ({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name, namespace: "default", uid: `uid-${name}` },
    spec: { accessModes: ["ReadWriteOnce"], volumeName: `pv-${name}` },
    status: { phase },
  });
  const volumes = (claimName: string) => ({
    volumes: [{ name: "data", persistentVolumeClaim: { claimName } }],
    containers: [{ name: "c", image: "nginx", volumeMounts: [{ name: "data", mountPath: "/d" }] }],
  });

  test("a pod starts once its claim is bound, and says before what it waits for", async () => {
    const { cluster, start, ready, within, events } = setup();
    cluster.seed(PERSISTENT_VOLUME_CLAIMS, claim("data", "Pending"));
    cluster.seed(PODS, pod("web", volumes("data")));
    start();
    const waits =
      "FailedMount: Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: error processing PVC default/data: PVC is not bound";
    expect(await within(20_000, () => events().includes(waits))).toBe(true);
    expect(ready("web")).toBe(false);
    const [stored] = cluster.objects<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS);
    const claimRef = { namespace: "default", name: "data", uid: stored?.metadata?.uid ?? "" };
    cluster.seed(PERSISTENT_VOLUMES, {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: "pv-data" },
      spec: { hostPath: { path: "/data" }, claimRef },
    });
    const client = cluster.client();
    const write = client.update(
      PERSISTENT_VOLUME_CLAIMS,
      { ...stored!, status: { phase: "Bound" } },
      { subresource: "status" },
    );
    expect(await within(30_000, () => ready("web"))).toBe(true);
    await write;
  });

  test("gives up volumes on its own node's disk, and leaves those of other nodes alone", async () => {
    const { env, cluster, start, within } = setup();
    const disk = (name: string, node: string) => ({
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: {
        name,
        labels: { "coxswain.dev/node": node },
        finalizers: ["example.test/other", "coxswain.dev/node-disk"],
      },
      spec: { hostPath: { path: "/x" } },
    });
    for (const [name, node] of [
      ["mine", "node-1"],
      ["theirs", "node-2"],
      ["staying", "node-1"],
    ] as const) {
      cluster.seed(PERSISTENT_VOLUMES, disk(name, node));
    }
    start();
    await env.advance(2_000);
    const client = cluster.client();
    const deleted = Promise.all(["mine", "theirs"].map((name) => client.delete(PERSISTENT_VOLUMES, { name })));
    const finalizers = (name: string): string[] | undefined =>
      cluster.objects<PersistentVolume>(PERSISTENT_VOLUMES).find((one) => one.metadata?.name === name)?.metadata
        ?.finalizers;
    expect(await within(20_000, () => finalizers("mine")?.length === 1)).toBe(true);
    expect(finalizers("mine")).toEqual(["example.test/other"]);
    await env.advance(5_000);
    expect(finalizers("theirs")).toHaveLength(2);
    expect(finalizers("staying")).toHaveLength(2);
    await deleted;
  });
});

describe("claims of devices on simulated nodes", () => {
  const at = (name: string) => ({ namespace: "default", name });

  test("a pod starts once its claim is allocated and reserved for it, and says before what it waits for", async () => {
    const { cluster, start, get, ready, within, events } = setup();
    cluster.seed(PODS, pod("web", { resourceClaims: [{ name: "gpu", resourceClaimName: "gpu" }] }));
    start();
    const told = (what: string): boolean =>
      events().includes(
        `FailedPrepareDynamicResources: Failed to prepare dynamic resources: prepare dynamic resources: ${what}`,
      );
    const missing = 'fetch ResourceClaim gpu: resourceclaims.resource.k8s.io "gpu" not found';
    expect(await within(20_000, () => told(missing))).toBe(true);
    const claim = cluster.seed<DeviceResourceClaim>(RESOURCE_CLAIMS, {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceClaim",
      metadata: at("gpu"),
      spec: {},
    });
    const uid = get("web")?.metadata?.uid ?? "";
    const foreign = `pod web (${uid}) is not allowed to use ResourceClaim gpu (${claim.metadata?.uid})`;
    expect(await within(20_000, () => told(foreign))).toBe(true);
    const update = (status: object) =>
      cluster
        .client()
        .patch(RESOURCE_CLAIMS, at("gpu"), "application/merge-patch+json", { status }, { subresource: "status" });
    void update({ reservedFor: [{ resource: "pods", name: "web", uid }] });
    expect(await within(20_000, () => told("ResourceClaim gpu: not allocated"))).toBe(true);
    expect(ready("web")).toBe(false);
    void update({ allocation: { devices: { results: [] } } });
    expect(await within(20_000, () => ready("web"))).toBe(true);
  });
});
