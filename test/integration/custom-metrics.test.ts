// Autoscaling by what another server measures: an adapter behind the APIServices custom.metrics.k8s.io and external.metrics.k8s.io,
// asked through the api-server. Numbers of replicas and the wording of failures are upstream's.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { APIService, Event, HorizontalPodAutoscaler, MetricSpec, Pod } from "@coxswain/api";
import { deployment, eventually, type TestCluster, testCluster } from "./cluster-fixture.ts";
import { startMetricsAdapter, type MetricsAdapter } from "./metrics-adapter.ts";

const TIMESTAMP = "2026-01-01T00:00:00Z";
const CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default";
const EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default";
const UNABLE = "the HPA was unable to compute the replica count: ";

let k: TestCluster;
let adapter: MetricsAdapter;

beforeAll(async () => {
  [k, adapter] = await Promise.all([
    testCluster({ nodes: 1, name: "custom-metrics" }),
    startMetricsAdapter("adapter.default.svc"),
  ]);
  const front = { apiVersion: "v1", kind: "Service", metadata: { name: "front" }, spec: { ports: [{ port: 80 }] } };
  await k.apply(JSON.stringify(front));
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
  await adapter?.[Symbol.asyncDispose]();
});

const byPods = (name: string): MetricSpec => ({
  type: "Pods",
  pods: { metric: { name }, target: { type: "AverageValue", averageValue: "20" } },
});
const byObject = (name: string): MetricSpec => ({
  type: "Object",
  object: {
    metric: { name },
    describedObject: { apiVersion: "v1", kind: "Service", name: "front" },
    target: { type: "Value", value: "500m" },
  },
});
const byExternal = (name: string): MetricSpec => ({
  type: "External",
  external: {
    metric: { name, selector: { matchLabels: { shard: "1" } } },
    target: { type: "AverageValue", averageValue: "4" },
  },
});

/** An autoscaler of the Deployment of the same name, without a window on the way down. */
function autoscaler(name: string, metric: MetricSpec): string {
  const spec = {
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
    minReplicas: 1,
    maxReplicas: 4,
    metrics: [metric],
    behavior: { scaleDown: { stabilizationWindowSeconds: 0 } },
  };
  return JSON.stringify({ apiVersion: "autoscaling/v2", kind: "HorizontalPodAutoscaler", metadata: { name }, spec });
}

async function running(name: string, replicas: number): Promise<string[]> {
  await k.apply(deployment({ name, replicas }));
  await k.ok(["wait", "--for=condition=Available", `deployment/${name}`, "--timeout=120s"]);
  const { items } = await k.get<{ items: Pod[] }>(["pods", "-l", `app=${name}`]);
  return items.map(({ metadata }) => metadata?.name ?? "");
}

/** What the autoscaler says once its condition ScalingActive is `status`. */
async function judged(name: string, status: "True" | "False"): Promise<HorizontalPodAutoscaler["status"]> {
  const active = ({ status: found }: HorizontalPodAutoscaler) =>
    found?.conditions?.find(({ type }) => type === "ScalingActive");
  const seen = await eventually(
    () => k.get<HorizontalPodAutoscaler>(["hpa", name]),
    (found) => active(found)?.status === status,
  );
  return seen.status;
}

async function failure(name: string): Promise<{ reason: string | undefined; message: string | undefined }> {
  const status = await judged(name, "False");
  const found = status?.conditions?.find(({ type }) => type === "ScalingActive");
  return { reason: found?.reason, message: found?.message };
}

async function registered(group: string, version: string, versionPriority = 100): Promise<void> {
  const { port, caBundle } = adapter;
  const spec = {
    group,
    version,
    groupPriorityMinimum: 100,
    versionPriority,
    service: { namespace: "default", name: "adapter", port },
    caBundle,
  };
  const name = `${version}.${group}`;
  await k.apply(
    JSON.stringify({ apiVersion: "apiregistration.k8s.io/v1", kind: "APIService", metadata: { name }, spec }),
  );
  await eventually(
    () => k.get<APIService>(["apiservice", name]),
    ({ status }) => status?.conditions?.some(({ type, status: is }) => type === "Available" && is === "True") === true,
  );
}

