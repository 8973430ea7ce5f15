// Pods, nodes and what they refer to, where simulated containers do.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { retryOnConflict } from "./lifecycle.ts";
import { ApiError, at, type Rest, type Thing, type WatchEvent } from "./rest-client.ts";
import { found, gone } from "./shared-cluster.ts";
import { onSpare, SPARE_NODES, SPARE_TOLERATION } from "./spare-nodes.ts";
import { isReady, type Part, pod, readyPods } from "./workload.ts";

const configMaps = conformsShared("ConfigMap API");

configMaps("create then update", async ({ api, namespace }) => {
  const maps = api.resource("v1", "configmaps", await namespace("config"));
  const made = await maps.create({ metadata: { name: "c" }, data: { data: "value" } });
  const updated = await maps.replace({ ...made, data: { data: "value-2" }, immutable: true });
  expect(updated["data"]).toEqual({ data: "value-2" });
  expect(at(await maps.get("c"), "data.data")).toBe("value-2");
});

/** Changes that an immutable object refuses, and those it does not. */
async function walkImmutable(
  c: Parameters<Parameters<typeof configMaps>[1]>[0],
  plural: string,
  kind: string,
): Promise<void> {
  const things = c.api.resource("v1", plural, await c.namespace("immutable"));
  const data = (text: string): Record<string, string> => ({ key: Buffer.from(text).toString("base64") });
  const made = await things.create({ metadata: { name: "i" }, data: data("one") });
  expect((await things.replace({ ...made, data: data("two") }))["data"]).toEqual(data("two"));
  await things.patch("i", { immutable: true });
  const refusal = async (body: object): Promise<string> => {
    const error = await things.patch("i", body).then(
      () => undefined,
      (one: unknown) => one,
    );
    expect(error).toBeInstanceOf(ApiError);
    expect((error as ApiError).code).toBe(422);
    return (error as ApiError).status.message ?? "";
  };
  expect(await refusal({ data: data("three") })).toMatch(
    new RegExp(`^${kind} "i" is invalid: data: Forbidden: field is immutable when \`immutable\` is set$`),
  );
  expect(await refusal({ immutable: false })).toContain(
    "immutable: Forbidden: field is immutable when `immutable` is set",
  );
  expect((await things.patch("i", { metadata: { labels: { l: "v" } } })).metadata.labels).toEqual({ l: "v" });
  expect((await things.get("i"))["data"]).toEqual(data("two"));
  await things.delete("i");
  expect(await found(things.get("i"))).toBeUndefined();
}

configMaps("immutable field enforced", (c) => walkImmutable(c, "configmaps", "ConfigMap"));
const secrets = conformsShared("Secret API");
secrets("immutable field enforced", (c) => walkImmutable(c, "secrets", "Secret"));

secrets("empty key refused", async ({ api, namespace }) => {
  const all = api.resource("v1", "secrets", await namespace("secret"));
  await expect(all.create({ metadata: { name: "s" }, data: { "": "dmFsdWUtMQo=" } })).rejects.toMatchObject({
    code: 422,
    status: { message: expect.stringContaining('data[]: Invalid value: "": a valid config key must consist of') },
  });
});

const runtimeClass = conformsShared("RuntimeClass");

runtimeClass("pod naming a deleted class refused", async ({ api, namespace }) => {
  const ns = await namespace("runtimeclass");
  const classes = api.resource("node.k8s.io/v1", "runtimeclasses");
  await classes.create({ metadata: { name: `deleted-${ns}` }, handler: "runc" });
  await classes.delete(`deleted-${ns}`);
  await gone(() => classes.get(`deleted-${ns}`));
  await expect(
    api.resource("v1", "pods", ns).create(pod("p", {}, { runtimeClassName: `deleted-${ns}` })),
  ).rejects.toMatchObject({
    code: 403,
    status: { message: expect.stringContaining(`RuntimeClass "deleted-${ns}" not found`) },
  });
});

for (const [behaviour, overhead] of [
  ["pod scheduled with Overhead set", { podFixed: { cpu: "10m", memory: "1Mi" } }],
  ["pod scheduled without Overhead", undefined],
] as const) {
  runtimeClass(behaviour, async ({ api, namespace }) => {
    const ns = await namespace("runtimeclass");
    const classes = api.resource("node.k8s.io/v1", "runtimeclasses");
    await classes.create({
      metadata: { name: `class-${ns}` },
      handler: "runc",
      ...(overhead === undefined ? {} : { overhead }),
    });
    const made = await api
      .resource("v1", "pods", ns)
      .create(pod("p", { p: "yes" }, { runtimeClassName: `class-${ns}` }));
    expect(at(made, "spec.overhead")).toEqual(overhead?.podFixed);
    const scheduled = await eventually(
      () => api.resource("v1", "pods", ns).get("p"),
      (now) => at(now, "spec.nodeName") !== undefined,
    );
    expect(at(scheduled, "spec.overhead")).toEqual(overhead?.podFixed);
    await classes.delete(`class-${ns}`);
  });
}

