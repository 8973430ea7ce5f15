// ResourceQuota: what counts, what is refused, that it is exact under concurrency and across api-servers, and its status.
import type { Pod, PodCondition, ResourceQuota, ScopedResourceSelectorRequirement } from "@coxswain/api";
import { CUSTOM_RESOURCE_DEFINITIONS, kindForGvk, NAMESPACES, PODS, RESOURCE_QUOTAS, SERVICES } from "@coxswain/api";
import type { CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createQuotaGuard } from "../src/quota/quota-guard.ts";
import { quotaCounts, usageOf } from "../src/quota/usage.ts";
import type { WatchCache } from "../src/watch-cache/watch-cache.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

let first: TestServer;
let second: TestServer;
beforeAll(async () => {
  first = await startTestServer();
  second = await startTestServer({ store: first.store });
});
afterAll(async () => {
  await Promise.all([first.stop(), second.stop()]);
});

const turn = (): Promise<unknown> => new Promise((resolve) => first.env.timers.defer(() => resolve(undefined)));

/** Creates it, and waits until both caches have it. */
async function make<T extends KubeObject>(ref: ResourceRef, object: T): Promise<T> {
  const made = await first.client.create(ref, object);
  const { name = "", namespace = "" } = made.metadata ?? {};
  for (const { api } of [first, second]) while (api.source.get(ref, namespace, name) === undefined) await turn();
  return made;
}

async function namespaceWith(name: string, spec: ResourceQuota["spec"]): Promise<void> {
  await make(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  const metadata = { name: "q", namespace: name };
  await make<ResourceQuota>(RESOURCE_QUOTAS, { apiVersion: "v1", kind: "ResourceQuota", metadata, spec });
}

const pod = (
  namespace: string,
  name: string,
  requests: Record<string, string> = { cpu: "100m" },
  spec: object = {},
): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace },
  spec: { containers: [{ name: "c", image: "i", resources: { requests } }], ...spec },
});
const configMap = (namespace: string, name: string): KubeObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace },
});
const CONFIG_MAPS: ResourceRef = { group: "", version: "v1", resource: "configmaps" };

test("more than there is room for is refused, in upstream's words", async () => {
  await namespaceWith("words", { hard: { pods: "2", "requests.cpu": "250m" } });
  await first.client.create(PODS, pod("words", "a"));
  await first.client.create(PODS, pod("words", "b"));
  await expect(first.client.create(PODS, pod("words", "c"))).rejects.toMatchObject({
    reason: "Forbidden",
    code: 403,
    message:
      'pods "c" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=100m, used: pods=2,requests.cpu=200m, limited: pods=2,requests.cpu=250m',
  });
  await expect(first.client.create(PODS, pod("words", "d", {}))).rejects.toThrow(
    'pods "d" is forbidden: failed quota: q: must specify requests.cpu for: c',
  );
});

test("room that a deletion gives back is there again", async () => {
  await namespaceWith("again", { hard: { configmaps: "1" } });
  await first.client.create(CONFIG_MAPS, configMap("again", "a"));
  await expect(first.client.create(CONFIG_MAPS, configMap("again", "b"))).rejects.toThrow("exceeded quota: q");
  await first.client.delete(CONFIG_MAPS, { namespace: "again", name: "a" });
  await first.client.create(CONFIG_MAPS, configMap("again", "b"));
});

test("exactly as many as there is room for, through two api-servers at once", async () => {
  await namespaceWith("crowd", { hard: { "count/configmaps": "17" } });
  const attempts = Array.from({ length: 60 }, (_, index) => {
    const { client } = index % 2 === 0 ? first : second;
    return client.create(CONFIG_MAPS, configMap("crowd", `c-${index}`));
  });
  const outcomes = await Promise.allSettled(attempts);
  const refused = outcomes.filter((each) => each.status === "rejected");
  expect(outcomes.length - refused.length).toBe(17);
  for (const each of refused) expect(String(each.reason)).toContain("exceeded quota: q");
  const { items } = await first.client.list(CONFIG_MAPS, { namespace: "crowd" });
  expect(items).toHaveLength(17);
});

test("what begins lets nothing through before it knows of all quotas", async () => {
  const known: ResourceQuota = { metadata: { name: "q", namespace: "n" }, spec: { hard: { configmaps: "0" } } };
  let caughtUp = false;
  const cache = {
    throughRv: 1n,
    unready: () => (caughtUp ? undefined : "the watch cache is catching up"),
    caughtUp: () => Promise.resolve(void (caughtUp = true)),
    consistent: () => Promise.resolve(),
    list: (ref: ResourceRef) => (caughtUp && ref.resource === "resourcequotas" ? [{ object: known }] : []),
  };
  const guard = createQuotaGuard(cache as unknown as WatchCache, { now: () => 0 });
  const kind = kindForGvk({ group: "", version: "v1", kind: "ConfigMap" })!;
  const context = { kind, namespace: "n", name: "a", subresource: "" };
  const input = { context, next: configMap("n", "a"), old: undefined, state: new Map() } as unknown as Parameters<
    NonNullable<typeof guard.turn>
  >[0];
  expect(guard.turn?.(input)).toBe("n");
  await guard.ready?.(input);
  expect(() => guard.contribute(input)).toThrow("exceeded quota: q");
});