async function eventOf(name: string, reason: string): Promise<string | undefined> {
  const about = `involvedObject.name=${name},reason=${reason}`;
  const { items } = await eventually(
    () => k.get<{ items: Event[] }>(["events", "--field-selector", about]),
    (found) => found.items.length > 0,
  );
  return items.at(-1)?.message;
}

test("says that there is no such API before an adapter is registered", async () => {
  await running("early", 1);
  await k.apply(autoscaler("early", byPods("requests")));
  expect(await failure("early")).toEqual({
    reason: "FailedGetPodsMetric",
    message: `${UNABLE}unable to get metric requests: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered`,
  });
  await k.ok(["delete", "hpa", "early"]);
  await k.apply(autoscaler("early", byExternal("queue")));
  const selector =
    "&LabelSelector{MatchLabels:map[string]string{shard: 1,},MatchExpressions:[]LabelSelectorRequirement{},}";
  const why = `unable to get external metric default/queue/${selector}: unable to fetch metrics from external metrics API: the server could not find the requested resource (get queue.external.metrics.k8s.io)`;
  expect(await failure("early")).toEqual({ reason: "FailedGetExternalMetric", message: UNABLE + why });
  expect(await eventOf("early", "FailedGetExternalMetric")).toBe(why);
  await k.ok(["delete", "hpa,deployment", "early"]);
});

test("scales by Pods, Object and External metrics", async () => {
  const service = { type: "ExternalName", externalName: "localhost" };
  await k.apply(JSON.stringify({ apiVersion: "v1", kind: "Service", metadata: { name: "adapter" }, spec: service }));
  await Promise.all([registered("custom.metrics.k8s.io", "v1beta2"), registered("external.metrics.k8s.io", "v1beta1")]);
  const [pods] = await Promise.all([running("by-pods", 2), running("by-object", 2), running("by-external", 2)]);
  // 30 of 20 are half more than two pods: 3. Two ready pods of 900m where 500m is wanted: 3.6, so 4. 7 and 5 in parts of 4: 3.
  const measured = (name: string, value: string) => ({ describedObject: { name }, timestamp: TIMESTAMP, value });
  adapter.answer(
    `${CUSTOM}/pods/*/requests`,
    pods.map((name) => measured(name, "30")),
  );
  adapter.answer(`${CUSTOM}/services/front/depth`, [measured("front", "900m")]);
  const queue = ["7", "5"].map((value) => ({ metricName: "queue", metricLabels: {}, timestamp: TIMESTAMP, value }));
  adapter.answer(`${EXTERNAL}/queue`, queue);
  await k.apply(autoscaler("by-pods", byPods("requests")));
  await k.apply(autoscaler("by-object", byObject("depth")));
  await k.apply(autoscaler("by-external", byExternal("queue")));
  const wanted = async (): Promise<string> =>
    k.ok(["get", "deployment", "by-pods", "by-object", "by-external", "-o", "jsonpath={.items[*].spec.replicas}"]);
  await eventually(wanted, (replicas) => replicas === "3 4 3");
  expect(await eventOf("by-pods", "SuccessfulRescale")).toBe("New size: 3; reason: pods metric requests above target");
  expect(await eventOf("by-object", "SuccessfulRescale")).toBe(
    "New size: 4; reason: Service metric depth above target",
  );
  expect((await judged("by-pods", "True"))?.currentMetrics).toMatchObject([
    { type: "Pods", pods: { metric: { name: "requests" }, current: { averageValue: "30" } } },
  ]);
  expect((await judged("by-object", "True"))?.currentMetrics).toMatchObject([
    { type: "Object", object: { describedObject: { name: "front" }, current: { value: "900m" } } },
  ]);
  expect((await judged("by-external", "True"))?.currentMetrics).toMatchObject([
    { type: "External", external: { current: { averageValue: expect.any(String) } } },
  ]);
  expect(adapter.asked).toContain(`${CUSTOM}/pods/*/requests?labelSelector=app%3Dby-pods`);
  expect(adapter.asked).toContain(`${EXTERNAL}/queue?labelSelector=shard%3D1`);
});