conformsShared("sysctl")("invalid sysctl names refused", async ({ api, namespace }) => {
  const sysctls = [
    { name: "foo-", value: "bar" },
    { name: "kernel.shmmax", value: "100000000" },
    { name: "safe-and-unsafe", value: "100000000" },
    { name: "bar..", value: "42" },
  ];
  const wish = pod("p", {}, { securityContext: { sysctls } });
  const error = await api
    .resource("v1", "pods", await namespace("sysctl"))
    .create(wish)
    .then(
      () => undefined,
      (one: unknown) => one as ApiError,
    );
  expect(error?.code).toBe(422);
  const message = error?.status.message ?? "";
  expect(message).toContain(
    'spec.securityContext.sysctls[0].name: Invalid value: "foo-": must have at most 253 characters and match regex',
  );
  expect(message).toContain('spec.securityContext.sysctls[3].name: Invalid value: "bar.."');
  expect(message).not.toContain("kernel.shmmax");
  expect(message).not.toContain("safe-and-unsafe");
});

const nodes = conformsShared("node");
nodes("Node lifecycle: create/patch/list/update/deletecollection", async ({ api }) => {
  const all = api.resource("v1", "nodes");
  const name = `e2e-fake-node-${process.pid}`;
  const wish = {
    metadata: { name, labels: { fake: name } },
    spec: { unschedulable: true },
    status: {
      phase: "Running",
      conditions: [
        {
          type: "Ready",
          status: "True",
          reason: "E2E",
          message: "Set from a test",
          lastHeartbeatTime: "2035-01-01T00:00:00Z",
        },
      ],
    },
  };
  await all.create(wish);
  expect((await all.get(name)).metadata.labels).toMatchObject({ fake: name });
  const patched = await all.patch(name, { metadata: { labels: { [name]: "patched" } } }, "strategic");
  expect(patched.metadata.labels).toMatchObject({ [name]: "patched" });
  const listed = await all.list({ labelSelector: `${name}=patched` });
  expect(listed.items.map((one) => one.metadata.name)).toEqual([name]);
  const updated = await retryOnConflict(async () => {
    const now = await all.get(name);
    return all.replace({
      ...now,
      metadata: { ...now.metadata, labels: { ...now.metadata.labels, [name]: "updated" } },
    });
  });
  expect(updated.metadata.labels).toMatchObject({ [name]: "updated" });
  await all.deleteCollection({ labelSelector: `${name}=updated` });
  await eventually(
    () => all.list({ labelSelector: `fake=${name}` }),
    ({ items }) => items.length === 0,
  );
});

const pods = conformsShared("pod");

pods("qosClass Guaranteed set on create", async ({ api, namespace }) => {
  const resources = { limits: { cpu: "100m", memory: "100Mi" }, requests: { cpu: "100m", memory: "100Mi" } };
  const made = await api.resource("v1", "pods", await namespace("qos")).create(pod("p", {}, {}, { resources }));
  expect(at(made, "status.qosClass")).toBe("Guaranteed");
});

pods("deletecollection of three", async ({ api, namespace }) => {
  const ns = await namespace("pods");
  const all = api.resource("v1", "pods", ns);
  for (const n of [1, 2, 3]) await all.create(pod(`test-pod-${n}`, { type: "Testing" }));
  await readyPods(api, ns, "type=Testing", 3);
  await all.deleteCollection({ labelSelector: "type=Testing" }, { gracePeriodSeconds: 1 });
  await eventually(
    () => all.list({ labelSelector: "type=Testing" }),
    ({ items }) => items.length === 0,
  );
});

pods("update label", async ({ api, namespace }) => {
  const ns = await namespace("pods");
  const all = api.resource("v1", "pods", ns);
  await all.create(pod("p", { time: "one" }));
  await readyPods(api, ns, "time=one", 1);
  await retryOnConflict(async () => {
    const now = await all.get("p");
    return all.replace({ ...now, metadata: { ...now.metadata, labels: { time: "two" } } });
  });
  expect((await all.list({ labelSelector: "time=two" })).items.map((one) => one.metadata.name)).toEqual(["p"]);
  expect((await all.list({ labelSelector: "time=one" })).items).toEqual([]);
});

pods("patch status", async ({ api, namespace }) => {
  const ns = await namespace("pods");
  const all = api.resource("v1", "pods", ns);
  await all.create(pod("p", { p: "yes" }));
  await readyPods(api, ns, "p=yes", 1);
  const patched = await all.patch(
    "p",
    { status: { message: "Patched by e2e test", reason: "E2E" } },
    "strategic",
    "status",
  );
  expect(patched["status"]).toMatchObject({ message: "Patched by e2e test", reason: "E2E" });
  expect(at(await all.get("p", "status"), "status.phase")).toBe("Running");
});

