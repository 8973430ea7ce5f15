// The HorizontalPodAutoscaler controller on the in-memory cluster under virtual time, with metrics APIs that are given.
import {
  API_SERVICES,
  CUSTOM_RESOURCE_DEFINITIONS,
  DEPLOYMENTS,
  HORIZONTAL_POD_AUTOSCALERS,
  NODES,
  type HorizontalPodAutoscaler,
  type MetricSpec,
  type Pod,
} from "@coxswain/api";
import { formatTime, StatusError, type KubeObject } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import { deployment, makeFixture, readyNode, runPods, type Fixture } from "./cluster-fixture.ts";

const MERGE = "application/merge-patch+json";
const NOT_SERVED = "the server could not find the requested resource";
type Answer = object | (() => object);

const CPU: MetricSpec = {
  type: "Resource",
  resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } },
};

function autoscaler(
  name: string,
  spec: Partial<NonNullable<HorizontalPodAutoscaler["spec"]>> = {},
): HorizontalPodAutoscaler {
  return {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name, namespace: "default" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
      minReplicas: 1,
      maxReplicas: 10,
      metrics: [CPU],
      ...spec,
    },
  };
}

/** A Deployment "web" whose pods request 100m each, and metrics APIs of what `answers` has for a path without its query. */
async function setup(replicas = 2) {
  const answers = new Map<string, Answer>();
  const asked: string[] = [];
  const aggregated = {
    read: async (path: string): Promise<unknown> => {
      asked.push(path);
      const answer = answers.get(path.replace(/\?.*/, ""));
      if (answer === undefined) throw new StatusError("NotFound", 404, NOT_SERVED);
      return typeof answer === "function" ? (answer as () => object)() : answer;
    },
  };
  const patient = { nodeMonitorGracePeriodMs: 1e9, nodeStartupGracePeriodMs: 1e9 };
  const options = { cpuInitializationMs: 0, initialReadinessMs: 0, ...patient };
  const fixture = makeFixture({ aggregated, options, measured: true });
  fixture.cluster.seed(NODES, readyNode("node-1", fixture.env.clock.now()));
  fixture.seedNamespace();
  runPods(fixture);
  const web = deployment("web", { replicas });
  const [container] = web.spec!.template.spec!.containers;
  container!.resources = { requests: { cpu: "100m" } };
  fixture.cluster.seed(DEPLOYMENTS, web);
  fixture.start();
  const running = (count: number) => (): boolean =>
    fixture.pods().filter(({ status, metadata }) => status?.phase === "Running" && !metadata?.deletionTimestamp)
      .length === count;
  expect(await fixture.until(running(replicas))).toBe(true);
  const uses = (cpu: string): void => {
    const containers = [{ name: "c", usage: { cpu, memory: "1Mi" } }];
    const timestamp = (): string => formatTime(fixture.env.clock.now());
    answers.set("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods", () => ({
      items: fixture
        .pods()
        .map((pod: Pod) => ({ metadata: pod.metadata, timestamp: timestamp(), window: "15s", containers })),
    }));
  };
  const hpa = (name = "web"): HorizontalPodAutoscaler | undefined =>
    fixture.cluster
      .objects<HorizontalPodAutoscaler>(HORIZONTAL_POD_AUTOSCALERS)
      .find(({ metadata }) => metadata?.name === name);
  const create = (object: HorizontalPodAutoscaler) =>
    fixture.settle(fixture.admin.create(HORIZONTAL_POD_AUTOSCALERS, object));
  return { fixture, answers, asked, uses, hpa, create, running };
}

const conditions = (object: HorizontalPodAutoscaler | undefined): string[] =>
  (object?.status?.conditions ?? []).map(({ type, status, reason }) => `${type}=${status} ${reason}`);

/** Events are written a little later than what they tell of. */
async function hears(fixture: Fixture, reason: string, message: string): Promise<void> {
  const messages = (): (string | undefined)[] => fixture.events(reason).map((one) => one.message);
  await fixture.until(() => messages().includes(message), 10_000);
  expect(messages()).toContain(message);
}

