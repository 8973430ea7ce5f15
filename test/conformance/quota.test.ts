// What ResourceQuotas count, refuse and give back.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { retryOnConflict } from "./lifecycle.ts";
import { ApiError, at, type Thing } from "./rest-client.ts";
import type { SharedCluster } from "./shared-cluster.ts";
import { pod, replicationController } from "./workload.ts";

const quota = conformsShared("resource quota");

type Amounts = Record<string, string>;

interface Watched {
  readonly namespace: string;
  /** Waits until the quota's status.used has these amounts. */
  readonly used: (amounts: Amounts, name?: string) => Promise<void>;
}

async function withQuota(c: SharedCluster, hard: Amounts, more: object = {}): Promise<Watched> {
  const namespace = await c.namespace("quota");
  await addQuota(c, namespace, "test-quota", hard, more);
  const used = (amounts: Amounts, name = "test-quota"): Promise<void> => usedIs(c, namespace, name, amounts);
  return { namespace, used };
}

async function addQuota(c: SharedCluster, namespace: string, name: string, hard: Amounts, more: object): Promise<void> {
  const quotas = c.api.resource("v1", "resourcequotas", namespace);
  await quotas.create({ metadata: { name }, spec: { hard, ...more } });
  await eventually(
    () => quotas.get(name),
    (now) => at(now, "status.hard") !== undefined && Object.keys(at<object>(now, "status.used") ?? {}).length > 0,
  );
  expect(at(await quotas.get(name), "status.hard")).toEqual(hard);
}

async function usedIs(c: SharedCluster, namespace: string, name: string, amounts: Amounts): Promise<void> {
  await eventually(
    () => c.api.resource("v1", "resourcequotas", namespace).get(name),
    (now) => Object.entries(amounts).every(([key, value]) => at<Amounts>(now, "status.used")?.[key] === value),
    30_000,
  );
}

/** What the server said when it refused. */
async function refusal(asked: Promise<Thing>): Promise<string> {
  try {
    await asked;
  } catch (error) {
    if (error instanceof ApiError && error.code === 403) return error.status.message ?? "";
    throw error;
  }
  throw new Error("was not refused");
}

for (const [behaviour, plural, key, body] of [
  ["ConfigMap counted and released", "configmaps", "configmaps", { data: { a: "b" } }],
  ["Secret counted and released", "secrets", "secrets", { stringData: { a: "b" } }],
] as const) {
  quota(behaviour, async (c) => {
    // A namespace begins with what the cluster itself puts there.
    const { namespace, used } = await withQuota(c, { [key]: "50" });
    const things = c.api.resource("v1", plural, namespace);
    const before = plural === "configmaps" ? 1 : 0;
    await used({ [key]: String(before) });
    await things.create({ metadata: { name: "one" }, ...body });
    await used({ [key]: String(before + 1) });
    await things.delete("one");
    await used({ [key]: String(before) });
  });
}

quota("ReplicationController counted and released", async (c) => {
  const { namespace, used } = await withQuota(c, { replicationcontrollers: "10" });
  const things = c.api.resource("v1", "replicationcontrollers", namespace);
  await used({ replicationcontrollers: "0" });
  await things.create(replicationController("rc", "rc", 0));
  await used({ replicationcontrollers: "1" });
  await things.delete("rc");
  await used({ replicationcontrollers: "0" });
});

quota("Service, NodePort and LB counts enforced and released", async (c) => {
  const hard = { services: "10", "services.nodeports": "1", "services.loadbalancers": "1" };
  const { namespace, used } = await withQuota(c, hard);
  const services = c.api.resource("v1", "services", namespace);
  const make = (name: string, type: string, more: object = {}): Promise<Thing> =>
    services.create({ metadata: { name }, spec: { type, ports: [{ port: 80 }], ...more } });
  await make("cluster-ip", "ClusterIP");
  await make("node-port", "NodePort");
  expect(await refusal(make("balanced", "LoadBalancer"))).toContain(
    "exceeded quota: test-quota, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1",
  );
  await make("balanced", "LoadBalancer", { allocateLoadBalancerNodePorts: false });
  expect(await refusal(make("another", "NodePort"))).toContain("exceeded quota: test-quota");
  await used({ services: "3", "services.nodeports": "1", "services.loadbalancers": "1" });
  for (const name of ["cluster-ip", "node-port", "balanced"]) await services.delete(name);
  await used({ services: "0", "services.nodeports": "0", "services.loadbalancers": "0" });
});