test("scales down with an external metric", async () => {
  adapter.answer(`${EXTERNAL}/queue`, [{ metricName: "queue", metricLabels: {}, timestamp: TIMESTAMP, value: "3" }]);
  await k.ok(["patch", "hpa", "by-external", "--type=merge", "-p", '{"spec":{"maxReplicas":5}}']);
  await eventually(
    () => k.ok(["get", "deployment", "by-external", "-o", "jsonpath={.spec.replicas}"]),
    (replicas) => replicas === "1",
  );
});

test("a metric that cannot be had stops scaling and says why", async () => {
  await Promise.all(["no-pods", "no-object", "no-external"].map((name) => running(name, 1)));
  await k.apply(autoscaler("no-pods", byPods("absent")));
  await k.apply(autoscaler("no-object", byObject("absent")));
  await k.apply(autoscaler("no-external", byExternal("absent")));
  const missing = "the server could not find the metric absent";
  const pods = `unable to get metric absent: unable to fetch metrics from custom metrics API: ${missing}`;
  const object = `unable to get metric absent: Service on default front/unable to fetch metrics from custom metrics API: ${missing}`;
  const selector =
    "&LabelSelector{MatchLabels:map[string]string{shard: 1,},MatchExpressions:[]LabelSelectorRequirement{},}";
  const external = `unable to get external metric default/absent/${selector}: unable to fetch metrics from external metrics API: ${missing}`;
  expect(await failure("no-pods")).toEqual({ reason: "FailedGetPodsMetric", message: UNABLE + pods });
  expect(await failure("no-object")).toEqual({ reason: "FailedGetObjectMetric", message: UNABLE + object });
  expect(await failure("no-external")).toEqual({ reason: "FailedGetExternalMetric", message: UNABLE + external });
  const counted = "invalid metrics (1 invalid out of 1), first error is: ";
  expect(await eventOf("no-external", "FailedComputeMetricsReplicas")).toBe(
    `${counted}failed to get absent external metric value: failed to get absent external metric: ${external}`,
  );
  expect(await eventOf("no-object", "FailedComputeMetricsReplicas")).toBe(
    `${counted}failed to get object metric value: ${object}`,
  );
});

test("an adapter that answers with an error is told of as upstream's clients do", async () => {
  adapter.fail(503);
  await running("broken", 1);
  await k.apply(autoscaler("broken", byPods("requests")));
  expect(await failure("broken")).toEqual({
    reason: "FailedGetPodsMetric",
    message: `${UNABLE}unable to get metric requests: unable to fetch metrics from custom metrics API: the server is currently unable to handle the request (get pods.custom.metrics.k8s.io *)`,
  });
  adapter.fail(undefined);
});

test("an adapter's v1beta1 is asked where its APIService has the higher priority", async () => {
  await registered("custom.metrics.k8s.io", "v1beta1", 200);
  const [pod] = await running("older", 1);
  const path = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/default/pods/*/requests";
  adapter.answer(path, [{ describedObject: { name: pod }, timestamp: TIMESTAMP, value: "40" }]);
  await k.apply(autoscaler("older", byPods("requests")));
  await eventually(
    () => k.ok(["get", "deployment", "older", "-o", "jsonpath={.spec.replicas}"]),
    (replicas) => replicas === "2",
  );
  expect(adapter.asked).toContain(`${path}?labelSelector=app%3Dolder`);
});
