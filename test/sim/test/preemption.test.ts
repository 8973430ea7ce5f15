// Preemption and anti-affinity while things break: important pods that keep apart push others off full nodes. At each commit a
// pod is bound once, no node is given too much, and no two pods share a node that must not.
import { PRIORITY_CLASSES, type Deployment, type Pod, type PriorityClass } from "@coxswain/api";
import { createSeededRandom } from "@coxswain/env";
import { expect, test } from "vitest";
import { isReady } from "../src/cluster-state.ts";
import { appDeployment, APP_REFS, Driver } from "../src/driver.ts";
import { FaultInjector } from "../src/fault-injector.ts";
import { planFaults } from "../src/fault-plan.ts";
import { World } from "../src/world.ts";

const TROUBLE_MS = 60_000;
const NODES = 3;

/** Nothing promises that its pods stay: preemption may take all of them. */
function app(name: string, spec: Partial<NonNullable<Pod["spec"]>>): Deployment {
  const shape = { name, replicas: NODES, maxSurge: 0, maxUnavailable: NODES, cpu: "800m", readyAfterMs: undefined };
  const made = appDeployment(shape);
  made.spec!.template.spec = { ...made.spec!.template.spec!, ...spec };
  return made;
}

const apart = {
  podAntiAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: [
      { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "high" } } },
    ],
  },
};

const podsOf = (world: World, name: string): Pod[] =>
  world.state.pods.filter((pod) => pod.metadata?.labels?.["app"] === name);

const atWork = (pod: Pod): boolean => pod.status?.phase !== "Succeeded" && pod.status?.phase !== "Failed";

/** Reports who shares a node with a pod that must be alone of its kind there, and victims of the wrong priority. */
function watch(world: World): { preempted: number } {
  const seen = { preempted: 0 };
  world.onChange(({ ref, object }) => {
    if (ref.resource !== "pods" || object === undefined) return;
    const pod = object as Pod;
    const reason = pod.status?.conditions?.find((one) => one.type === "DisruptionTarget")?.reason;
    if (reason === "PreemptionByScheduler") {
      seen.preempted++;
      if ((pod.spec?.priority ?? 0) > 0)
        world.checker.report(world.env.elapsedMs, "preempts-lower", pod.metadata!.name!);
    }
    const bound = podsOf(world, "high").filter((one) => one.spec?.nodeName && atWork(one));
    const nodes = bound.map((one) => one.spec!.nodeName!);
    if (new Set(nodes).size === nodes.length) return;
    world.checker.report(
      world.env.elapsedMs,
      "keeps-apart",
      `pods that must not share a node are on ${nodes.join(", ")}`,
    );
  });
  return seen;
}

async function play(seed: number): Promise<{ world: World; faults: number; preempted: number }> {
  const random = createSeededRandom(seed ^ 0x1f83d9ab);
  const world = new World({ seed, nodes: NODES, maxLatencyMs: [1, 5, 20, 80][random.int(4)]!, capacity: { cpu: "1" } });
  const { env } = world;
  world.startControlPlane();
  world.startNodes();
  const up = (): boolean =>
    [...world.servers.values()].every((server) => server.ready() === undefined) && world.state.nodes.length === NODES;
  expect(await env.runUntil(up, 60_000)).toBe(true);
  const seen = watch(world);
  const { process, client } = world.admin("kubectl", "api-server-1");
  const driver = new Driver(process.env, client);
  const important: PriorityClass = { metadata: { name: "important" }, value: 1000 };
  await Promise.all([client.create(PRIORITY_CLASSES, important), env.advance(5000)]);
  const low = app("low", {});
  const high = app("high", { priorityClassName: "important", affinity: apart });
  await Promise.all([driver.create(APP_REFS.deployments, low), env.advance(15_000)]);

  const injector = new FaultInjector(world);
  const faults = planFaults({
    random,
    fromMs: 0,
    untilMs: TROUBLE_MS,
    busyMs: [0, 1000],
    count: 4 + random.int(8),
    controlPlane: [
      ...world.apiServerNames,
      "scheduler-1",
      "scheduler-2",
      "controller-manager-1",
      "controller-manager-2",
    ],
    apiServers: world.apiServerNames,
    nodePrograms: [...world.nodeNames.map((node) => `kubelet-${node}`), "kube-proxy"],
    nodeFaults: false,
  });
  for (const fault of faults) env.timers.setTimeout(() => injector.inject(fault), fault.atMs);
  const healedMs = Math.max(TROUBLE_MS, ...faults.map((fault) => fault.atMs + fault.forMs));
  const made = driver.create(APP_REFS.deployments, high);
  await env.advance(healedMs);
  await made;
  const done = (): boolean => {
    const ready = podsOf(world, "high").filter(isReady);
    return ready.length === NODES && podsOf(world, "low").every((pod) => !pod.spec?.nodeName);
  };
  if (!(await env.runUntil(done, env.elapsedMs + 180_000))) {
    const where = world.state.pods.map((pod) => `${pod.metadata?.name} on ${pod.spec?.nodeName ?? "no node"}`);
    world.checker.report(env.elapsedMs, "converges", where.join(", "));
  }
  return { world, faults: injector.injected, preempted: seen.preempted };
}

test.each([1, 2, 3])("seed %i: breaks nothing, and is the same run twice", { timeout: 300_000 }, async (seed) => {
  const { world, faults, preempted } = await play(seed);
  expect(world.checker.violations).toEqual([]);
  expect(faults).toBeGreaterThan(0);
  expect(preempted).toBeGreaterThan(0);
  expect((await play(seed)).world.trace.digest()).toBe(world.trace.digest());
});
