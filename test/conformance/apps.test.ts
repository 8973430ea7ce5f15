// Workloads on simulated nodes: their scale and status subresources, collections, rollouts and budgets.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { retryOnConflict } from "./lifecycle.ts";
import { at, namesOf, type Resource, type Rest, type Thing, type WatchEvent } from "./rest-client.ts";
import { gone } from "./shared-cluster.ts";
import { type Part, pod, podSpec, readyPods, replicationController, workload } from "./workload.ts";

const APPS = "apps/v1";
const named =
  (type: string, name: string, holds: (object: Thing) => boolean = () => true) =>
  (event: WatchEvent): boolean =>
    event.type === type && event.object.metadata.name === name && holds(event.object);

const image = (thing: Thing, path = "spec.template.spec.containers.0.image"): unknown => at(thing, path);

/** Waits until the workload's controller reports `count` ready replicas of the current generation. */
function settled(resource: Resource, name: string, count: number, path = "status.readyReplicas"): Promise<Thing> {
  return eventually(
    () => resource.get(name),
    (now) => (at<number>(now, path) ?? 0) === count && at(now, "status.observedGeneration") === now.metadata.generation,
  );
}

/** The scale subresource read, replaced and patched; the pods follow. */
async function walkScale(resource: Resource, name: string): Promise<void> {
  // A count that the controller writes in between would be a conflict.
  await settled(resource, name, 1);
  const scale = await resource.get(name, "scale");
  expect(scale).toMatchObject({ kind: "Scale", apiVersion: "autoscaling/v1", spec: { replicas: 1 } });
  const replaced = await resource.replace({ ...scale, spec: { replicas: 2 } }, "scale");
  expect(at(replaced, "spec.replicas")).toBe(2);
  expect(at(await resource.get(name), "spec.replicas")).toBe(2);
  await settled(resource, name, 2);
  expect(at(await resource.get(name, "scale"), "status.replicas")).toBe(2);
  const patched = await resource.patch(name, { spec: { replicas: 4 } }, "merge", "scale");
  expect(at(patched, "spec.replicas")).toBe(4);
  expect(at(await resource.get(name), "spec.replicas")).toBe(4);
}

/** A condition of the tester's own, by update and by patch of the status; a watch sees both. */
async function walkStatus(resource: Resource, name: string, label: string): Promise<void> {
  using watch = resource.watch({ labelSelector: label });
  const read = await resource.get(name, "status");
  expect(read).toMatchObject({ metadata: { name }, status: expect.anything() });
  const condition = { type: "StatusUpdate", status: "True", reason: "E2E", message: "Set from e2e test" };
  const has = (reason: string) => (object: Thing) =>
    (at<{ type: string; reason: string }[]>(object, "status.conditions") ?? []).some((one) => one.reason === reason);
  await retryOnConflict(async () => {
    const now = await resource.get(name, "status");
    const conditions = [...(at<object[]>(now, "status.conditions") ?? []), condition];
    const updated = await resource.replace({ ...now, status: { ...(now["status"] as object), conditions } }, "status");
    expect(has("E2E")(updated)).toBe(true);
  });
  await watch.until("the updated status", named("MODIFIED", name, has("E2E")));
  const conditions = [{ ...condition, type: "StatusPatched", reason: "Patched" }];
  const patched = await resource.patch(name, { status: { conditions } }, "merge", "status");
  expect(has("Patched")(patched)).toBe(true);
  await watch.until("the patched status", named("MODIFIED", name, has("Patched")));
}

async function deleteCollection(resource: Resource, labelSelector: string): Promise<void> {
  await resource.deleteCollection({ labelSelector });
  await eventually(
    () => resource.list({ labelSelector }),
    ({ items }) => items.length === 0,
  );
}

const sets = conformsShared("ReplicaSet");

sets("list by label, deletecollection", async ({ api, namespace }) => {
  const ns = await namespace("rs");
  const replicaSets = api.resource(APPS, "replicasets", ns);
  await replicaSets.create(workload("rs", `rs-${ns}`, { replicas: 3 }));
  await settled(replicaSets, "rs", 3);
  const selector = `app=rs-${ns}`;
  const listed = await api.resource(APPS, "replicasets").list({ labelSelector: selector });
  expect(listed.items.map((one) => one.metadata.name)).toEqual(["rs"]);
  await deleteCollection(replicaSets, selector);
});