test("an update that needs more is counted too", async () => {
  await namespaceWith("ports", { hard: { "services.nodeports": "1" } });
  const service = (name: string, type: string): KubeObject & { spec: object } => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "ports" },
    spec: { type, ports: [{ port: 80 }] },
  });
  await first.client.create(SERVICES, service("a", "NodePort"));
  const plain = await first.client.create(SERVICES, service("b", "ClusterIP"));
  const asked = { ...plain, spec: { ...plain.spec, type: "NodePort" } };
  await expect(first.client.update(SERVICES, asked)).rejects.toThrow(
    'services "b" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1',
  );
});

test("custom kinds and kinds of several versions count once each, in its status too", async () => {
  const group = "example.com";
  const plural = "widgets";
  const kind = "Widget";
  const version = { served: true, schema: { openAPIV3Schema: { type: "object" } } };
  await make<CustomResourceDefinition>(CUSTOM_RESOURCE_DEFINITIONS, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural, singular: "widget", kind, listKind: `${kind}List` },
      versions: [
        { ...version, name: "v1", storage: true },
        { ...version, name: "v1beta1", storage: false },
      ],
    },
  });
  const widgets = { group, version: "v1", resource: plural };
  while (first.api.kinds.kindFor(widgets) === undefined) await turn();
  const ofWidgets = "count/widgets.example.com";
  const ofScalers = "count/horizontalpodautoscalers.autoscaling";
  await namespaceWith("custom", { hard: { [ofWidgets]: "2", [ofScalers]: "3" } });
  const metadata = (name: string) => ({ name, namespace: "custom" });
  await first.client.create(widgets, { apiVersion: `${group}/v1`, kind, metadata: metadata("a") });
  const scaler = {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: metadata("h"),
    spec: { maxReplicas: 3, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "d" } },
  };
  await first.client.create({ group: "autoscaling", version: "v2", resource: "horizontalpodautoscalers" }, scaler);
  const used = async () =>
    (await first.client.get<ResourceQuota>(RESOURCE_QUOTAS, { namespace: "custom", name: "q" })).status?.used;
  while ((await used())?.[ofScalers] === "0" || (await used())?.[ofWidgets] !== "1") await turn();
  expect(await used()).toEqual({ [ofWidgets]: "1", [ofScalers]: "1" });
  await first.client.create(widgets, { apiVersion: `${group}/v1`, kind, metadata: metadata("b") });
  const third = first.client.create(widgets, { apiVersion: `${group}/v1`, kind, metadata: metadata("c") });
  await expect(third).rejects.toThrow(
    "exceeded quota: q, requested: count/widgets.example.com=1, used: count/widgets.example.com=2",
  );
});

test("its status tells what is in use", async () => {
  await namespaceWith("status", { hard: { pods: "5", "requests.cpu": "1" } });
  await first.client.create(PODS, pod("status", "a"));
  const read = () => first.client.get<ResourceQuota>(RESOURCE_QUOTAS, { namespace: "status", name: "q" });
  while ((await read()).status?.used?.["pods"] !== "1") await turn();
  expect((await read()).status).toEqual({
    hard: { pods: "5", "requests.cpu": "1" },
    used: { pods: "1", "requests.cpu": "100m" },
  });
});

const KIND = { group: "", resource: "pods" };
const NOW_MS = Date.UTC(2026, 0, 1);
test.each<[string, ResourceQuota["spec"], object, boolean]>([
  ["none", {}, {}, true],
  ["best effort", { scopes: ["BestEffort"] }, {}, false],
  ["not best effort", { scopes: ["NotBestEffort"] }, {}, true],
  ["ends by itself", { scopes: ["Terminating"] }, { activeDeadlineSeconds: 5 }, true],
  ["does not", { scopes: ["Terminating"] }, {}, false],
  [
    "of a class",
    { scopeSelector: { matchExpressions: [{ scopeName: "PriorityClass", operator: "In", values: ["high"] }] } },
    { priorityClassName: "high" },
    true,
  ],
  [
    "of another class",
    { scopeSelector: { matchExpressions: [{ scopeName: "PriorityClass", operator: "In", values: ["high"] }] } },
    { priorityClassName: "low" },
    false,
  ],
])("scope: %s", (_, spec, more, counts) => {
  expect(quotaCounts({ spec }, KIND, pod("n", "p", { cpu: "1" }, more))).toBe(counts);
});

