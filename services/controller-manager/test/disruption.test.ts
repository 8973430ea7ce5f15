// What disruption budgets allow: by numbers, by shares of the wanted replicas, while evicted pods linger, and in a cluster.
import {
  CUSTOM_RESOURCE_DEFINITIONS,
  DEPLOYMENTS,
  POD_DISRUPTION_BUDGETS,
  PODS,
  type Pod,
  type PodDisruptionBudget,
} from "@coxswain/api";
import type { CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import { formatTime, type KubeObject } from "@coxswain/apimachinery";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planBudget } from "../src/disruption/plan.ts";
import { staleInMs } from "../src/disruption/stale-conditions.ts";
import { deployment, makeFixture, runPods } from "./cluster-fixture.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");

const pods = (ready: number, others = 0): Pod[] =>
  Array.from({ length: ready + others }, (_, at) => ({
    metadata: { name: `p${at}`, namespace: "default" },
    status: { conditions: [{ type: "Ready", status: at < ready ? "True" : "False" }] },
  }));

const budget = (
  spec: NonNullable<PodDisruptionBudget["spec"]>,
  disruptedPods?: Record<string, string>,
): PodDisruptionBudget => ({
  apiVersion: "policy/v1",
  kind: "PodDisruptionBudget",
  metadata: { name: "b", namespace: "default", generation: 2 },
  spec: { selector: {}, ...spec },
  ...(disruptedPods === undefined
    ? {}
    : { status: { currentHealthy: 0, desiredHealthy: 0, expectedPods: 0, disruptionsAllowed: 0, disruptedPods } }),
});

function counts(spec: NonNullable<PodDisruptionBudget["spec"]>, ready: number, expectedScale: number): unknown[] {
  const { status } = planBudget(budget(spec), { nowMs: NOW, pods: pods(ready), expectedScale });
  return [status.expectedPods, status.desiredHealthy, status.currentHealthy, status.disruptionsAllowed];
}

describe("what a budget allows", () => {
  test.each([
    ["a number that must stay counts the pods there are", { minAvailable: 2 }, 3, 10, [3, 2, 3, 1]],
    ["a share that must stay is of the wanted replicas, rounded up", { minAvailable: "50%" }, 5, 5, [5, 3, 5, 2]],
    ["a number that may be away", { maxUnavailable: 1 }, 4, 5, [5, 4, 4, 0]],
    ["a share that may be away is rounded up", { maxUnavailable: "30%" }, 4, 4, [4, 2, 4, 2]],
    ["more may be away than there are", { maxUnavailable: 9 }, 3, 3, [3, 0, 3, 3]],
    ["without pods nothing may go", { maxUnavailable: "50%" }, 0, 0, [0, 0, 0, 0]],
  ])("%s", (_name, spec, ready, scale, expected) => {
    expect(counts(spec, ready, scale)).toEqual(expected);
  });

  test("while the replicas are not known nothing may go, and the budget says why", () => {
    const facts = { nowMs: NOW, pods: pods(3), expectedScale: { failure: "found no scale of it" } };
    const { status } = planBudget(budget({ maxUnavailable: 1 }), facts);
    expect(status.disruptionsAllowed).toBe(0);
    expect(status.conditions).toMatchObject([
      { status: "False", reason: "SyncFailed", message: "found no scale of it" },
    ]);
  });

  test("an evicted pod does not count until it is gone, for two minutes", () => {
    const spec = { minAvailable: 1 };
    const at = (ageMs: number) =>
      planBudget(budget(spec, { p0: formatTime(NOW - ageMs), gone: formatTime(NOW) }), {
        nowMs: NOW,
        pods: pods(3),
        expectedScale: 3,
      });
    expect(at(30_000)).toMatchObject({
      status: { currentHealthy: 2, disruptionsAllowed: 1, disruptedPods: { p0: formatTime(NOW - 30_000) } },
      recheckInMs: 90_000,
      notDeleted: [],
    });
    const late = at(121_000);
    expect(late).toMatchObject({ status: { currentHealthy: 3, disruptionsAllowed: 2 }, notDeleted: ["p0"] });
    expect(late.status.disruptedPods).toBeUndefined();
  });

  test("what it allows, taken away, leaves what it wants", () => {
    const amount = fc.oneof(
      fc.nat(20),
      fc.nat(100).map((share) => `${share}%`),
    );
    const shapes = fc.oneof(
      amount.map((minAvailable) => ({ minAvailable })),
      amount.map((maxUnavailable) => ({ maxUnavailable })),
    );
    fc.assert(
      fc.property(shapes, fc.nat(20), fc.nat(10), fc.nat(30), (spec, ready, others, expectedScale) => {
        const facts = { nowMs: NOW, pods: pods(ready, others), expectedScale };
        const { status } = planBudget(budget(spec), facts);
        const { currentHealthy, desiredHealthy, disruptionsAllowed } = status;
        expect(disruptionsAllowed).toBeGreaterThanOrEqual(0);
        if (disruptionsAllowed > 0) expect(currentHealthy - disruptionsAllowed).toBeGreaterThanOrEqual(desiredHealthy);
        // The same facts again change nothing.
        const again = planBudget({ ...budget(spec), status }, { ...facts, nowMs: NOW + 60_000 });
        expect(again.status).toEqual(status);
      }),
    );
  });
});

