// StatefulSets: in which order pods come, go and are replaced, and a whole one in a cluster with claims.
import {
  PERSISTENT_VOLUME_CLAIMS,
  PODS,
  STATEFUL_SETS,
  type PersistentVolumeClaim,
  type Pod,
  type StatefulSet,
  type StatefulSetSpec,
} from "@coxswain/api";
import { describe, expect, test } from "vitest";
import { planOwners } from "../src/stateful-set/claims.ts";
import { planStatefulSet, planStatefulSetStatus, type StatefulFacts } from "../src/stateful-set/plan.ts";
import { podForOrdinal } from "../src/stateful-set/stateful-pod.ts";
import { makeFixture, runPods } from "./cluster-fixture.ts";

const NOW = Date.parse("2026-01-01T00:10:00Z");

function statefulSet(spec: Partial<StatefulSetSpec> = {}): StatefulSet {
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "db", namespace: "default", uid: "set-uid", generation: 1 },
    spec: {
      serviceName: "db",
      replicas: 3,
      selector: { matchLabels: { app: "db" } },
      template: { metadata: { labels: { app: "db" } }, spec: { containers: [{ name: "c", image: "v1" }] } },
      podManagementPolicy: "OrderedReady",
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
      ...spec,
    },
    status: { replicas: 0 },
  };
}

interface PodWish {
  readonly ready?: boolean;
  readonly phase?: string;
  readonly revision?: string;
  readonly deleting?: boolean;
}

function pod(
  ordinal: number,
  { ready = true, phase = "Running", revision = "new", deleting = false }: PodWish = {},
): Pod {
  const made = podForOrdinal(statefulSet(), ordinal, statefulSet().spec!.template, revision);
  return {
    ...made,
    metadata: {
      ...made.metadata,
      uid: `uid-${ordinal}`,
      ...(deleting ? { deletionTimestamp: "2026-01-01T00:09:00Z" } : {}),
    },
    status: {
      phase,
      conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: "2026-01-01T00:00:00Z" }],
    },
  };
}

const facts = (pods: Pod[], currentRevision = "new"): StatefulFacts => ({
  pods,
  currentRevision,
  updateRevision: "new",
  nowMs: NOW,
});

const plan = (set: StatefulSet, pods: Pod[], current?: string) => {
  const { create, remove } = planStatefulSet(set, facts(pods, current));
  return { create: create.map(({ ordinal }) => ordinal), remove: remove.map((one) => one.pod.metadata?.name) };
};

describe("in order", () => {
  test("a pod is made when all before it are ready", () => {
    expect(plan(statefulSet(), [])).toEqual({ create: [0], remove: [] });
    expect(plan(statefulSet(), [pod(0, { ready: false })])).toEqual({ create: [], remove: [] });
    expect(plan(statefulSet(), [pod(0)])).toEqual({ create: [1], remove: [] });
    expect(plan(statefulSet(), [pod(0), pod(2)])).toEqual({ create: [1], remove: [] });
    expect(plan(statefulSet(), [pod(0), pod(1, { deleting: true })])).toEqual({ create: [], remove: [] });
  });

  test("with minReadySeconds, when they are available", () => {
    expect(plan(statefulSet({ minReadySeconds: 599 }), [pod(0)]).create).toEqual([1]);
    expect(plan(statefulSet({ minReadySeconds: 601 }), [pod(0)]).create).toEqual([]);
  });

  test("the last goes first, one at a time, and not while another is not well", () => {
    const one = statefulSet({ replicas: 1 });
    expect(plan(one, [pod(0), pod(1), pod(2)]).remove).toEqual(["db-2"]);
    expect(plan(one, [pod(0), pod(1), pod(2, { deleting: true })]).remove).toEqual([]);
    expect(plan(one, [pod(0), pod(1, { ready: false }), pod(2)]).remove).toEqual(["db-2"]);
    expect(plan(one, [pod(0, { ready: false }), pod(1)]).remove).toEqual([]);
  });

  test("none goes while another is not available yet", () => {
    const shrunk = statefulSet({ replicas: 1, minReadySeconds: 599 });
    const lately = pod(1);
    lately.status!.conditions![0]!.lastTransitionTime = "2026-01-01T00:09:00Z";
    expect(plan(shrunk, [pod(0), lately, pod(2)]).remove).toEqual(["db-2"]);
    const last = pod(2);
    last.status!.conditions![0]!.lastTransitionTime = "2026-01-01T00:09:00Z";
    expect(plan(shrunk, [pod(0), lately, last]).remove).toEqual([]);
  });

  test("an ended pod is made anew", () => {
    expect(plan(statefulSet(), [pod(0, { phase: "Failed", ready: false })])).toEqual({ create: [], remove: ["db-0"] });
  });

  test("ordinals may begin elsewhere", () => {
    expect(plan(statefulSet({ ordinals: { start: 5 } }), [])).toEqual({ create: [5], remove: [] });
    expect(plan(statefulSet({ ordinals: { start: 1 }, replicas: 1 }), [pod(0), pod(1)]).remove).toEqual(["db-0"]);
  });
});