sets("replace and patch, replicas follow", async ({ api, namespace }) => {
  const ns = await namespace("rs");
  const replicaSets = api.resource(APPS, "replicasets", ns);
  await replicaSets.create(workload("rs", "rs", { replicas: 1 }));
  await readyPods(api, ns, "app=rs", 1);
  await walkScale(replicaSets, "rs");
  await readyPods(api, ns, "app=rs", 4);
  const template = {
    spec: { containers: [{ name: "main", image: "example.test/pause:2" }], terminationGracePeriodSeconds: 0 },
  };
  const patched = await replicaSets.patch("rs", { spec: { replicas: 2, template } }, "strategic");
  expect([image(patched), at(patched, "spec.replicas")]).toEqual(["example.test/pause:2", 2]);
  await settled(replicaSets, "rs", 2);
  await readyPods(api, ns, "app=rs", 2);
});

sets("status subresource get/patch/update", async ({ api, namespace }) => {
  const ns = await namespace("rs");
  const replicaSets = api.resource(APPS, "replicasets", ns);
  await replicaSets.create(workload("rs", "rs", { replicas: 1 }));
  await settled(replicaSets, "rs", 1);
  await walkStatus(replicaSets, "rs", "app=rs");
});

const controllers = conformsShared("ReplicationController");

controllers("get/update scale subresource", async ({ api, namespace }) => {
  const ns = await namespace("rc");
  const rcs = api.resource("v1", "replicationcontrollers", ns);
  await rcs.create(replicationController("rc", "rc", 1));
  await walkScale(rcs, "rc");
  await readyPods(api, ns, "app=rc", 4);
});

controllers("lifecycle with watch", async ({ api, namespace }) => {
  const ns = await namespace("rc");
  const rcs = api.resource("v1", "replicationcontrollers", ns);
  using watch = rcs.watch({ labelSelector: "app=rc" });
  await rcs.create(replicationController("rc", "rc", 1));
  await watch.until("added", named("ADDED", "rc"));
  await watch.until(
    "a ready replica",
    named("MODIFIED", "rc", (now) => at(now, "status.readyReplicas") === 1),
  );
  await rcs.patch("rc", { metadata: { labels: { patched: "yes" } } }, "strategic");
  await watch.until(
    "patched",
    named("MODIFIED", "rc", (now) => now.metadata.labels?.["patched"] === "yes"),
  );
  const patched = await rcs.patch("rc", { status: { readyReplicas: 0, availableReplicas: 0 } }, "merge", "status");
  expect([at(patched, "status.readyReplicas"), at(patched, "status.availableReplicas")]).toEqual([
    undefined,
    undefined,
  ]);
  await watch.until(
    "the patched status",
    named("MODIFIED", "rc", (now) => (at(now, "status.readyReplicas") ?? 0) === 0),
  );
  await watch.until(
    "the true status again",
    named("MODIFIED", "rc", (now) => at(now, "status.readyReplicas") === 1),
  );
  expect(at(await rcs.get("rc", "status"), "status.replicas")).toBe(1);
  const scaled = await rcs.patch("rc", { spec: { replicas: 2 } }, "strategic", "scale");
  expect(at(scaled, "spec.replicas")).toBe(2);
  await watch.until(
    "scaled",
    named("MODIFIED", "rc", (now) => at(now, "status.readyReplicas") === 2),
  );
  const everywhere = await api.resource("v1", "replicationcontrollers").list({ labelSelector: "app=rc,patched=yes" });
  expect(everywhere.items.some((one) => one.metadata.namespace === ns)).toBe(true);
  await rcs.deleteCollection({ labelSelector: "app=rc" });
  await watch.until("deleted", named("DELETED", "rc"));
});

controllers("ReplicaFailure condition set and cleared on quota", async ({ api, namespace }) => {
  const ns = await namespace("rc");
  const rcs = api.resource("v1", "replicationcontrollers", ns);
  const quotas = api.resource("v1", "resourcequotas", ns);
  await quotas.create({ metadata: { name: "q" }, spec: { hard: { pods: "2" } } });
  await eventually(
    () => quotas.get("q"),
    (now) => at<Record<string, string>>(now, "status.hard")?.["pods"] === "2",
  );
  await rcs.create(replicationController("rc", "rc", 3));
  const failure = (now: Thing): Part | undefined =>
    (at<Part[]>(now, "status.conditions") ?? []).find((one) => one["type"] === "ReplicaFailure");
  const failed = await eventually(
    () => rcs.get("rc"),
    (now) => failure(now) !== undefined,
  );
  expect(failure(failed)).toMatchObject({ status: "True", reason: "FailedCreate" });
  await rcs.patch("rc", { spec: { replicas: 2 } });
  await eventually(
    () => rcs.get("rc"),
    (now) => failure(now) === undefined && at(now, "status.observedGeneration") === now.metadata.generation,
  );
  await readyPods(api, ns, "app=rc", 2);
});

