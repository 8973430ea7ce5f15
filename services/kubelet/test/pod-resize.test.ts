// A pod that runs is given other resources: in place, by a restart where its policy says so, later or never where the node has
// no room; and a kubelet that starts anew knows what was granted.
import { EVENTS, type Event, type Pod, PODS, type ResourceRequirements } from "@coxswain/api";
import { createEventRecorder, createInformerFactory } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { describe, expect, test } from "vitest";
import { createKubelet } from "../src/app.ts";
import { amounts, resourceRefusal } from "../src/pods/admission.ts";
import { type ContainerRecord, newPodState, occupyingState } from "../src/pods/pod-state.ts";
import { memoryRefusal, reportedAllocation, withAllocation } from "../src/pods/plan-resize.ts";

function resourcesOf(cpu: string, memory?: string): ResourceRequirements {
  const amounts = { cpu, ...(memory === undefined ? {} : { memory }) };
  return { requests: amounts, limits: amounts };
}

function pod(name: string, cpu: string, restarts = false, memory?: string): Pod {
  const policy = restarts ? "RestartContainer" : "NotRequired";
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: {
      nodeName: "node-1",
      restartPolicy: "Always",
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: "c",
          image: "nginx",
          resources: resourcesOf(cpu, memory),
          resizePolicy: [{ resourceName: "cpu", restartPolicy: policy }],
        },
      ],
    },
  };
}

function setup() {
  const env = new VirtualEnv({ seed: 11 });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const client = cluster.client("kubelet");
  const recorder = createEventRecorder({ env, client, component: "kubelet" });
  const informers = createInformerFactory({ env, client, logger: silentLogger });
  const options = { capacity: { cpu: "4", memory: "8Gi", pods: "10" } };
  const app = createKubelet({
    env,
    logger: silentLogger,
    metrics: noMetrics,
    client,
    recorder,
    informers,
    nodes: ["node-1"],
    options,
  });
  void app.run(new AbortController().signal);
  const get = (name: string): Pod | undefined => cluster.objects<Pod>(PODS).find((one) => one.metadata?.name === name);
  const status = (name: string) => get(name)?.status?.containerStatuses?.[0];
  const conditions = (name: string): (string | undefined)[][] =>
    (get(name)?.status?.conditions ?? [])
      .filter(({ type }) => type.startsWith("PodResize"))
      .map(({ type, reason, message }) => [type, reason, message]);
  const within = (done: () => boolean, ms = 20_000): Promise<boolean> => env.runUntil(done, env.elapsedMs + ms);
  const runs = (name: string): boolean => status(name)?.ready === true;
  const resize = (name: string, cpu: string, memory?: string): Promise<Pod> => {
    const containers = [{ name: "c", resources: resourcesOf(cpu, memory) }];
    const target = { namespace: "default", name };
    const type = "application/strategic-merge-patch+json";
    return cluster.client().patch<Pod>(PODS, target, type, { spec: { containers } }, { subresource: "resize" });
  };
  const events = (): string[] =>
    cluster.objects<Event>(EVENTS).map((one) => `${one.type} ${one.reason}: ${one.message}`);
  return { cluster, get, status, conditions, within, runs, resize, events };
}