test("in parallel nobody waits", () => {
  const parallel = { podManagementPolicy: "Parallel" };
  expect(plan(statefulSet(parallel), []).create).toEqual([0, 1, 2]);
  expect(plan(statefulSet({ ...parallel, replicas: 0 }), [pod(0), pod(1, { ready: false })]).remove).toEqual([
    "db-1",
    "db-0",
  ]);
});

describe("updates", () => {
  const old = { revision: "old" };
  const all = [pod(0, old), pod(1, old), pod(2, old)];

  test("roll from the last to the first, each when those after it are well", () => {
    expect(plan(statefulSet(), all, "old").remove).toEqual(["db-2"]);
    expect(plan(statefulSet(), [pod(0, old), pod(1, old), pod(2)], "old").remove).toEqual(["db-1"]);
    expect(plan(statefulSet(), [pod(0, old), pod(1, old), pod(2, { ready: false })], "old").remove).toEqual([]);
  });

  test("stop at the partition, below which pods are made as they were", () => {
    const partitioned = (partition: number) =>
      statefulSet({ updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition } } });
    expect(plan(partitioned(3), all, "old").remove).toEqual([]);
    expect(plan(partitioned(2), [pod(0, old), pod(1, old), pod(2)], "old").remove).toEqual([]);
    const { create } = planStatefulSet(partitioned(2), facts([pod(0, old)], "old"));
    expect(create).toEqual([{ ordinal: 1, revision: "old" }]);
    const last = planStatefulSet(partitioned(2), facts([pod(0, old), pod(1, old)], "old"));
    expect(last.create).toEqual([{ ordinal: 2, revision: "new" }]);
  });

  test("several at a time where they may be missing", () => {
    const two = statefulSet({
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0, maxUnavailable: 2 } },
    });
    expect(plan(two, all, "old").remove).toEqual(["db-2", "db-1"]);
  });

  test("in parallel no more are missing than may be, and one that does not serve is replaced first", () => {
    const parallel = (maxUnavailable: number) =>
      statefulSet({
        podManagementPolicy: "Parallel",
        updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0, maxUnavailable } },
      });
    const away = { ...old, ready: false };
    expect(plan(parallel(1), [pod(0, { ready: false }), pod(1, old), pod(2, old)], "old").remove).toEqual([]);
    expect(plan(parallel(1), [pod(0, away), pod(1, old), pod(2, old)], "old").remove).toEqual(["db-0"]);
    expect(plan(parallel(2), [pod(0, away), pod(1, old), pod(2, old)], "old").remove).toEqual(["db-2", "db-0"]);
    expect(plan(parallel(1), [pod(0, away), pod(1, away), pod(2, away)], "old").remove).toEqual(["db-2"]);
    expect(plan(parallel(1), [pod(1, old), pod(2, old)], "old")).toEqual({ create: [0], remove: [] });
  });

  test("on deletion only, nothing is replaced", () => {
    expect(plan(statefulSet({ updateStrategy: { type: "OnDelete" } }), all, "old").remove).toEqual([]);
  });

  test("the update is over when all pods have it and are ready", () => {
    const status = (pods: Pod[]) => planStatefulSetStatus(statefulSet(), facts(pods, "old"));
    expect(status([pod(0, old), pod(1), pod(2)])).toMatchObject({
      currentRevision: "old",
      updateRevision: "new",
      currentReplicas: 1,
      updatedReplicas: 2,
    });
    expect(status([pod(0), pod(1), pod(2)])).toMatchObject({ currentRevision: "new", currentReplicas: 3 });
  });
});

test("claims belong to whoever takes them along", () => {
  const owners = (whenDeleted: string, whenScaled: string, condemned: boolean) => {
    const set = statefulSet({ persistentVolumeClaimRetentionPolicy: { whenDeleted, whenScaled } });
    const present = [{ apiVersion: "v1", kind: "Other", name: "x", uid: "x" }];
    return planOwners(present, { set, pod: pod(1), condemned }).wanted.map(({ kind }) => kind);
  };
  expect(owners("Retain", "Retain", true)).toEqual(["Other"]);
  expect(owners("Delete", "Retain", true)).toEqual(["Other", "StatefulSet"]);
  expect(owners("Delete", "Delete", false)).toEqual(["Other", "StatefulSet"]);
  expect(owners("Retain", "Delete", true)).toEqual(["Other", "Pod"]);
});