const CLAIMS = { group: "", resource: "persistentvolumeclaims" };
test.each<[string, ScopedResourceSelectorRequirement, object, boolean]>([
  ["of the class it asks for", { scopeName: "VolumeAttributesClass", operator: "In", values: ["gold"] }, {}, true],
  ["of another class", { scopeName: "VolumeAttributesClass", operator: "In", values: ["tin"] }, {}, false],
  [
    "of the class it still has",
    { scopeName: "VolumeAttributesClass", operator: "In", values: ["tin"] },
    { status: { currentVolumeAttributesClassName: "tin" } },
    true,
  ],
  [
    "of the class it is being given",
    { scopeName: "VolumeAttributesClass", operator: "In", values: ["tin"] },
    { status: { modifyVolumeStatus: { targetVolumeAttributesClassName: "tin", status: "InProgress" } } },
    true,
  ],
  ["of any class", { scopeName: "VolumeAttributesClass", operator: "Exists" }, {}, true],
  ["of no class", { scopeName: "VolumeAttributesClass", operator: "Exists" }, { spec: {} }, false],
  [
    "of none, where none is meant",
    { scopeName: "VolumeAttributesClass", operator: "DoesNotExist" },
    { spec: {} },
    true,
  ],
  ["by a scope of pods", { scopeName: "PriorityClass", operator: "Exists" }, {}, false],
])("a claim %s", (_, scope, more, counts) => {
  const claim = { metadata: { name: "c" }, spec: { volumeAttributesClassName: "gold" }, ...more };
  expect(quotaCounts({ spec: { scopeSelector: { matchExpressions: [scope] } } }, CLAIMS, claim)).toBe(counts);
});

test("devices count by class: what is asked for, all that one allocation may hold, and the most of the alternatives", () => {
  const exactly = (deviceClassName: string, count: number) => ({
    deviceClassName,
    allocationMode: "ExactCount",
    count,
  });
  const claim = {
    metadata: { name: "c" },
    spec: {
      devices: {
        requests: [
          { name: "a", exactly: exactly("gpu", 2) },
          { name: "b", exactly: { deviceClassName: "nic", allocationMode: "All" } },
          {
            name: "c",
            firstAvailable: [
              { name: "x", ...exactly("gpu", 1) },
              { name: "y", ...exactly("gpu", 4) },
              { name: "z", ...exactly("tpu", 1) },
            ],
          },
        ],
      },
    },
  };
  const usage = usageOf({ group: "resource.k8s.io", resource: "resourceclaims" }, claim, NOW_MS);
  expect(Object.fromEntries([...usage].map(([name, amount]) => [name, amount.toString()]))).toEqual({
    "count/resourceclaims.resource.k8s.io": "1",
    "gpu.deviceclass.resource.k8s.io/devices": "6",
    "nic.deviceclass.resource.k8s.io/devices": "32",
    "tpu.deviceclass.resource.k8s.io/devices": "1",
  });
});

test("a pod that is over counts as an object and no more", () => {
  const over = { ...pod("n", "p"), status: { phase: "Succeeded" } };
  expect([...usageOf(KIND, over, NOW_MS).keys()]).toEqual(["count/pods"]);
  expect(
    Object.fromEntries([...usageOf(KIND, pod("n", "p"), NOW_MS)].map(([name, amount]) => [name, amount.toString()])),
  ).toEqual({
    "count/pods": "1",
    pods: "1",
    cpu: "100m",
    "requests.cpu": "100m",
  });
});

const amounts = (of: Pod, nowMs = NOW_MS): Record<string, string> =>
  Object.fromEntries([...usageOf(KIND, of, nowMs)].map(([name, amount]) => [name, amount.toString()]));

const RUNNING = { name: "c", image: "i", imageID: "", ready: true, restartCount: 0, started: true };

/** A pod that asks for `asked` CPU and was granted and has `has`. */
function resized(asked: string, has: string, conditions: PodCondition[] = []): Pod {
  const resources = (cpu: string) => ({ requests: { cpu }, limits: { cpu } });
  const status = { ...RUNNING, resources: resources(has), allocatedResources: { cpu: has } };
  return {
    ...pod("n", "p"),
    spec: { containers: [{ name: "c", resources: resources(asked) }] },
    status: { conditions, containerStatuses: [status] },
  };
}

