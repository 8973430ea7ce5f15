// The garbage collector: what it may delete, by random graphs, and the three propagation policies on the in-memory cluster.
import { API_SERVICES, CONFIG_MAPS, DEPLOYMENTS, PODS, type ConfigMap } from "@coxswain/api";
import { newConflict, type OwnerReference } from "@coxswain/apimachinery";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { GraphNode } from "../src/garbage-collector/graph.ts";
import { planGarbage, type OwnerState } from "../src/garbage-collector/plan.ts";
import { deployment, makeFixture, runPods } from "./cluster-fixture.ts";

const reference = (uid: string): OwnerReference => ({ apiVersion: "v1", kind: "ConfigMap", name: uid, uid });
const item: GraphNode = {
  uid: "item",
  version: "1",
  ref: CONFIG_MAPS,
  namespace: "default",
  name: "item",
  owners: [],
  deleting: false,
  finalizers: [],
};

test("an object with a solid or unknown owner is never deleted", () => {
  const states = fc.array(fc.constantFrom<OwnerState>("solid", "waiting", "absent", "unknown"), { maxLength: 5 });
  fc.assert(
    fc.property(states, fc.boolean(), fc.boolean(), (owners, deleting, hasDependents) => {
      const judged = owners.map((state, at) => ({ reference: reference(`o${at}`), state }));
      const plan = planGarbage({ ...item, deleting }, judged, hasDependents ? [item] : []);
      if (plan.do !== "delete") return;
      expect(deleting).toBe(false);
      expect(owners.length).toBeGreaterThan(0);
      expect(owners.every((state) => state === "absent" || state === "waiting")).toBe(true);
    }),
  );
});