test("a Deployment's budget follows its pods and its replicas", async () => {
  const fixture = makeFixture();
  fixture.seedNamespace();
  runPods(fixture);
  fixture.cluster.seed(POD_DISRUPTION_BUDGETS, {
    ...budget({ selector: { matchLabels: { app: "web" } }, maxUnavailable: "50%" }),
    metadata: { name: "b", namespace: "default", generation: 1 },
  });
  fixture.cluster.seed(DEPLOYMENTS, deployment("web", { replicas: 4 }));
  fixture.start();
  const status = () => fixture.cluster.objects<PodDisruptionBudget>(POD_DISRUPTION_BUDGETS)[0]?.status;
  const allows = (allowed: number, expectedPods: number) => () =>
    status()?.disruptionsAllowed === allowed && status()?.expectedPods === expectedPods;
  expect(await fixture.until(allows(2, 4))).toBe(true);
  const patch = { spec: { replicas: 6 } };
  const target = { namespace: "default", name: "web" };
  await fixture.settle(fixture.admin.patch(DEPLOYMENTS, target, "application/merge-patch+json", patch));
  expect(await fixture.until(allows(3, 6))).toBe(true);
  const sick = { status: { conditions: [{ type: "Ready", status: "False" }] } };
  const [first] = fixture.pods();
  const pod = { namespace: "default", name: first?.metadata?.name ?? "" };
  await fixture.settle(fixture.admin.patch(PODS, pod, "application/merge-patch+json", sick, { subresource: "status" }));
  expect(await fixture.until(allows(2, 6))).toBe(true);
});

test("a budget of replicas says that it cannot count pods that nobody controls; one of pods counts them", async () => {
  const fixture = makeFixture();
  fixture.seedNamespace();
  const selector = { matchLabels: { app: "lone" } };
  const made = (name: string, spec: NonNullable<PodDisruptionBudget["spec"]>): void =>
    void fixture.cluster.seed(POD_DISRUPTION_BUDGETS, {
      ...budget({ selector, ...spec }),
      metadata: { name, namespace: "default", generation: 1 },
    });
  made("share", { maxUnavailable: "50%" });
  made("number", { minAvailable: 1 });
  const labels = { app: "lone" };
  const spec = { containers: [{ name: "c", image: "i" }] };
  fixture.cluster.seed(PODS, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default", labels },
    spec,
  });
  fixture.start();
  expect(await fixture.until(() => fixture.events("UnmanagedPods").length > 0)).toBe(true);
  await fixture.env.advance(5_000);
  const events = fixture.events("UnmanagedPods");
  expect(events.map(({ involvedObject, type }) => [involvedObject.name, type])).toEqual([["share", "Warning"]]);
  expect(events[0]?.message).toBe(
    'Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[string]string{app: lone,},MatchExpressions:[]LabelSelectorRequirement{},}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.',
  );
});