const deployments = conformsShared("Deployment");

deployments("Recreate strategy: old pods gone before new", async ({ api, namespace }) => {
  const ns = await namespace("deploy");
  const all = api.resource(APPS, "deployments", ns);
  const pods = api.resource("v1", "pods", ns);
  await all.create(workload("d", "d", { replicas: 3, strategy: { type: "Recreate" } }));
  await settled(all, "d", 3, "status.availableReplicas");
  using watch = pods.watch({ labelSelector: "app=d" });
  const template = { spec: { containers: [{ name: "main", image: "example.test/pause:2" }] } };
  await all.patch("d", { spec: { template } }, "strategic");
  await settled(all, "d", 3, "status.updatedReplicas");
  await settled(all, "d", 3, "status.availableReplicas");
  const live = new Set<string>();
  let mixed = false;
  for (const { type, object } of watch.take()) {
    const key = `${String(image(object, "spec.containers.0.image"))} ${object.metadata.name}`;
    if (type === "DELETED") live.delete(key);
    else live.add(key);
    mixed ||= new Set([...live].map((one) => one.split(" ")[0])).size > 1;
  }
  expect([mixed, live.size]).toEqual([false, 3]);
});

deployments("RollingUpdate adopts and replaces a RS", async ({ api, namespace }) => {
  const ns = await namespace("deploy");
  const all = api.resource(APPS, "deployments", ns);
  const replicaSets = api.resource(APPS, "replicasets", ns);
  const orphan = workload("adopted", "d", { replicas: 1 });
  await replicaSets.create({
    ...orphan,
    metadata: {
      name: "adopted",
      labels: { app: "d" },
      annotations: { "deployment.kubernetes.io/revision": "3546343826724305832" },
    },
  });
  await readyPods(api, ns, "app=d", 1);
  const wish = workload("d", "d", { replicas: 1 }, { containers: [{ name: "main", image: "example.test/agnhost:2" }] });
  await all.create(wish);
  await settled(all, "d", 1, "status.updatedReplicas");
  await settled(all, "d", 1, "status.availableReplicas");
  const { items } = await eventually(
    () => replicaSets.list(),
    (list) => list.items.length === 2 && list.items.some((one) => at(one, "spec.replicas") === 0),
  );
  const old = items.find((one) => one.metadata.name === "adopted");
  expect(at(old, "spec.replicas")).toBe(0);
  expect(at(old, "metadata.ownerReferences.0")).toMatchObject({ kind: "Deployment", name: "d", controller: true });
  expect((await all.get("d")).metadata.annotations?.["deployment.kubernetes.io/revision"]).toBe("3546343826724305833");
});

deployments("lifecycle with watch: create/patch/scale/status/deletecollection", async ({ api, namespace }) => {
  const ns = await namespace("deploy");
  const all = api.resource(APPS, "deployments", ns);
  using watch = all.watch({ labelSelector: "app=life" });
  const seen = (what: string, holds: (now: Thing) => boolean): Promise<WatchEvent> =>
    watch.until(what, named("MODIFIED", "d", holds));
  await all.create(workload("d", "life", { replicas: 1 }));
  await watch.until("added", named("ADDED", "d"));
  await seen("available", (now) => at(now, "status.availableReplicas") === 1);
  const template = { spec: { containers: [{ name: "main", image: "example.test/pause:3" }] } };
  const body = { metadata: { labels: { patched: "yes" } }, spec: { replicas: 2, template } };
  await all.patch("d", body, "strategic");
  await seen("patched", (now) => now.metadata.labels?.["patched"] === "yes");
  await seen("rolled out", (now) => at(now, "status.updatedReplicas") === 2 && at(now, "status.readyReplicas") === 2);
  const everywhere = await api.resource(APPS, "deployments").list({ labelSelector: "app=life" });
  expect(everywhere.items.some((one) => one.metadata.namespace === ns)).toBe(true);
  await retryOnConflict(async () => {
    const now = await all.get("d", "status");
    const conditions = [...(at<Part[]>(now, "status.conditions") ?? []), { type: "StatusUpdate", status: "True" }];
    await all.replace({ ...now, status: { ...(now["status"] as object), conditions } }, "status");
  });
  const ownCondition = (type: string) => (now: Thing) =>
    (at<Part[]>(now, "status.conditions") ?? []).some((one) => one["type"] === type);
  await seen("the updated status", ownCondition("StatusUpdate"));
  await all.patch("d", { status: { conditions: [{ type: "StatusPatched", status: "True" }] } }, "merge", "status");
  await seen("the patched status", ownCondition("StatusPatched"));
  await all.deleteCollection({ labelSelector: "app=life" });
  await watch.until("deleted", named("DELETED", "d"));
});