pods("lifecycle with watch incl. status", async ({ api, namespace }) => {
  const ns = await namespace("pods");
  const all = api.resource("v1", "pods", ns);
  using watch = all.watch({ labelSelector: "test-pod-static=true" });
  const modified = (holds: (object: Thing) => boolean) => (event: WatchEvent) =>
    event.type === "MODIFIED" && event.object.metadata.name === "p" && holds(event.object);
  await all.create(pod("p", { "test-pod-static": "true" }));
  await watch.until("added", (event) => event.type === "ADDED");
  await watch.until(
    "running",
    modified((now) => isReady(now)),
  );
  const body = {
    metadata: { labels: { "test-pod": "patched" } },
    spec: { containers: [{ name: "main", image: "example.test/pause:2" }] },
  };
  const patched = await all.patch("p", body, "strategic");
  expect([patched.metadata.labels?.["test-pod"], at(patched, "spec.containers.0.image")]).toEqual([
    "patched",
    "example.test/pause:2",
  ]);
  await watch.until(
    "patched",
    modified((now) => now.metadata.labels?.["test-pod"] === "patched"),
  );
  const read = await all.get("p", "status");
  expect(read["status"]).toMatchObject({ phase: "Running" });
  await retryOnConflict(async () => {
    const now = await all.get("p", "status");
    const conditions = (at<Part[]>(now, "status.conditions") ?? []).map((one) =>
      one["type"] === "Ready" ? { ...one, status: "False" } : one,
    );
    const replaced = await all.replace({ ...now, status: { ...(now["status"] as object), conditions } }, "status");
    expect(isReady(replaced)).toBe(false);
  });
  await watch.until(
    "the replaced status",
    modified((now) => !isReady(now)),
  );
  await all.deleteCollection({ labelSelector: "test-pod-static=true" });
  await watch.until("deleted", (event) => event.type === "DELETED" && event.object.metadata.name === "p");
});

const eviction = conformsShared("taint eviction");
const TAINT = { key: "kubernetes.io/e2e-evict-taint-key", value: "evictTaintVal", effect: "NoExecute" };
const NODE = SPARE_NODES[0];

/** On the node of its own, for so long after the taint. */
const tolerating = (name: string, tolerationSeconds: number): Part =>
  pod(
    name,
    { evicted: "yes" },
    onSpare(NODE, {
      terminationGracePeriodSeconds: 1,
      tolerations: [SPARE_TOLERATION, { ...TAINT, tolerationSeconds }],
    }),
  );

async function setTaints(api: Rest, change: (now: Part[]) => Part[]): Promise<void> {
  const all = api.resource("v1", "nodes");
  await retryOnConflict(async () => {
    const now = await all.get(NODE);
    const spec = { ...(now["spec"] as Part), taints: change(at<Part[]>(now, "spec.taints") ?? []) };
    return all.replace({ ...now, spec });
  });
}

const taint = (api: Rest): Promise<void> => setTaints(api, (now) => [...now, TAINT]);
const untaint = (api: Rest): Promise<void> => setTaints(api, (now) => now.filter((one) => one["key"] !== TAINT.key));

eviction(
  "NoExecute evicts by tolerationSeconds",
  async ({ api, namespace }) => {
    const ns = await namespace("eviction");
    const all = api.resource("v1", "pods", ns);
    await all.create(tolerating("first", 2));
    await all.create(tolerating("second", 5));
    await readyPods(api, ns, "evicted=yes", 2);
    using watch = all.watch();
    await taint(api);
    try {
      const leaves = (event: WatchEvent): boolean => event.object.metadata.deletionTimestamp !== undefined;
      expect((await watch.until("the first eviction", leaves)).object.metadata.name).toBe("first");
      const next = (event: WatchEvent): boolean => leaves(event) && event.object.metadata.name === "second";
      const { object } = await watch.until("the second eviction", next);
      expect(at(object, "status.conditions")).toContainEqual(
        expect.objectContaining({ type: "DisruptionTarget", status: "True", reason: "DeletionByTaintManager" }),
      );
      await gone(() => all.get("first"));
      await gone(() => all.get("second"));
    } finally {
      await untaint(api);
    }
  },
  { alone: true },
);

eviction(
  "removing taint cancels eviction",
  async ({ api, namespace }) => {
    const ns = await namespace("eviction");
    const all = api.resource("v1", "pods", ns);
    await all.create(tolerating("stays", 20));
    await readyPods(api, ns, "evicted=yes", 1);
    const said = (text: string): Promise<unknown> =>
      eventually(
        () => api.resource("v1", "events", ns).list({ fieldSelector: "involvedObject.name=stays" }),
        ({ items }) =>
          items.some((one) => one["reason"] === "TaintManagerEviction" && String(one["message"]).includes(text)),
      );
    try {
      await taint(api);
      // The api-server has to have shown the taint to whoever evicts before it goes again.
      await all.create(tolerating("goes", 0));
      await eventually(
        () => found(all.get("goes")),
        (now) => now === undefined || now.metadata.deletionTimestamp !== undefined,
      );
    } finally {
      await untaint(api);
    }
    await said(`Cancelling deletion of Pod ${ns}/stays`);
    expect((await all.get("stays")).metadata.deletionTimestamp).toBeUndefined();
  },
  { alone: true },
);