test("a custom resource's budget follows the scale of the resource; without one it allows nothing and says why", async () => {
  const fixture = makeFixture();
  fixture.seedNamespace();
  const { cluster } = fixture;
  const definition: CustomResourceDefinition = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "clones.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "clones", kind: "CloneSet" },
      versions: [{ name: "v1", served: true, storage: true }],
    },
    status: { conditions: [{ type: "Established", status: "True" }] },
  };
  cluster.seed(CUSTOM_RESOURCE_DEFINITIONS, definition);
  const clones = { group: "example.com", version: "v1", resource: "clones" };
  const set = cluster.seed<KubeObject & { spec: unknown }>(clones, {
    kind: "CloneSet",
    metadata: { name: "c", namespace: "default" },
    spec: { replicas: 5 },
  });
  const owned = (name: string, kind: string): Pod => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "default",
      labels: { app: name },
      ownerReferences: [
        { apiVersion: "example.com/v1", kind, name: "c", uid: set.metadata?.uid ?? "", controller: true },
      ],
    },
    spec: { containers: [{ name: "c", image: "i" }] },
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  });
  for (const [name, kind] of [
    ["known", "CloneSet"],
    ["unknown", "Sheep"],
  ] as const) {
    cluster.seed(PODS, owned(name, kind));
    cluster.seed(POD_DISRUPTION_BUDGETS, {
      ...budget({ selector: { matchLabels: { app: name } }, maxUnavailable: 1 }),
      metadata: { name, namespace: "default", generation: 1 },
    });
  }
  fixture.start();
  const status = (name: string) =>
    cluster.objects<PodDisruptionBudget>(POD_DISRUPTION_BUDGETS).find(({ metadata }) => metadata?.name === name)
      ?.status;
  expect(await fixture.until(() => status("known")?.expectedPods === 5)).toBe(true);
  expect(await fixture.until(() => status("unknown")?.conditions?.[0]?.reason === "SyncFailed")).toBe(true);
  expect(await fixture.until(() => fixture.events("CalculateExpectedPodCountFailed").length === 1)).toBe(true);
});

test("a disruption that never came is taken back after two minutes", async () => {
  const target = (reason: string, lastTransitionTime: string): Pod => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: { containers: [{ name: "c", image: "i" }] },
    status: {
      phase: "Running",
      conditions: [{ type: "DisruptionTarget", status: "True", reason, message: "soon", lastTransitionTime }],
    },
  });
  const evicted = target("EvictionByEvictionAPI", formatTime(NOW));
  expect(staleInMs(evicted, NOW + 30_000)).toBe(90_000);
  expect(staleInMs(evicted, NOW + 130_000)).toBe(0);
  expect(staleInMs(target("TerminationByKubelet", formatTime(NOW)), NOW + 130_000)).toBeUndefined();
  const leaving = { ...evicted, metadata: { ...evicted.metadata, deletionTimestamp: formatTime(NOW) } };
  expect(staleInMs(leaving, NOW + 130_000)).toBeUndefined();
  const fixture = makeFixture();
  fixture.seedNamespace();
  fixture.cluster.seed(PODS, target("EvictionByEvictionAPI", formatTime(fixture.env.clock.now())));
  fixture.start();
  const condition = () => fixture.pods()[0]?.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
  await fixture.env.advance(100_000);
  expect(condition()?.status).toBe("True");
  expect(await fixture.until(() => condition()?.status === "False")).toBe(true);
  expect(Object.keys(condition() ?? {}).toSorted()).toEqual(["lastTransitionTime", "status", "type"]);
});