deployments("scale subresource get/update/patch", async ({ api, namespace }) => {
  const ns = await namespace("deploy");
  const all = api.resource(APPS, "deployments", ns);
  await all.create(workload("d", "d", { replicas: 1 }));
  await walkScale(all, "d");
  await settled(all, "d", 4);
});

const stateful = conformsShared("StatefulSet");

const ordinals = (count: number): string[] => Array.from({ length: count }, (_, n) => `ss-${n}`);
const images = async (api: Rest, ns: string): Promise<string[]> =>
  (await api.resource("v1", "pods", ns).list({ labelSelector: "app=ss" })).items
    .toSorted((a, b) => (a.metadata.name ?? "").localeCompare(b.metadata.name ?? ""))
    .map((one) => String(image(one, "spec.containers.0.image")).split(":")[1] ?? "");

async function statefulSet(api: Rest, ns: string, replicas: number, more: Part = {}): Promise<Resource> {
  const all = api.resource(APPS, "statefulsets", ns);
  await all.create(workload("ss", "ss", { serviceName: "headless", replicas, ...more }));
  await settled(all, "ss", replicas);
  return all;
}

stateful("scale subresource", async ({ api, namespace }) => {
  const ns = await namespace("ss");
  const all = await statefulSet(api, ns, 1);
  await walkScale(all, "ss");
  await settled(all, "ss", 4);
  const { items } = await api.resource("v1", "pods", ns).list({ labelSelector: "app=ss" });
  expect(namesOf(items)).toEqual(ordinals(4));
});

stateful("status subresource get/patch/update", async ({ api, namespace }) => {
  const ns = await namespace("ss");
  await walkStatus(await statefulSet(api, ns, 1), "ss", "app=ss");
});

stateful("list, patch, deletecollection", async ({ api, namespace }) => {
  const ns = await namespace("ss");
  const all = await statefulSet(api, ns, 1);
  const template = {
    metadata: { labels: { patched: "yes" } },
    spec: { containers: [{ name: "main", image: "example.test/pause:2" }] },
  };
  const patched = await all.patch(
    "ss",
    { metadata: { labels: { set: ns } }, spec: { replicas: 2, template } },
    "strategic",
  );
  expect([image(patched), at(patched, "spec.replicas")]).toEqual(["example.test/pause:2", 2]);
  await settled(all, "ss", 2);
  await eventually(
    () => images(api, ns),
    (now) => now.join(" ") === "2 2",
  );
  const listed = await api.resource(APPS, "statefulsets").list({ labelSelector: `set=${ns}` });
  expect(listed.items.map((one) => one.metadata.name)).toEqual(["ss"]);
  await deleteCollection(all, `set=${ns}`);
});