test("a Deployment follows the load of its pods up at once, and down once the window is over", async () => {
  const { fixture, uses, hpa, create, running } = await setup();
  uses("100m");
  await create(autoscaler("web"));
  expect(await fixture.until(running(4))).toBe(true);
  await hears(
    fixture,
    "SuccessfulRescale",
    "New size: 4; reason: cpu resource utilization (percentage of request) above target",
  );
  uses("50m");
  expect(await fixture.until(() => conditions(hpa())[0] === "AbleToScale=True ReadyForNewScale")).toBe(true);
  expect(hpa()?.status).toMatchObject({
    currentReplicas: 4,
    desiredReplicas: 4,
    lastScaleTime: expect.any(String),
    currentMetrics: [
      { type: "Resource", resource: { name: "cpu", current: { averageUtilization: 50, averageValue: "50m" } } },
    ],
  });
  expect(conditions(hpa())).toEqual([
    "AbleToScale=True ReadyForNewScale",
    "ScalingActive=True ValidMetricFound",
    "ScalingLimited=False DesiredWithinRange",
  ]);
  uses("10m");
  expect(await fixture.until(() => conditions(hpa())[0] === "AbleToScale=True ScaleDownStabilized")).toBe(true);
  const heldMs = fixture.env.elapsedMs;
  expect(await fixture.until(running(1), 400_000)).toBe(true);
  expect(fixture.env.elapsedMs - heldMs).toBeGreaterThan(200_000);
  await hears(fixture, "SuccessfulRescale", "New size: 1; reason: All metrics below target");
  // With nothing to change nothing is written.
  await fixture.env.advance(30_000);
  const before = hpa()?.metadata?.resourceVersion;
  await fixture.env.advance(120_000);
  expect(hpa()?.metadata?.resourceVersion).toBe(before);
});

test("what it counts: looks, metrics that were asked, autoscalers and what they want", async () => {
  const { fixture, uses, hpa, create, running } = await setup();
  const name = "horizontal_pod_autoscaler_controller_";
  const figures = async (): Promise<Record<string, number>> =>
    Object.fromEntries(
      Object.entries(await fixture.figures(name)).map(([key, value]) => [key.slice(name.length), value]),
    );
  uses("100m");
  await create(autoscaler("web"));
  expect(await fixture.until(running(4))).toBe(true);
  const settled = (): boolean => conditions(hpa())[0] === "AbleToScale=True ReadyForNewScale";
  uses("50m");
  expect(await fixture.until(settled)).toBe(true);
  await fixture.env.advance(1_000);
  const before = await figures();
  expect(before).toMatchObject({
    num_horizontal_pod_autoscalers: 1,
    'desired_replicas{namespace="default",hpa_name="web"}': 4,
    'reconciliations_total{action="scale_up",error="none"}': 1,
    'reconciliation_duration_seconds_count{action="scale_up",error="none"}': 1,
    // The status tells the replicas before the change until the second look is over.
    'metric_computation_total{action="scale_up",error="none",metric_type="Resource"}': 2,
    'metric_computation_duration_seconds_count{action="scale_up",error="none",metric_type="Resource"}': 2,
  });
  // The scale is a round trip of the virtual network away.
  expect(before['reconciliation_duration_seconds_sum{action="scale_up",error="none"}']).toBeGreaterThan(0);
  expect(before['reconciliations_total{action="none",error="none"}']).toBeGreaterThanOrEqual(1);
  const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "gone" };
  await create(autoscaler("lost", { scaleTargetRef }));
  await create(autoscaler("odd", { scaleTargetRef: { ...scaleTargetRef, apiVersion: "a/b/c" } }));
  const external = { metric: { name: "queue" }, target: { type: "Value", value: "1" } };
  await fixture.settle(
    fixture.admin.patch(HORIZONTAL_POD_AUTOSCALERS, { namespace: "default", name: "web" }, MERGE, {
      spec: { metrics: [CPU, { type: "External", external }] },
    }),
  );
  await fixture.env.advance(1_000);
  const after = await figures();
  expect(after["num_horizontal_pod_autoscalers"]).toBe(3);
  expect(after['reconciliations_total{action="none",error="spec"}']).toBe(1);
  expect(after['reconciliations_total{action="none",error="internal"}']).toBe(2);
  expect(after['metric_computation_total{action="none",error="internal",metric_type="External"}']).toBe(1);
  await fixture.settle(fixture.admin.delete(HORIZONTAL_POD_AUTOSCALERS, { namespace: "default", name: "web" }, {}));
  await fixture.env.advance(1_000);
  const last = await figures();
  expect(last["num_horizontal_pod_autoscalers"]).toBe(2);
  expect(last).not.toHaveProperty('desired_replicas{namespace="default",hpa_name="web"}');
});