test.each<[string, string, string, PodCondition[], string]>([
  ["less", "1", "2", [], "2"],
  ["more", "3", "2", [], "3"],
  ["more than there can be", "3", "2", [{ type: "PodResizePending", status: "True", reason: "Infeasible" }], "2"],
])("a pod that is to have %s counts for the most of what it asks for and has", (_, asked, has, conditions, counts) => {
  expect(amounts(resized(asked, has, conditions))).toMatchObject({
    cpu: counts,
    "requests.cpu": counts,
    "limits.cpu": counts,
  });
});

test("what is asked for the pod as a whole takes the place of what its containers ask for", () => {
  const whole = { requests: { cpu: "2", memory: "1Gi" }, limits: { cpu: "3" } };
  const spec = { resources: whole, overhead: { cpu: "100m" } };
  expect(amounts(pod("n", "p", { cpu: "100m", "ephemeral-storage": "1Gi" }, spec))).toMatchObject({
    "requests.cpu": "2100m",
    "requests.memory": "1Gi",
    "limits.cpu": "3100m",
    "requests.ephemeral-storage": "1Gi",
  });
});

test("where a pod asks as a whole, its containers need not say what they ask for", async () => {
  await namespaceWith("whole", { hard: { "requests.cpu": "2", "limits.cpu": "4" } });
  const whole = (name: string) =>
    pod("whole", name, {}, { resources: { requests: { cpu: "1500m" }, limits: { cpu: "2" } } });
  await first.client.create(PODS, whole("a"));
  await expect(first.client.create(PODS, whole("b"))).rejects.toThrow(
    "exceeded quota: q, requested: requests.cpu=1500m, used: requests.cpu=1500m, limited: requests.cpu=2",
  );
});

test("the room of a resize is there once the node has given it back, and no more than that is granted", async () => {
  const namespace = "resize";
  await namespaceWith(namespace, { hard: { "requests.cpu": "2" } });
  const made = await first.client.create<Pod>(PODS, pod(namespace, "p", { cpu: "1500m" }));
  const target = { namespace, name: "p" };
  const merge = "application/strategic-merge-patch+json";
  const has = (cpu: string) => {
    const requests = { cpu };
    const containerStatuses = [
      { ...RUNNING, state: { running: {} }, resources: { requests }, allocatedResources: requests },
    ];
    return first.client.patch<Pod>(PODS, target, merge, { status: { containerStatuses } }, { subresource: "status" });
  };
  const resize = (cpu: string) => {
    const containers = [{ name: "c", resources: { requests: { cpu } } }];
    return first.client.patch<Pod>(PODS, target, merge, { spec: { containers } }, { subresource: "resize" });
  };
  await has("1500m");
  expect(made.spec?.containers[0]?.resources?.requests).toEqual({ cpu: "1500m" });
  await expect(resize("2500m")).rejects.toThrow(
    'pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=1500m, limited: requests.cpu=2',
  );
  await resize("500m");
  await expect(first.client.create(PODS, pod(namespace, "next", { cpu: "1" }))).rejects.toThrow(
    "exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=1500m, limited: requests.cpu=2",
  );
  await has("500m");
  await first.client.create(PODS, pod(namespace, "next", { cpu: "1" }));
  const read = () => first.client.get<ResourceQuota>(RESOURCE_QUOTAS, { namespace, name: "q" });
  while ((await read()).status?.used?.["requests.cpu"] !== "1500m") await turn();
});

test("a pod that is stuck on its way out for twice its grace period needs no room any more", () => {
  const leaving = pod("n", "p");
  const deletionTimestamp = new Date(NOW_MS + 30_000).toISOString().replace(".000", "");
  leaving.metadata = { ...leaving.metadata, deletionTimestamp, deletionGracePeriodSeconds: 30 };
  expect(amounts(leaving, NOW_MS + 60_000)).toMatchObject({ pods: "1", "requests.cpu": "100m" });
  expect(amounts(leaving, NOW_MS + 60_001)).toEqual({ "count/pods": "1" });
});

test("the room of a pod that is stuck on its way out is there again", async () => {
  const namespace = "stuck";
  await namespaceWith(namespace, { hard: { pods: "1", "count/pods": "2" } });
  const held = pod(namespace, "held");
  held.metadata!.finalizers = ["example.com/hold"];
  await first.client.create(PODS, held);
  await first.client.delete(PODS, { namespace, name: "held" });
  const refused = async (): Promise<boolean> => {
    try {
      await first.client.create(PODS, pod(namespace, "next"));
      return false;
    } catch (error) {
      if (!String(error).includes("exceeded quota")) throw error;
      return true;
    }
  };
  while (await refused()) await turn();
  await expect(first.client.create(PODS, pod(namespace, "third"))).rejects.toThrow(
    "exceeded quota: q, requested: count/pods=1,pods=1, used: count/pods=2,pods=1, limited: count/pods=2,pods=1",
  );
});