describe("on a cluster", () => {
  const WEB = { namespace: "default", name: "web" };
  async function running() {
    const fixture = makeFixture();
    fixture.seedNamespace();
    runPods(fixture);
    fixture.start();
    fixture.cluster.seed(DEPLOYMENTS, deployment());
    expect(await fixture.until(() => fixture.deployment()?.status?.availableReplicas === 3)).toBe(true);
    return fixture;
  }

  test("background: the owner goes at once, then its dependents", async () => {
    const fixture = await running();
    await fixture.settle(fixture.admin.delete(DEPLOYMENTS, WEB, { propagationPolicy: "Background" }));
    expect(fixture.deployment()).toBeUndefined();
    expect(await fixture.until(() => fixture.pods().length === 0 && fixture.replicaSets().length === 0)).toBe(true);
  });

  test("foreground: the owner goes last", async () => {
    const fixture = await running();
    let early = false;
    fixture.cluster.onChange(() => {
      if (fixture.deployment() === undefined && fixture.replicaSets().length > 0) early = true;
      if (fixture.replicaSets().length === 0 && fixture.pods().length > 0) early = true;
    });
    await fixture.settle(fixture.admin.delete(DEPLOYMENTS, WEB, { propagationPolicy: "Foreground" }));
    expect(await fixture.until(() => fixture.deployment() === undefined)).toBe(true);
    expect(early).toBe(false);
    expect(fixture.pods()).toEqual([]);
  });

  test("orphan: the dependents stay, without an owner", async () => {
    const fixture = await running();
    await fixture.settle(fixture.admin.delete(DEPLOYMENTS, WEB, { propagationPolicy: "Orphan" }));
    expect(await fixture.until(() => fixture.deployment() === undefined)).toBe(true);
    await fixture.env.advance(10_000);
    expect(fixture.replicaSets().map((rs) => rs.metadata?.ownerReferences ?? [])).toEqual([[]]);
    expect(fixture.pods()).toHaveLength(3);
  });

  test("foreground: a circle of owners goes whole", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    const names = ["one", "two", "three"];
    const map = (name: string): ConfigMap => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: "default" },
    });
    const uids = names.map((name) => fixture.cluster.seed(CONFIG_MAPS, map(name)).metadata?.uid ?? "");
    fixture.start();
    for (const [at, name] of names.entries()) {
      const owner = (at + 2) % 3;
      const ownerReferences = [{ ...reference(uids[owner] ?? ""), name: names[owner], blockOwnerDeletion: true }];
      const change = { metadata: { ownerReferences } };
      const target = { namespace: "default", name };
      await fixture.settle(fixture.admin.patch(CONFIG_MAPS, target, "application/merge-patch+json", change));
    }
    const target = { namespace: "default", name: "one" };
    await fixture.settle(fixture.admin.delete(CONFIG_MAPS, target, { propagationPolicy: "Foreground" }));
    expect(await fixture.until(() => fixture.cluster.objects(CONFIG_MAPS).length === 0)).toBe(true);
  });

  test("dependents are deleted as the cache has them, unless they have changed since", async () => {
    const fixture = await running();
    const calls: string[] = [];
    const [changed] = fixture.pods();
    let conflicted = false;
    fixture.cluster.inject({
      when: ({ verb, ref, name }) => {
        if (ref.resource !== "pods" || (verb !== "get" && verb !== "delete")) return false;
        calls.push(`${verb} ${name === changed?.metadata?.name ? "changed" : "other"}`);
        if (calls.at(-1) !== "delete changed" || conflicted) return false;
        return (conflicted = true);
      },
      error: newConflict(PODS, changed?.metadata?.name ?? ""),
    });
    await fixture.settle(fixture.admin.delete(DEPLOYMENTS, WEB, { propagationPolicy: "Background" }));
    expect(await fixture.until(() => fixture.pods().length === 0)).toBe(true);
    const byCollector = calls.filter((call) => call !== "delete other");
    expect(byCollector.slice(0, 3)).toEqual(["delete changed", "get changed", "delete changed"]);
    expect(calls).not.toContain("get other");
  });

  test("what is off by default is collected as long as its version is registered", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    const POLICIES = {
      group: "admissionregistration.k8s.io",
      version: "v1beta1",
      resource: "mutatingadmissionpolicies",
    };
    const seed = (name: string): void => {
      const metadata = { name, namespace: "default", ownerReferences: [{ ...reference("gone"), name: "owner" }] };
      fixture.cluster.seed(POLICIES, {
        apiVersion: "admissionregistration.k8s.io/v1beta1",
        kind: "MutatingAdmissionPolicy",
        metadata,
      });
    };
    let asked = 0;
    fixture.cluster.inject({
      when: ({ ref }) => ref.resource === POLICIES.resource && ++asked < 0,
      error: newConflict(POLICIES, ""),
    });
    fixture.start();
    await fixture.env.advance(10_000);
    expect(asked).toBe(0);
    seed("orphan");
    fixture.cluster.seed(API_SERVICES, {
      apiVersion: "apiregistration.k8s.io/v1",
      kind: "APIService",
      metadata: { name: "v1beta1.admissionregistration.k8s.io" },
    });
    expect(await fixture.until(() => fixture.cluster.objects(POLICIES).length === 0)).toBe(true);
  });

  test("what an owner leaves behind goes together, and asks for the owner once", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    for (let at = 0; at < 100; at++) {
      const metadata = {
        name: `m${at}`,
        namespace: "default",
        ownerReferences: [{ ...reference("gone"), name: "owner" }],
      };
      fixture.cluster.seed(CONFIG_MAPS, { apiVersion: "v1", kind: "ConfigMap", metadata });
    }
    const deletedMs = new Set<number>();
    let asked = 0;
    fixture.cluster.inject({
      when: ({ verb, ref, name }) => {
        if (ref.resource !== "configmaps") return false;
        if (verb === "get" && name === "owner") asked++;
        if (verb === "delete") deletedMs.add(fixture.env.elapsedMs);
        return false;
      },
    });
    fixture.start();
    expect(await fixture.until(() => fixture.cluster.objects(CONFIG_MAPS).length === 0)).toBe(true);
    expect(asked).toBe(1);
    expect(deletedMs.size).toBe(1);
  });

  test("a reference with the wrong name says nothing of others to the same UID", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    const map = (name: string, metadata: ConfigMap["metadata"] = {}): ConfigMap => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: "default", ...metadata },
    });
    const owner = fixture.cluster.seed(CONFIG_MAPS, map("z-owner", { finalizers: ["example.test/hold"] }));
    const target = { namespace: "default", name: "z-owner" };
    await fixture.settle(fixture.admin.delete(CONFIG_MAPS, target, { propagationPolicy: "Background" }));
    const named = (name: string) => ({ ownerReferences: [{ ...reference(owner.metadata?.uid ?? ""), name }] });
    fixture.cluster.seed(CONFIG_MAPS, map("a-wrong", named("other")));
    fixture.cluster.seed(CONFIG_MAPS, map("b-right", named("z-owner")));
    // Looked at once more after the other was found to be without an owner.
    fixture.start();
    const names = () => fixture.cluster.objects(CONFIG_MAPS).map((one) => one.metadata?.name);
    expect(await fixture.until(() => !names().includes("a-wrong"))).toBe(true);
    const moved = { metadata: { ownerReferences: [...named("z-owner").ownerReferences, reference("gone")] } };
    const right = { namespace: "default", name: "b-right" };
    await fixture.settle(fixture.admin.patch(CONFIG_MAPS, right, "application/merge-patch+json", moved));
    await fixture.env.advance(30_000);
    expect(names()).toEqual(expect.arrayContaining(["b-right", "z-owner"]));
  });

  test("an owner in another namespace deletes nothing; an owner of another UID does", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    fixture.seedNamespace("other");
    const map = (name: string, namespace: string, owners: OwnerReference[] = []): ConfigMap => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace, ownerReferences: owners },
    });
    const owner = fixture.cluster.seed(CONFIG_MAPS, map("owner", "default"));
    const uid = owner.metadata?.uid ?? "";
    fixture.cluster.seed(CONFIG_MAPS, map("same", "default", [{ ...reference(uid), name: "owner" }]));
    fixture.cluster.seed(CONFIG_MAPS, map("across", "other", [{ ...reference(uid), name: "owner" }]));
    fixture.cluster.seed(CONFIG_MAPS, map("stale", "default", [{ ...reference("gone"), name: "owner" }]));
    fixture.start();
    const names = () => fixture.cluster.objects(CONFIG_MAPS).map((one) => one.metadata?.name);
    expect(await fixture.until(() => !names().includes("stale"))).toBe(true);
    await fixture.env.advance(30_000);
    expect(new Set(names())).toEqual(new Set(["across", "owner", "same"]));
  });
});