test("replicas outside the bounds come back without any metric; 0 replicas switch it off", async () => {
  const { fixture, hpa, create, running } = await setup(6);
  await create(autoscaler("web", { maxReplicas: 3 }));
  expect(await fixture.until(running(3))).toBe(true);
  await hears(fixture, "SuccessfulRescale", "New size: 3; reason: Current number of replicas above Spec.MaxReplicas");
  const target = { namespace: "default", name: "web" };
  const scale = (replicas: number) =>
    fixture.settle(fixture.admin.patch(DEPLOYMENTS, target, MERGE, { spec: { replicas } }));
  await scale(0);
  const off = (): boolean => conditions(hpa()).includes("ScalingActive=False ScalingDisabled");
  expect(await fixture.until(off)).toBe(true);
  await fixture.env.advance(60_000);
  expect(fixture.deployment()?.spec?.replicas).toBe(0);
  await scale(1);
  const patch = { spec: { minReplicas: 2 } };
  await fixture.settle(fixture.admin.patch(HORIZONTAL_POD_AUTOSCALERS, target, MERGE, patch));
  expect(await fixture.until(running(2))).toBe(true);
  await hears(fixture, "SuccessfulRescale", "New size: 2; reason: Current number of replicas below Spec.MinReplicas");
});

describe("what cannot be judged changes nothing, and says why", () => {
  test("no metrics API", async () => {
    const { fixture, hpa, create } = await setup();
    await create(autoscaler("web"));
    const failed = (): boolean => conditions(hpa()).includes("ScalingActive=False FailedGetResourceMetric");
    expect(await fixture.until(failed)).toBe(true);
    const why =
      "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)";
    expect(hpa()?.status?.conditions?.[1]?.message).toBe(`the HPA was unable to compute the replica count: ${why}`);
    await hears(fixture, "FailedGetResourceMetric", why);
    await hears(
      fixture,
      "FailedComputeMetricsReplicas",
      `invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: ${why}`,
    );
    expect(fixture.deployment()?.spec?.replicas).toBe(2);
  });

  test("no target, and a kind that nobody serves", async () => {
    const { fixture, hpa, create } = await setup();
    await create(autoscaler("none", { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "none" } }));
    await create(autoscaler("odd", { scaleTargetRef: { apiVersion: "example.com/v1", kind: "Boat", name: "b" } }));
    const failed = (name: string) => (): boolean => conditions(hpa(name)).includes("AbleToScale=False FailedGetScale");
    expect(await fixture.until(failed("none"))).toBe(true);
    expect(await fixture.until(failed("odd"))).toBe(true);
    await hears(fixture, "FailedGetScale", 'no matches for kind "Boat" in group "example.com"');
    expect(hpa("none")?.status?.conditions?.[0]?.message).toBe(
      `the HPA controller was unable to get the target's current scale: deployments.apps "none" not found`,
    );
  });

  test("two autoscalers for the same pods", async () => {
    const { fixture, uses, hpa, create } = await setup();
    uses("100m");
    await create(autoscaler("a", { maxReplicas: 2 }));
    expect(await fixture.until(() => conditions(hpa("a")).length === 3)).toBe(true);
    await create(autoscaler("b"));
    const ambiguous = (): boolean => conditions(hpa("b")).includes("ScalingActive=False AmbiguousSelector");
    expect(await fixture.until(ambiguous)).toBe(true);
    await hears(
      fixture,
      "AmbiguousSelector",
      "pods by selector app=web are controlled by multiple HPAs: [{a default} {b default}]",
    );
    await fixture.settle(fixture.admin.delete(HORIZONTAL_POD_AUTOSCALERS, { namespace: "default", name: "a" }));
    expect(await fixture.until(() => conditions(hpa("b")).includes("ScalingActive=True ValidMetricFound"))).toBe(true);
  });

  test("one of several metrics stops only the way down", async () => {
    const { fixture, uses, hpa, create, running } = await setup(4);
    const external: MetricSpec = {
      type: "External",
      external: { metric: { name: "queue" }, target: { type: "Value", value: "10" } },
    };
    uses("10m");
    await create(autoscaler("web", { metrics: [CPU, external] }));
    const failed = (): boolean => conditions(hpa()).includes("ScalingActive=False FailedGetExternalMetric");
    expect(await fixture.until(failed)).toBe(true);
    await fixture.env.advance(400_000);
    expect(fixture.deployment()?.spec?.replicas).toBe(4);
    await hears(
      fixture,
      "FailedGetExternalMetric",
      "unable to get external metric default/queue/nil: unable to fetch metrics from external metrics API: the server could not find the requested resource (get queue.external.metrics.k8s.io)",
    );
    uses("100m");
    expect(await fixture.until(running(8))).toBe(true);
    expect(hpa()?.status?.currentMetrics?.map(({ type }) => type)).toEqual(["Resource", ""]);
  });
});