describe("owners of a claim", () => {
  const set = statefulSet({ persistentVolumeClaimRetentionPolicy: { whenDeleted: "Delete", whenScaled: "Retain" } });
  const owners = { set, pod: pod(1), condemned: false };
  const { name: setName = "", uid: setUid = "" } = set.metadata ?? {};
  const { name: podName = "" } = pod(1).metadata ?? {};
  const flags = { controller: true, blockOwnerDeletion: true };
  const own = { apiVersion: "apps/v1", kind: "StatefulSet", name: setName, uid: setUid, ...flags };
  const other = { apiVersion: "v1", kind: "ConfigMap", name: "x", uid: "x" };

  test("the set controls it", () => {
    expect(planOwners([other], owners).wanted).toEqual([other, own]);
    expect(planOwners([{ ...own, controller: false }], owners).wanted).toEqual([own]);
  });

  test("what an earlier set or pod of the name owns is left alone", () => {
    const ofSet = [{ ...own, uid: "earlier" }];
    const ofPod = [{ apiVersion: "v1", kind: "Pod", name: podName, uid: "earlier" }, own];
    expect(planOwners(ofSet, owners).wanted).toEqual(ofSet);
    expect(planOwners(ofPod, owners).wanted).toEqual(ofPod);
    expect(planOwners(ofSet, owners).conflict).toBe(true);
  });

  test("another controller keeps it for itself", () => {
    const controller = { ...other, controller: true };
    expect(planOwners([controller, own], owners).wanted).toEqual([controller]);
    expect(planOwners([controller, own], owners).conflict).toBe(true);
    expect(planOwners([other, own], owners).conflict).toBe(false);
    expect(planOwners([controller], { ...owners, set: statefulSet() }).conflict).toBe(false);
  });
});

test("in a cluster pods come with names and claims, scale and update in order", async () => {
  const fixture = makeFixture({ measured: true });
  fixture.seedNamespace();
  runPods(fixture);
  const claim: PersistentVolumeClaim = { metadata: { name: "data" }, spec: { accessModes: ["ReadWriteOnce"] } };
  fixture.cluster.seed(STATEFUL_SETS, statefulSet({ volumeClaimTemplates: [claim] }));
  fixture.start();
  const set = (): StatefulSet | undefined => fixture.cluster.objects<StatefulSet>(STATEFUL_SETS)[0];
  expect(await fixture.until(() => set()?.status?.readyReplicas === 3)).toBe(true);
  const names = (): string[] => fixture.pods().map(({ metadata }) => metadata?.name ?? "");
  expect(names().toSorted((a, b) => (a < b ? -1 : 1))).toEqual(["db-0", "db-1", "db-2"]);
  const claims = fixture.cluster.objects<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS);
  expect(claims.map(({ metadata }) => metadata?.name)).toEqual(["data-db-0", "data-db-1", "data-db-2"]);
  expect(fixture.pods()[0]?.spec).toMatchObject({
    hostname: "db-0",
    subdomain: "db",
    volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data-db-0" } }],
  });
  const name = "statefulset_controller_statefulset_";
  const labels = '{statefulset_namespace="default",statefulset_name="db",pod_management_policy="OrderedReady"}';
  await fixture.env.advance(1_000);
  expect(await fixture.figures(name)).toEqual({
    [`${name}max_unavailable${labels}`]: 1,
    [`${name}unavailable_replicas${labels}`]: 0,
  });
  const target = { namespace: "default", name: "db" };
  const change = (spec: object) =>
    fixture.settle(fixture.admin.patch(STATEFUL_SETS, target, "application/merge-patch+json", { spec }));
  await change({ template: { spec: { containers: [{ name: "c", image: "v2" }] } } });
  const missing = (): boolean => fixture.pods().some(({ status }) => status?.phase !== "Running");
  expect(await fixture.until(missing)).toBe(true);
  await fixture.env.advance(10);
  expect(await fixture.figures(`${name}unavailable_replicas`)).toEqual({ [`${name}unavailable_replicas${labels}`]: 1 });
  const allNew = (): boolean =>
    fixture.pods().length === 3 && fixture.pods().every((one) => one.spec?.containers[0]?.image === "v2");
  expect(await fixture.until(allNew, 120_000)).toBe(true);
  expect(await fixture.until(() => set()?.status?.currentRevision === set()?.status?.updateRevision)).toBe(true);
  await change({ replicas: 1 });
  expect(await fixture.until(() => names().join() === "db-0")).toBe(true);
  expect(fixture.cluster.objects<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS)).toHaveLength(3);
  await fixture.settle(fixture.admin.delete(STATEFUL_SETS, target));
  await fixture.env.advance(1_000);
  expect(await fixture.figures(name)).toEqual({});
});

test("of a set that is being deleted the pods that are left are counted", async () => {
  const fixture = makeFixture();
  fixture.seedNamespace();
  runPods(fixture);
  fixture.cluster.seed(STATEFUL_SETS, statefulSet());
  fixture.start();
  const set = (): StatefulSet | undefined => fixture.cluster.objects<StatefulSet>(STATEFUL_SETS)[0];
  expect(await fixture.until(() => set()?.status?.readyReplicas === 3)).toBe(true);
  const target = { namespace: "default", name: "db" };
  const kept = { metadata: { finalizers: ["example.com/kept"] } };
  await fixture.settle(fixture.admin.patch(STATEFUL_SETS, target, "application/merge-patch+json", kept));
  await fixture.settle(fixture.admin.delete(STATEFUL_SETS, target));
  for (const { metadata } of fixture.pods())
    await fixture.settle(fixture.admin.delete(PODS, { ...target, name: metadata?.name ?? "" }));
  expect(await fixture.until(() => fixture.pods().length === 0 && set()?.status?.replicas === 0)).toBe(true);
  expect(set()?.status?.readyReplicas).toBeUndefined();
});