stateful("partition canary and phased update", async ({ api, namespace }) => {
  const ns = await namespace("ss");
  const strategy = (partition: number): Part => ({ type: "RollingUpdate", rollingUpdate: { partition } });
  const all = await statefulSet(api, ns, 3, { updateStrategy: strategy(3) });
  const first = at<string>(await all.get("ss"), "status.currentRevision");
  const template = { spec: { containers: [{ name: "main", image: "example.test/pause:2" }] } };
  await all.patch("ss", { spec: { template } }, "strategic");
  const changed = await eventually(
    () => all.get("ss"),
    (now) =>
      at(now, "status.updateRevision") !== first && at(now, "status.observedGeneration") === now.metadata.generation,
  );
  const second = at<string>(changed, "status.updateRevision");
  expect(at(changed, "status.currentRevision")).toBe(first);
  const imagesAre = async (wanted: string): Promise<void> => {
    await eventually(
      () => images(api, ns),
      (now) => now.join(" ") === wanted,
    );
    await settled(all, "ss", 3);
  };
  await imagesAre("1 1 1");
  await all.patch("ss", { spec: { updateStrategy: strategy(2) } });
  await imagesAre("1 1 2");
  for (const name of ["ss-0", "ss-2"]) await api.resource("v1", "pods", ns).delete(name, { gracePeriodSeconds: 0 });
  await imagesAre("1 1 2");
  const pods = (await readyPods(api, ns, "app=ss", 3)).toSorted((a, b) =>
    (a.metadata.name ?? "").localeCompare(b.metadata.name ?? ""),
  );
  expect(pods.map((one) => one.metadata.labels?.["controller-revision-hash"])).toEqual([first, first, second]);
  await all.patch("ss", { spec: { updateStrategy: strategy(1) } });
  await imagesAre("1 2 2");
  await all.patch("ss", { spec: { updateStrategy: strategy(0) } });
  await imagesAre("2 2 2");
  await eventually(
    () => all.get("ss"),
    (now) => at(now, "status.currentRevision") === second && at(now, "status.updateRevision") === second,
  );
});

const daemons = conformsShared("DaemonSet");

async function daemonSet(api: Rest, ns: string, more: Part = {}, podParts: Part = {}): Promise<Resource> {
  const all = api.resource(APPS, "daemonsets", ns);
  await all.create(workload("ds", "ds", more, podParts));
  return all;
}

/** Waits for a ready daemon pod on each node that should have one. */
async function everywhere(api: Rest, all: Resource, ns: string): Promise<Thing[]> {
  const now = await eventually(
    () => all.get("ds"),
    (one) =>
      (at<number>(one, "status.desiredNumberScheduled") ?? 0) >= 3 &&
      at(one, "status.numberAvailable") === at(one, "status.desiredNumberScheduled") &&
      at(one, "status.updatedNumberScheduled") === at(one, "status.desiredNumberScheduled") &&
      at(one, "status.observedGeneration") === one.metadata.generation,
  );
  return readyPods(api, ns, "app=ds", at<number>(now, "status.desiredNumberScheduled") ?? 0);
}

daemons("Failed daemon pod is recreated", async ({ api, namespace }) => {
  const ns = await namespace("ds");
  const all = await daemonSet(api, ns);
  const [victim] = await everywhere(api, all, ns);
  const name = victim?.metadata.name ?? "";
  await api.resource("v1", "pods", ns).patch(name, { status: { phase: "Failed" } }, "merge", "status");
  await gone(() => api.resource("v1", "pods", ns).get(name));
  await everywhere(api, all, ns);
});

daemons("RollingUpdate replaces pods", async ({ api, namespace }) => {
  const ns = await namespace("ds");
  const all = await daemonSet(api, ns, { updateStrategy: { type: "RollingUpdate" } });
  const before = await everywhere(api, all, ns);
  const revisions = api.resource(APPS, "controllerrevisions", ns);
  expect((await revisions.list({ labelSelector: "app=ds" })).items.map((one) => one["revision"])).toEqual([1]);
  const template = { spec: { containers: [{ name: "main", image: "example.test/pause:2" }] } };
  await all.patch("ds", { spec: { template } }, "strategic");
  const after = await everywhere(api, all, ns);
  expect(after.every((one) => image(one, "spec.containers.0.image") === "example.test/pause:2")).toBe(true);
  expect(after.some((one) => before.some((old) => old.metadata.uid === one.metadata.uid))).toBe(false);
  const { items } = await revisions.list({ labelSelector: "app=ds" });
  expect(items.map((one) => Number(one["revision"])).toSorted((a, b) => a - b)).toEqual([1, 2]);
});

daemons("list by label, deletecollection", async ({ api, namespace }) => {
  const ns = await namespace("ds");
  const all = await daemonSet(api, ns);
  await everywhere(api, all, ns);
  await all.patch("ds", { metadata: { labels: { set: ns } } });
  const listed = await api.resource(APPS, "daemonsets").list({ labelSelector: `set=${ns}` });
  expect(listed.items.map((one) => one.metadata.name)).toEqual(["ds"]);
  await deleteCollection(all, `set=${ns}`);
});