test("pods, object, external and container metrics count, and the greatest decides", async () => {
  const { fixture, answers, asked, uses, hpa, create, running } = await setup();
  uses("50m");
  const base = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/default";
  const timestamp = "2026-01-01T00:00:00Z";
  const custom = {
    group: "custom.metrics.k8s.io",
    version: "v1beta1",
    versionPriority: 100,
    groupPriorityMinimum: 100,
  };
  fixture.cluster.seed(API_SERVICES, {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: "v1beta1.custom.metrics.k8s.io" },
    spec: custom,
  } as KubeObject);
  answers.set(`${base}/pods/*/requests`, () => ({
    items: fixture
      .pods()
      .map(({ metadata }) => ({ describedObject: { name: metadata?.name }, timestamp, value: "30" })),
  }));
  answers.set(`${base}/services/front/depth`, { items: [{ timestamp, value: "900m" }] });
  const external = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue";
  answers.set(external, {
    items: [
      { timestamp, value: "7" },
      { timestamp, value: "5" },
    ],
  });
  const selector = { matchLabels: { shard: "1" } };
  const metrics: MetricSpec[] = [
    {
      type: "Pods",
      pods: { metric: { name: "requests", selector }, target: { type: "AverageValue", averageValue: "20" } },
    },
    {
      type: "Object",
      object: {
        describedObject: { apiVersion: "v1", kind: "Service", name: "front" },
        metric: { name: "depth" },
        target: { type: "Value", value: "1" },
      },
    },
    {
      type: "External",
      external: { metric: { name: "queue", selector }, target: { type: "AverageValue", averageValue: "3" } },
    },
    {
      type: "ContainerResource",
      containerResource: { name: "cpu", container: "c", target: { type: "AverageValue", averageValue: "40m" } },
    },
  ];
  await create(autoscaler("web", { metrics }));
  expect(await fixture.until(running(4))).toBe(true);
  await hears(
    fixture,
    "SuccessfulRescale",
    "New size: 4; reason: external metric queue(&LabelSelector{MatchLabels:map[string]string{shard: 1,},MatchExpressions:[]LabelSelectorRequirement{},}) above target",
  );
  expect(asked).toContain(`${base}/pods/*/requests?labelSelector=app%3Dweb&metricLabelSelector=shard%3D1`);
  expect(asked).toContain(`${external}?labelSelector=shard%3D1`);
  expect(hpa()?.status?.currentMetrics).toMatchObject([
    { type: "Pods", pods: { current: { averageValue: "30" } } },
    { type: "Object", object: { current: { value: "900m" } } },
    { type: "External", external: { current: { averageValue: expect.any(String) } } },
    { type: "ContainerResource", containerResource: { container: "c", current: { averageValue: "50m" } } },
  ]);
});