describe("resize", () => {
  test("in place: the container lives on, the status and events tell", async () => {
    const { cluster, status, conditions, within, runs, resize, events } = setup();
    cluster.seed(PODS, pod("p", "500m"));
    expect(await within(() => runs("p"))).toBe(true);
    expect(status("p")).toMatchObject({
      allocatedResources: { cpu: "500m" },
      resources: { limits: { cpu: "500m" }, requests: { cpu: "500m" } },
    });
    const id = status("p")?.containerID;
    void resize("p", "1");
    expect(await within(() => status("p")?.resources?.limits?.["cpu"] === "1" && conditions("p").length === 0)).toBe(
      true,
    );
    expect(status("p")).toMatchObject({ containerID: id, restartCount: 0, allocatedResources: { cpu: "1" } });
    await within(() => events().some((text) => text.includes("ResizeCompleted")));
    const detail =
      '{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"},"limits":{"cpu":"1"}}}],"generation":2}';
    expect(events()).toEqual(
      expect.arrayContaining([
        `Normal ResizeStarted: Pod resize started: ${detail}`,
        `Normal ResizeCompleted: Pod resize completed: ${detail}`,
      ]),
    );
  });

  test("by a restart, where the policy says so", async () => {
    const { cluster, status, conditions, within, runs, resize, events } = setup();
    cluster.seed(PODS, pod("p", "500m", true));
    await within(() => runs("p"));
    void resize("p", "1");
    expect(await within(() => status("p")?.restartCount === 1 && runs("p") && conditions("p").length === 0)).toBe(true);
    expect(status("p")?.resources?.limits).toEqual({ cpu: "1" });
    expect(events()).toContainEqual(expect.stringMatching(/Killing: Container c resize requires restart$/));
  });

  test("more than the node has is infeasible, and taken back changes nothing", async () => {
    const { cluster, status, conditions, within, runs, resize, events } = setup();
    cluster.seed(PODS, pod("p", "500m"));
    await within(() => runs("p"));
    void resize("p", "5");
    const message = "Node didn't have enough capacity: cpu, requested: 5000, capacity: 4000";
    expect(await within(() => conditions("p").length > 0)).toBe(true);
    expect(conditions("p")).toEqual([["PodResizePending", "Infeasible", message]]);
    expect(status("p")).toMatchObject({ allocatedResources: { cpu: "500m" }, resources: { limits: { cpu: "500m" } } });
    expect(
      await within(() => events().some((text) => text.startsWith("Warning ResizeInfeasible: Pod resize Infeasible: "))),
    ).toBe(true);
    void resize("p", "500m");
    expect(await within(() => conditions("p").length === 0)).toBe(true);
  });

  test("a bound of memory below what is in use changes nothing, and is told", async () => {
    const { cluster, status, conditions, within, runs, resize, events } = setup();
    cluster.seed(PODS, pod("p", "500m", false, "1Gi"));
    await within(() => runs("p"));
    void resize("p", "500m", "4Ki");
    expect(await within(() => conditions("p").length > 0)).toBe(true);
    const [[type, reason, message] = []] = conditions("p");
    expect([type, reason]).toEqual(["PodResizeInProgress", "Error"]);
    expect(message).toMatch(
      /^cannot decrease memory limits: \[attempting to set pod memory limit \(4096\) below current usage \(\d+\), attempting to set container "c" memory limit \(4096\) below current usage \(\d+\)\]$/,
    );
    expect(status("p")?.resources?.limits).toEqual({ cpu: "500m", memory: "1Gi" });
    expect(await within(() => events().some((text) => text.startsWith("Warning ResizeError: ")))).toBe(true);
    void resize("p", "500m", "2Gi");
    expect(
      await within(() => status("p")?.resources?.limits?.["memory"] === "2Gi" && conditions("p").length === 0, 60_000),
    ).toBe(true);
  });

  test("what others use now is waited for", async () => {
    const { cluster, get, status, conditions, within, runs, resize } = setup();
    cluster.seed(PODS, pod("p", "1"));
    cluster.seed(PODS, pod("other", "2"));
    await within(() => runs("p") && runs("other"));
    void resize("p", "3");
    expect(await within(() => conditions("p").length > 0)).toBe(true);
    const message = "Node didn't have enough resource: cpu, requested: 3000, used: 2000, capacity: 4000";
    expect(conditions("p")).toEqual([["PodResizePending", "Deferred", message]]);
    void cluster.client().delete(PODS, { namespace: "default", name: "other" });
    expect(await within(() => get("other") === undefined)).toBe(true);
    expect(await within(() => status("p")?.resources?.limits?.["cpu"] === "3", 5_000)).toBe(true);
    expect(conditions("p")).toEqual([]);
  });
});

test("what was granted is read back from the status", () => {
  const wanted = pod("p", "3");
  wanted.status = {
    containerStatuses: [
      {
        name: "c",
        image: "",
        imageID: "",
        ready: true,
        restartCount: 0,
        allocatedResources: { cpu: "1" },
        resources: { limits: { cpu: "1" }, requests: { cpu: "1" } },
      },
    ],
  };
  const granted = withAllocation(wanted, reportedAllocation(wanted));
  expect(granted.spec?.containers[0]?.resources).toEqual({ requests: { cpu: "1" }, limits: { cpu: "1" } });
  expect(wanted.spec?.containers[0]?.resources?.limits).toEqual({ cpu: "3" });
  const fresh = pod("q", "2");
  expect(withAllocation(fresh, reportedAllocation(fresh))).toBe(fresh);
});

test.each([
  ["more than it is granted", "1", "3", "3"],
  ["less than it is granted", "3", "1", "3"],
  ["as much", "2", "2000m", "2"],
])("a pod that still has %s takes the more of the two from others", (_, granted, has, takes) => {
  const state = newPodState(pod("p", granted), 0);
  const [record] = state.containers;
  record!.applied = { requests: { cpu: has }, limits: { cpu: has } };
  // Nothing holds what does not run.
  expect(occupyingState(state)).toBe(state.pod);
  record!.run = { id: "1", state: "running", startedAtMs: 0 } as NonNullable<ContainerRecord["run"]>;
  const taken = occupyingState(state);
  expect(taken.spec?.containers[0]?.resources).toEqual({ requests: { cpu: takes }, limits: { cpu: granted } });
  const allocatable = amounts({ cpu: "4", memory: "8Gi", pods: "10" });
  expect(resourceRefusal(pod("q", "2"), [taken], allocatable)?.reason).toBe(takes === "3" ? "OutOfcpu" : undefined);
});

test.each([
  ["room", [{ container: "c", limit: 200, used: 199 }], undefined],
  [
    "as much in use",
    [{ container: "c", limit: 200, used: 200 }],
    'cannot decrease memory limits: attempting to set container "c" memory limit (200) below current usage (200)',
  ],
  [
    "more in use, and nothing known of another",
    [
      { container: undefined, limit: 300, used: 301 },
      { container: "d", limit: 100, used: undefined },
    ],
    'cannot decrease memory limits: [attempting to set pod memory limit (300) below current usage (301), missing container "d" memory usage]',
  ],
])("a smaller bound of memory with %s", (_, bounds, refusal) => {
  expect(memoryRefusal(bounds)).toBe(refusal);
});