quota("pod requests counted at admission and released", async (c) => {
  const hard = {
    pods: "5",
    cpu: "1",
    memory: "500Mi",
    "ephemeral-storage": "50Gi",
    "requests.example.com/dongle": "3",
  };
  const { namespace, used } = await withQuota(c, hard);
  const pods = c.api.resource("v1", "pods", namespace);
  const make = (name: string, requests: Amounts): Promise<Thing> => {
    const dongle = requests["example.com/dongle"];
    const limits = dongle === undefined ? {} : { limits: { "example.com/dongle": dongle } };
    return pods.create(pod(name, {}, {}, { resources: { requests, ...limits } }));
  };
  const first = { cpu: "500m", memory: "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2" };
  await make("first", first);
  const counted = {
    pods: "1",
    cpu: "500m",
    memory: "252Mi",
    "ephemeral-storage": "30Gi",
    "requests.example.com/dongle": "2",
  };
  await used(counted);
  const rest = { cpu: "600m", memory: "100Mi", "ephemeral-storage": "1Gi" };
  expect(await refusal(make("too-much-cpu", rest))).toContain(
    "exceeded quota: test-quota, requested: cpu=600m, used: cpu=500m, limited: cpu=1",
  );
  expect(await refusal(make("too-many-dongles", { ...rest, cpu: "1m", "example.com/dongle": "2" }))).toContain(
    "requests.example.com/dongle=2",
  );
  expect(await refusal(make("no-requests", {}))).toContain("must specify cpu");
  await pods.patch("first", { metadata: { labels: { changed: "yes" } } });
  await used(counted);
  await pods.delete("first", { gracePeriodSeconds: 0 });
  await used({ pods: "0", cpu: "0", memory: "0", "ephemeral-storage": "0", "requests.example.com/dongle": "0" });
});

quota("BestEffort and NotBestEffort scopes", async (c) => {
  const { namespace, used } = await withQuota(c, { pods: "5" }, { scopes: ["BestEffort"] });
  await addQuota(c, namespace, "not-best-effort", { pods: "5" }, { scopes: ["NotBestEffort"] });
  const pods = c.api.resource("v1", "pods", namespace);
  const none = { pods: "0" };
  await pods.create(pod("best-effort"));
  await used({ pods: "1" });
  await used(none, "not-best-effort");
  await pods.delete("best-effort", { gracePeriodSeconds: 0 });
  await used(none);
  const resources = { requests: { cpu: "5m", memory: "5Mi" }, limits: { cpu: "10m", memory: "10Mi" } };
  await pods.create(pod("burstable", {}, {}, { resources }));
  await used({ pods: "1" }, "not-best-effort");
  await used(none);
  await pods.delete("burstable", { gracePeriodSeconds: 0 });
  await used(none, "not-best-effort");
});

quota("create/list/patch/deletecollection", async (c) => {
  const namespace = await c.namespace("quota");
  const quotas = c.api.resource("v1", "resourcequotas", namespace);
  const labels = { "quota-set": namespace };
  await quotas.create({ metadata: { name: "q", labels }, spec: { hard: { cpu: "500m", memory: "500Mi" } } });
  const everywhere = await c.api.resource("v1", "resourcequotas").list({ labelSelector: `quota-set=${namespace}` });
  expect(everywhere.items.map((one) => one.metadata.name)).toEqual(["q"]);
  const change = { metadata: { labels: { "quota-patched": "true" } }, spec: { hard: { memory: "750Mi" } } };
  expect(await quotas.patch("q", change, "strategic")).toMatchObject({
    metadata: { labels: { ...labels, "quota-patched": "true" } },
    spec: { hard: { cpu: "500m", memory: "750Mi" } },
  });
  await quotas.deleteCollection({ labelSelector: "quota-patched=true" });
  expect((await quotas.list()).items).toEqual([]);
});

quota("quota status update/patch; controller re-syncs status.hard", async (c) => {
  const { namespace } = await withQuota(c, { cpu: "500m", memory: "500Mi" });
  const quotas = c.api.resource("v1", "resourcequotas", namespace);
  const hard = (thing: Thing): Amounts | undefined => at<Amounts>(thing, "status.hard");
  using watch = quotas.watch();
  await retryOnConflict(async () => {
    const now = await quotas.get("test-quota");
    const status = { hard: { cpu: "1", memory: "1Gi" }, used: at(now, "status.used") };
    expect(hard(await quotas.replace({ ...now, status }, "status"))).toEqual(status.hard);
  });
  const resynced = (event: { object: Thing }): boolean => hard(event.object)?.["cpu"] === "500m";
  const changed = (cpu: string) => (event: { object: Thing }) => hard(event.object)?.["cpu"] === cpu;
  await watch.until("the update is seen", changed("1"));
  await watch.until("status.hard follows spec.hard again", resynced);
  await quotas.patch("test-quota", { status: { hard: { cpu: "2", memory: "2Gi" } } }, "merge", "status");
  await watch.until("the patch is seen", changed("2"));
  await watch.until("status.hard follows spec.hard again", resynced);
  expect(at(await quotas.get("test-quota"), "status.hard")).toEqual({ cpu: "500m", memory: "500Mi" });
});

quota("update and delete a quota", async (c) => {
  const namespace = await c.namespace("quota");
  const quotas = c.api.resource("v1", "resourcequotas", namespace);
  await quotas.create({ metadata: { name: "q" }, spec: { hard: { cpu: "1", memory: "500Mi" } } });
  const updated = await retryOnConflict(async () => {
    const now = await quotas.get("q");
    return quotas.replace({ ...now, spec: { hard: { cpu: "2", memory: "1Gi" } } });
  });
  expect(at(updated, "spec.hard")).toEqual({ cpu: "2", memory: "1Gi" });
  expect(at(await quotas.get("q"), "spec.hard")).toEqual({ cpu: "2", memory: "1Gi" });
  await quotas.delete("q");
  await expect(quotas.get("q")).rejects.toMatchObject({ code: 404 });
});