test("memory is told in binary units, and a container that has no metric by its name", async () => {
  const { fixture, uses, hpa, create, answers } = await setup();
  uses("50m");
  const metrics: MetricSpec[] = [
    { type: "Resource", resource: { name: "memory", target: { type: "AverageValue", averageValue: "1Mi" } } },
  ];
  await create(autoscaler("web", { metrics }));
  const current = (): unknown => hpa()?.status?.currentMetrics?.[0]?.resource?.current.averageValue;
  expect(await fixture.until(() => current() !== undefined)).toBe(true);
  expect(current()).toBe("1Mi");
  answers.clear();
  const target = { type: "AverageValue", averageValue: "40m" };
  const spec = {
    metrics: [{ type: "ContainerResource", containerResource: { name: "cpu", container: "side", target } }],
  };
  await fixture.settle(
    fixture.admin.patch(HORIZONTAL_POD_AUTOSCALERS, { namespace: "default", name: "web" }, MERGE, { spec }),
  );
  await hears(
    fixture,
    "FailedComputeMetricsReplicas",
    `invalid metrics (1 invalid out of 1), first error is: failed to get side container metric value: failed to get cpu usage: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: ${NOT_SERVED} (get pods.metrics.k8s.io)`,
  );
});

test("replicas are written though somebody else writes the target at the same time", async () => {
  const { fixture, uses, create, running } = await setup();
  uses("100m");
  const error = new StatusError("Conflict", 409, "the object has been modified");
  const fault = fixture.cluster.inject({
    verb: "update",
    resource: "deployments",
    subresource: "scale",
    error,
    times: 3,
  });
  await create(autoscaler("web"));
  expect(await fixture.until(running(4))).toBe(true);
  expect(fault.fired).toBe(3);
  expect(fixture.events("FailedRescale")).toEqual([]);
});

test("a behavior slows the way up", async () => {
  const { fixture, uses, hpa, create } = await setup();
  uses("500m");
  const scaleUp = {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [{ type: "Pods", value: 1, periodSeconds: 60 }],
  };
  await create(autoscaler("web", { behavior: { scaleUp } }));
  const limited = (): boolean => conditions(hpa()).includes("ScalingLimited=True ScaleUpLimit");
  expect(await fixture.until(limited)).toBe(true);
  const begun = fixture.env.elapsedMs;
  expect(await fixture.until(() => fixture.deployment()?.spec?.replicas === 5, 300_000)).toBe(true);
  expect(fixture.env.elapsedMs - begun).toBeGreaterThan(110_000);
});

test("a custom resource is scaled where its definition has the subresource", async () => {
  const { fixture, create } = await setup();
  const definition = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "boats.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "boats", kind: "Boat" },
      versions: [{ name: "v1", served: true, storage: true }],
    },
    status: { conditions: [{ type: "Established", status: "True" }] },
  };
  fixture.cluster.seed(CUSTOM_RESOURCE_DEFINITIONS, definition as never);
  await fixture.env.advance(1_000);
  const boats = { group: "example.com", version: "v1", resource: "boats" };
  const boat = { kind: "Boat", metadata: { name: "b", namespace: "default" }, spec: { replicas: 20 } };
  fixture.cluster.seed(boats, boat as never);
  await create(autoscaler("boat", { scaleTargetRef: { apiVersion: "example.com/v1", kind: "Boat", name: "b" } }));
  const replicas = (): unknown => fixture.cluster.objects<typeof boat & KubeObject>(boats)[0]?.spec.replicas;
  expect(await fixture.until(() => replicas() === 10)).toBe(true);
  await hears(fixture, "SuccessfulRescale", "New size: 10; reason: Current number of replicas above Spec.MaxReplicas");
});