daemons("nodeSelector drives which nodes run it", async ({ api, namespace }) => {
  const ns = await namespace("ds");
  const nodes = api.resource("v1", "nodes");
  const key = `${ns}/colour`;
  const all = await daemonSet(api, ns, {}, { nodeSelector: { [key]: "blue" } });
  const nodesOf = async (): Promise<string[]> =>
    (await api.resource("v1", "pods", ns).list({ labelSelector: "app=ds" })).items
      .filter((one) => one.metadata.deletionTimestamp === undefined)
      .map((one) => at<string>(one, "spec.nodeName") ?? at<string>(one, "metadata.name") ?? "");
  await eventually(
    () => all.get("ds"),
    (now) => at(now, "status.observedGeneration") === now.metadata.generation,
  );
  expect(await nodesOf()).toEqual([]);
  const colour = (value: string | null) => nodes.patch("node-1", { metadata: { labels: { [key]: value } } });
  const runsOn = (wanted: string): Promise<string[]> => eventually(nodesOf, (now) => now.join(" ") === wanted);
  await colour("blue");
  await runsOn("node-1");
  await readyPods(api, ns, "app=ds", 1);
  await colour("green");
  await runsOn("");
  const template = { spec: { nodeSelector: { [key]: "green" } } };
  await all.patch("ds", { spec: { template, updateStrategy: { type: "RollingUpdate" } } });
  await runsOn("node-1");
  await colour(null);
  await runsOn("");
});

daemons("status subresource get/patch/update", async ({ api, namespace }) => {
  const ns = await namespace("ds");
  const all = await daemonSet(api, ns);
  await everywhere(api, all, ns);
  await walkStatus(all, "ds", "app=ds");
});

conformsShared("ControllerRevision")(
  "list/patch/create/delete revisions of a DaemonSet",
  async ({ api, namespace }) => {
    const ns = await namespace("revisions");
    const all = await daemonSet(api, ns);
    await everywhere(api, all, ns);
    const revisions = api.resource(APPS, "controllerrevisions", ns);
    const [initial] = (await revisions.list({ labelSelector: "app=ds" })).items;
    const name = initial?.metadata.name ?? "";
    const patched = await revisions.patch(name, { metadata: { labels: { [name]: "patched" } } }, "strategic");
    expect(patched.metadata.labels?.[name]).toBe("patched");
    const copy = {
      metadata: { name: "copy", labels: { app: "ds" }, ownerReferences: initial?.metadata.ownerReferences },
      data: initial?.["data"],
      revision: 2,
    };
    await revisions.create(copy);
    await eventually(
      () => revisions.list({ labelSelector: "app=ds" }),
      ({ items }) => items.length === 2,
    );
    await revisions.delete(name);
    await gone(() => revisions.get(name));
    await eventually(
      () => revisions.list({ labelSelector: "app=ds" }),
      ({ items }) => items.length === 1,
    );
    const left = (await revisions.list({ labelSelector: "app=ds" })).items[0];
    const relabelled = { ...left?.metadata, labels: { ...left?.metadata.labels, updated: "yes" } };
    const updated = await revisions.replace({ ...(left as Thing), metadata: relabelled });
    expect(updated.metadata.labels?.["updated"]).toBe("yes");
    const template = { spec: { terminationGracePeriodSeconds: 1 } };
    await all.patch("ds", { spec: { template, updateStrategy: { type: "RollingUpdate" } } });
    await eventually(
      () => revisions.list({ labelSelector: "app=ds" }),
      ({ items }) => items.some((one) => one["revision"] === 3),
    );
    await revisions.deleteCollection({ labelSelector: "updated=yes" });
    const { items } = await eventually(
      () => revisions.list({ labelSelector: "app=ds" }),
      (list) => list.items.length === 1,
    );
    expect(items[0]?.["revision"]).toBe(3);
  },
);

const jobs = conformsShared("Job");

const job = (name: string, more: Part = {}): Part => ({
  metadata: { name },
  spec: {
    parallelism: 2,
    completions: 4,
    backoffLimit: 6,
    template: { metadata: { labels: { job: name } }, spec: podSpec({ restartPolicy: "Never" }) },
    ...more,
  },
});

jobs("delete Job and its pods", async ({ api, namespace }) => {
  const ns = await namespace("job");
  const all = api.resource("batch/v1", "jobs", ns);
  await all.create(job("j", { completions: 200 }));
  await eventually(
    () => all.get("j"),
    (now) => at(now, "status.active") === 2,
  );
  await all.delete("j", { propagationPolicy: "Foreground" });
  await gone(() => all.get("j"));
  expect((await api.resource("v1", "pods", ns).list({ labelSelector: "job=j" })).items).toEqual([]);
});

