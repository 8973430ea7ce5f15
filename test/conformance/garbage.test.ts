// What goes with its owner, what stays, and in which order.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { at } from "./rest-client.ts";
import { found, gone } from "./shared-cluster.ts";
import { pod, readyPods, replicationController, workload } from "./workload.ts";

const collector = conformsShared("garbage collector");

collector("background delete of RC removes its pods", async ({ api, namespace }) => {
  const ns = await namespace("gc");
  const controllers = api.resource("v1", "replicationcontrollers", ns);
  await controllers.create(replicationController("rc", "gc", 2));
  await readyPods(api, ns, "app=gc", 2);
  await controllers.delete("rc", { propagationPolicy: "Background" });
  await gone(() => controllers.get("rc"));
  await readyPods(api, ns, "app=gc", 0);
});

collector("Orphan policy keeps pods of deleted RC (needs a Ready node to size)", async ({ api, namespace }) => {
  const ns = await namespace("gc");
  const controllers = api.resource("v1", "replicationcontrollers", ns);
  await controllers.create(replicationController("rc", "gc", 20));
  const before = await readyPods(api, ns, "app=gc", 20);
  await controllers.delete("rc", { propagationPolicy: "Orphan" });
  await gone(() => controllers.get("rc"));
  const pods = api.resource("v1", "pods", ns);
  await eventually(
    () => pods.list({ labelSelector: "app=gc" }),
    ({ items }) => items.every((one) => (one.metadata.ownerReferences ?? []).length === 0),
  );
  const after = (await pods.list({ labelSelector: "app=gc" })).items;
  const uids = (things: typeof after): string[] => things.map((one) => one.metadata.uid ?? "").toSorted();
  expect(uids(after)).toEqual(uids(before));
  expect(after.some((one) => one.metadata.deletionTimestamp !== undefined)).toBe(false);
});

collector("background delete of Deployment removes its RS", async ({ api, namespace }) => {
  const ns = await namespace("gc");
  const deployments = api.resource("apps/v1", "deployments", ns);
  const sets = api.resource("apps/v1", "replicasets", ns);
  await deployments.create(workload("d", "gc", { replicas: 2 }));
  await eventually(
    () => sets.list(),
    ({ items }) => items.length === 1,
  );
  await deployments.delete("d", { propagationPolicy: "Background" });
  await eventually(
    () => sets.list(),
    ({ items }) => items.length === 0,
  );
  await readyPods(api, ns, "app=gc", 0);
});

collector("foreground delete keeps RC until pods are gone (needs a Ready node to size)", async ({ api, namespace }) => {
  const ns = await namespace("gc");
  const controllers = api.resource("v1", "replicationcontrollers", ns);
  const pods = api.resource("v1", "pods", ns);
  await controllers.create(replicationController("rc", "gc", 5));
  const made = await readyPods(api, ns, "app=gc", 5);
  const held = made[0]?.metadata.name ?? "";
  await pods.patch(held, { metadata: { finalizers: ["example.com/hold"] } });
  await controllers.delete("rc", { propagationPolicy: "Foreground" });
  const waiting = await eventually(
    () => controllers.get("rc"),
    (now) => now.metadata.deletionTimestamp !== undefined,
  );
  expect(waiting.metadata.finalizers).toContain("foregroundDeletion");
  await eventually(
    () => pods.list({ labelSelector: "app=gc" }),
    ({ items }) => items.length === 1 && items[0]?.metadata.name === held,
  );
  expect(await found(controllers.get("rc"))).toBeDefined();
  await pods.patch(held, { metadata: { finalizers: null } });
  await gone(() => controllers.get("rc"));
  expect((await pods.list({ labelSelector: "app=gc" })).items).toEqual([]);
});

collector("owner-reference cycle does not block GC", async ({ api, namespace }) => {
  const ns = await namespace("gc");
  const pods = api.resource("v1", "pods", ns);
  const names = ["pod1", "pod2", "pod3"];
  const made = await Promise.all(names.map((name) => pods.create(pod(name))));
  for (const [n, name] of names.entries()) {
    const owner = made[(n + 2) % 3]?.metadata;
    const ownerReferences = [
      { apiVersion: "v1", kind: "Pod", name: owner?.name, uid: owner?.uid, controller: true, blockOwnerDeletion: true },
    ];
    await pods.patch(name, { metadata: { ownerReferences } });
  }
  await pods.delete("pod1", { propagationPolicy: "Foreground" });
  await eventually(
    () => pods.list(),
    ({ items }) => items.length === 0,
  );
});

conformsShared("namespace")("pods deleted before other objects in a namespace", async ({ api, namespace }) => {
  const ns = await namespace("nsdeletetest");
  const namespaces = api.resource("v1", "namespaces");
  const pods = api.resource("v1", "pods", ns);
  const maps = api.resource("v1", "configmaps", ns);
  await pods.create({ ...pod("held"), metadata: { name: "held", finalizers: ["example.com/hold"] } });
  await maps.create({ metadata: { name: "held", finalizers: ["example.com/hold"] } });
  await maps.create({ metadata: { name: "free" } });
  await eventually(
    () => pods.get("held"),
    (now) => at(now, "status.phase") === "Running",
  );
  await namespaces.delete(ns);
  await eventually(
    () => pods.get("held"),
    (now) => now.metadata.deletionTimestamp !== undefined,
  );
  const conditions = await eventually(
    async () =>
      at<{ type: string; status: string; message: string }[]>(await namespaces.get(ns), "status.conditions") ?? [],
    (now) => now.some((one) => one.type === "NamespaceContentRemaining" && one.status === "True"),
  );
  expect(conditions.find((one) => one.type === "NamespaceContentRemaining")?.message).toContain("pods.");
  expect((await maps.get("held")).metadata.deletionTimestamp).toBeUndefined();
  expect((await maps.get("free")).metadata.deletionTimestamp).toBeUndefined();
  await pods.patch("held", { metadata: { finalizers: null } });
  await gone(() => pods.get("held"));
  await eventually(
    () => maps.get("held"),
    (now) => now.metadata.deletionTimestamp !== undefined,
  );
  await gone(() => maps.get("free"));
  await maps.patch("held", { metadata: { finalizers: null } });
  await gone(() => namespaces.get(ns));
});