jobs("patch/update Job status", async ({ api, namespace }) => {
  const ns = await namespace("job");
  const all = api.resource("batch/v1", "jobs", ns);
  await all.create(job("j", { completions: 200 }));
  await eventually(
    () => all.get("j"),
    (now) => at(now, "status.active") === 2 && at(now, "status.ready") === 2,
  );
  const condition = { type: "CustomConditionType", status: "True", lastTransitionTime: "2025-01-01T00:00:00Z" };
  const has = (now: Thing): boolean =>
    (at<Part[]>(now, "status.conditions") ?? []).some((one) => one["type"] === "CustomConditionType");
  const body = { metadata: { annotations: { patchedstatus: "true" } }, status: { conditions: [condition] } };
  const patched = await all.patch("j", body, "merge", "status");
  expect([has(patched), patched.metadata.annotations?.["patchedstatus"]]).toEqual([true, "true"]);
  const updated = await retryOnConflict(async () => {
    const now = await all.get("j", "status");
    const status = { ...(now["status"] as object), startTime: "2025-01-01T00:00:00Z" };
    const conditions = (at<Part[]>(now, "status.conditions") ?? []).map((one) => ({ ...one, reason: "Updated" }));
    return all.replace({ ...now, status: { ...status, startTime: at(now, "status.startTime"), conditions } }, "status");
  });
  expect(at(updated, "status.conditions.0.reason")).toBe("Updated");
  expect(has(await all.get("j", "status"))).toBe(true);
});

const cron = conformsShared("CronJob");

/** Each minute; its pods never end. */
const cronJob = (concurrencyPolicy: string): Part => ({
  metadata: { name: "cron" },
  spec: {
    schedule: "*/1 * * * *",
    concurrencyPolicy,
    jobTemplate: {
      spec: {
        parallelism: 1,
        completions: 200,
        template: { metadata: { labels: { cron: "yes" } }, spec: podSpec({ restartPolicy: "OnFailure" }) },
      },
    },
  },
});

const TWO_MINUTES = { timeoutMs: 150_000 };
const active = (now: Thing): string[] => (at<{ name: string }[]>(now, "status.active") ?? []).map((one) => one.name);

cron(
  "Allow policy runs two Jobs at once",
  async ({ api, namespace }) => {
    const ns = await namespace("cron");
    const all = api.resource("batch/v1", "cronjobs", ns);
    await all.create(cronJob("Allow"));
    await eventually(
      () => all.get("cron"),
      (now) => active(now).length === 2,
      140_000,
    );
    await eventually(
      () => api.resource("batch/v1", "jobs", ns).list(),
      ({ items }) => items.filter((one) => at(one, "status.active") === 1).length === 2,
    );
  },
  TWO_MINUTES,
);

cron(
  "Forbid policy keeps one active Job",
  async ({ api, namespace }) => {
    const ns = await namespace("cron");
    const all = api.resource("batch/v1", "cronjobs", ns);
    await all.create(cronJob("Forbid"));
    const first = await eventually(
      () => all.get("cron"),
      (now) => active(now).length === 1,
      70_000,
    );
    const events = api.resource("v1", "events", ns);
    await eventually(
      () => events.list({ fieldSelector: "involvedObject.name=cron" }),
      ({ items }) => items.some((one) => one["reason"] === "JobAlreadyActive"),
      70_000,
    );
    expect(active(await all.get("cron"))).toEqual(active(first));
    expect((await api.resource("batch/v1", "jobs", ns).list()).items).toHaveLength(1);
  },
  TWO_MINUTES,
);

cron(
  "Replace policy swaps the active Job",
  async ({ api, namespace }) => {
    const ns = await namespace("cron");
    const all = api.resource("batch/v1", "cronjobs", ns);
    await all.create(cronJob("Replace"));
    const first = await eventually(
      () => all.get("cron"),
      (now) => active(now).length === 1,
      70_000,
    );
    const second = await eventually(
      () => all.get("cron"),
      (now) => active(now).length === 1 && active(now)[0] !== active(first)[0],
      70_000,
    );
    await gone(() => api.resource("batch/v1", "jobs", ns).get(active(first)[0] ?? ""));
    expect((await api.resource("batch/v1", "jobs", ns).list()).items.map((one) => one.metadata.name)).toEqual(
      active(second),
    );
  },
  TWO_MINUTES,
);

const budgets = conformsShared("PodDisruptionBudget");
const POLICY = "policy/v1";
const budget = (
  name: string,
  minAvailable: number | string,
  labels: Record<string, string> = { foo: "bar" },
): Part => ({
  metadata: { name, labels },
  spec: { selector: { matchLabels: { foo: "bar" } }, minAvailable },
});

const processed = (resource: Resource, name: string): Promise<Thing> =>
  eventually(
    () => resource.get(name),
    (now) => at(now, "status.observedGeneration") === now.metadata.generation,
  );

budgets("create/update/patch/delete", async ({ api, namespace }) => {
  const all = api.resource(POLICY, "poddisruptionbudgets", await namespace("pdb"));
  await all.create(budget("b", "1%"));
  await processed(all, "b");
  await retryOnConflict(async () => {
    const now = await all.get("b");
    return all.replace({ ...now, spec: { ...(now["spec"] as object), minAvailable: "2%" } });
  });
  expect(at(await processed(all, "b"), "spec.minAvailable")).toBe("2%");
  await all.patch("b", { spec: { minAvailable: "3%" } }, "strategic");
  expect(at(await processed(all, "b"), "spec.minAvailable")).toBe("3%");
  await all.delete("b");
  await gone(() => all.get("b"));
});

budgets("list in all namespaces, deletecollection", async ({ api, namespace }) => {
  const [ns, other] = [await namespace("pdb"), await namespace("pdb")];
  const labels = { budgets: ns };
  const all = api.resource(POLICY, "poddisruptionbudgets", ns);
  for (const name of ["b1", "b2", "b3"]) await all.create(budget(name, 2, labels));
  await api.resource(POLICY, "poddisruptionbudgets", other).create(budget("b4", "1%", labels));
  const cluster = api.resource(POLICY, "poddisruptionbudgets");
  const listed = await cluster.list({ labelSelector: `budgets=${ns}` });
  expect(namesOf(listed.items)).toEqual(["b1", "b2", "b3", "b4"]);
  await deleteCollection(all, `budgets=${ns}`);
  expect((await cluster.list({ labelSelector: `budgets=${ns}` })).items).toHaveLength(1);
});

budgets("controller fills disruptionsAllowed", async ({ api, namespace }) => {
  const ns = await namespace("pdb");
  const pods = api.resource("v1", "pods", ns);
  const all = api.resource(POLICY, "poddisruptionbudgets", ns);
  await all.create(budget("b", 1));
  for (const name of ["one", "two"]) await pods.create(pod(name, { foo: "bar" }));
  await readyPods(api, ns, "foo=bar", 2);
  const status = await eventually(
    () => all.get("b"),
    (now) => at(now, "status.disruptionsAllowed") === 1,
  );
  expect(status["status"]).toMatchObject({ currentHealthy: 2, desiredHealthy: 1, expectedPods: 2 });
});

budgets("update/patch status subresource", async ({ api, namespace }) => {
  const ns = await namespace("pdb");
  const all = api.resource(POLICY, "poddisruptionbudgets", ns);
  await all.create(budget("b", 1));
  for (const name of ["one", "two", "three"]) await api.resource("v1", "pods", ns).create(pod(name, { foo: "bar" }));
  await readyPods(api, ns, "foo=bar", 3);
  await eventually(
    () => all.get("b"),
    (now) => at(now, "status.disruptionsAllowed") === 2,
  );
  const disrupted = { "a-pod": "2035-01-01T00:00:00Z" };
  const updated = await retryOnConflict(async () => {
    const now = await all.get("b", "status");
    return all.replace({ ...now, status: { ...(now["status"] as object), disruptedPods: disrupted } }, "status");
  });
  expect(at(updated, "status.disruptedPods")).toEqual(disrupted);
  const patched = await all.patch("b", { status: { disruptedPods: null } }, "merge", "status");
  expect(at(patched, "status.disruptedPods")).toBeUndefined();
});

const shape = conformsShared("cluster shape");
shape("at least two untainted schedulable nodes", async ({ api }) => {
  const { items } = await api.resource("v1", "nodes").list();
  const usable = items.filter(
    (node) => at(node, "spec.unschedulable") !== true && (at<Part[]>(node, "spec.taints") ?? []).length === 0,
  );
  expect(usable.length).toBeGreaterThanOrEqual(2);
});
