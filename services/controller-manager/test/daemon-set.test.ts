// DaemonSets: on which nodes a pod belongs, how updates roll, and a whole one in a cluster.
import {
  CONTROLLER_REVISIONS,
  DAEMON_SETS,
  NODES,
  PODS,
  type ControllerRevision,
  type DaemonSet,
  type DaemonSetSpec,
  type Node,
  type Pod,
  type Taint,
} from "@coxswain/api";
import { describe, expect, test } from "vitest";
import { nodeOf, podForNode } from "../src/daemon-set/daemon-pod.ts";
import { planDaemonSet, planDaemonSetStatus } from "../src/daemon-set/plan.ts";
import { planRevision, surplusRevisions, templateOf } from "../src/revisions/history.ts";
import { makeFixture, readyNode, runPods } from "./cluster-fixture.ts";

const NOW = Date.parse("2026-01-01T00:10:00Z");

function daemonSet(spec: Partial<DaemonSetSpec> = {}, podSpec: object = {}): DaemonSet {
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "agent", namespace: "default", uid: "ds-uid", generation: 1 },
    spec: {
      selector: { matchLabels: { app: "agent" } },
      template: {
        metadata: { labels: { app: "agent" } },
        spec: { containers: [{ name: "c", image: "v1" }], ...podSpec },
      },
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
      ...spec,
    },
    status: { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0 },
  };
}

const node = (name: string, taints: Taint[] = [], labels: Record<string, string> = {}): Node => ({
  metadata: { name, labels },
  spec: { taints },
});

let serial = 0;
const pod = (
  nodeName: string,
  hash = "now",
  more: { ready?: boolean; phase?: string; deleting?: boolean } = {},
): Pod => {
  const { ready = true, phase = "Running", deleting = false } = more;
  serial++;
  return {
    metadata: {
      name: `p${serial}`,
      uid: `u${serial}`,
      labels: { app: "agent", "controller-revision-hash": hash },
      creationTimestamp: new Date(NOW - 100_000 + serial * 1000).toISOString(),
      ...(deleting ? { deletionTimestamp: new Date(NOW).toISOString() } : {}),
    },
    spec: { nodeName, containers: [] },
    status: {
      phase,
      conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: "2026-01-01T00:00:00Z" }],
    },
  };
};

const plan = (set: DaemonSet, nodes: Node[], pods: Pod[]) => {
  const { create, remove } = planDaemonSet(set, { nodes, pods, hash: "now", nowMs: NOW });
  return { create: [...create], remove: remove.map((one) => one.spec?.nodeName) };
};

describe("where a pod belongs", () => {
  const taint = (key: string, effect: string): Taint => ({ key, effect });

  test("on every node that it fits, by labels, name and taints", () => {
    const nodes = [
      node("plain"),
      node("tainted", [taint("own", "NoSchedule")]),
      node("cordoned", [taint("node.kubernetes.io/unschedulable", "NoSchedule")]),
      node("silent", [taint("node.kubernetes.io/unreachable", "NoExecute")]),
      node("labelled", [], { disk: "ssd" }),
    ];
    expect(plan(daemonSet(), nodes, []).create).toEqual(["plain", "cordoned", "silent", "labelled"]);
    expect(plan(daemonSet({}, { nodeSelector: { disk: "ssd" } }), nodes, []).create).toEqual(["labelled"]);
    expect(plan(daemonSet({}, { tolerations: [{ operator: "Exists" }] }), nodes, []).create).toHaveLength(5);
    expect(plan(daemonSet({}, { nodeName: "plain" }), nodes, []).create).toEqual(["plain"]);
  });

  test("a pod stays where it could not begin, and leaves where it may not be", () => {
    const nodes = [node("a", [taint("own", "NoSchedule")]), node("b", [taint("own", "NoExecute")])];
    expect(plan(daemonSet(), nodes, [pod("a"), pod("b")])).toEqual({ create: [], remove: ["b"] });
  });

  test("one pod a node: the oldest stays, an ended one goes, one on its way out holds the place", () => {
    const [first, second] = [pod("a"), pod("a")];
    const { remove } = planDaemonSet(daemonSet(), {
      nodes: [node("a")],
      pods: [second, first],
      hash: "now",
      nowMs: NOW,
    });
    expect(remove).toEqual([second]);
    expect(plan(daemonSet(), [node("a")], [pod("a", "now", { phase: "Failed" })])).toEqual({
      create: [],
      remove: ["a"],
    });
    expect(plan(daemonSet(), [node("a")], [pod("a", "now", { deleting: true })])).toEqual({ create: [], remove: [] });
  });

  test("a pod that waits for a node that is gone is taken away", () => {
    const waiting = (name: string): Pod => {
      const made = podForNode(daemonSet(), name, "now");
      return { ...made, metadata: { ...made.metadata, name } };
    };
    const pods = [waiting("a"), waiting("gone"), pod("gone")];
    const { create, remove } = planDaemonSet(daemonSet(), { nodes: [node("a")], pods, hash: "now", nowMs: NOW });
    expect([create, remove.map((one) => one.metadata?.name)]).toEqual([[], ["gone"]]);
    expect(remove[0]?.spec?.nodeName).toBeUndefined();
  });

  test("the pod is for its node alone, whatever alternatives its template has", () => {
    const term = { matchExpressions: [{ key: "disk", operator: "Exists" }] };
    const affinity = {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term, term] } },
    };
    const made = podForNode(daemonSet({}, { affinity }), "node-7", "now");
    expect(nodeOf(made)).toBe("node-7");
    const only = [{ key: "metadata.name", operator: "In", values: ["node-7"] }];
    expect(
      made.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms,
    ).toEqual([
      { ...term, matchFields: only },
      { ...term, matchFields: only },
    ]);
    expect(made.metadata?.labels).toEqual({ app: "agent", "controller-revision-hash": "now" });
  });
});

describe("how an update rolls", () => {
  const nodes = ["a", "b", "c", "d"].map((name) => node(name));
  const old = (...names: string[]): Pod[] => names.map((name) => pod(name, "before"));

  test("one after the other, and broken ones at once", () => {
    expect(plan(daemonSet(), nodes, old("a", "b", "c", "d")).remove).toEqual(["a"]);
    expect(plan(daemonSet(), nodes, [...old("a", "b", "c"), pod("d", "now", { ready: false })]).remove).toEqual([]);
    const broken = pod("d", "before", { ready: false });
    expect(plan(daemonSet(), nodes, [...old("a", "b", "c"), broken]).remove).toEqual(["d"]);
    const half = { updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "50%", maxSurge: 0 } } };
    expect(plan(daemonSet(half), nodes, old("a", "b", "c", "d")).remove).toEqual(["a", "b"]);
  });

  test("with a surge the old pod goes when the new one is available", () => {
    const surge = { updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } } };
    expect(plan(daemonSet(surge), nodes, old("a", "b", "c", "d"))).toEqual({ create: ["a"], remove: [] });
    const starting = pod("a", "now", { ready: false });
    expect(plan(daemonSet(surge), nodes, [...old("a", "b", "c", "d"), starting])).toEqual({ create: [], remove: [] });
    expect(plan(daemonSet(surge), nodes, [...old("a", "b", "c", "d"), pod("a")])).toEqual({
      create: ["b"],
      remove: ["a"],
    });
  });

  const surging = { updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } } };

  test("with a surge an old pod that is not ready goes as soon as a new one is there, and nobody waits for one that leaves", () => {
    const [broken, starting] = [pod("a", "before", { ready: false }), pod("a", "now", { ready: false })];
    expect(
      planDaemonSet(daemonSet(surging), { nodes: [node("a")], pods: [broken, starting], hash: "now", nowMs: NOW }),
    ).toMatchObject({ create: [], remove: [broken] });
    const leaving = pod("a", "now", { deleting: true });
    expect(plan(daemonSet(surging), [node("a")], [leaving])).toEqual({ create: ["a"], remove: [] });
  });

  test("pods that may only stay are replaced too, by none", () => {
    const tainted = node("t", [{ key: "own", effect: "NoSchedule" }]);
    expect(plan(daemonSet(), [node("a"), tainted], [pod("a"), ...old("t")])).toEqual({ create: [], remove: ["t"] });
    // With a surge it serves until its successors elsewhere do.
    expect(plan(daemonSet(surging), [node("a"), tainted], old("a", "t"))).toEqual({ create: ["a"], remove: ["t"] });
    const starting = pod("a", "now", { ready: false });
    expect(plan(daemonSet(surging), [node("a"), tainted], [starting, ...old("t")])).toEqual({ create: [], remove: [] });
    const broken = pod("t", "before", { ready: false });
    expect(plan(daemonSet(surging), [node("a"), tainted], [starting, broken])).toEqual({ create: [], remove: ["t"] });
  });

  test("on deletion only, nothing is replaced", () => {
    expect(plan(daemonSet({ updateStrategy: { type: "OnDelete" } }), nodes, old("a", "b", "c", "d")).remove).toEqual(
      [],
    );
  });
});

test("status counts nodes", () => {
  const nodes = [node("a"), node("b"), node("c"), node("d", [{ key: "own", effect: "NoSchedule" }])];
  const pods = [pod("a"), pod("b", "before", { ready: false }), pod("d")];
  expect(planDaemonSetStatus(daemonSet(), { nodes, pods, hash: "now", nowMs: NOW })).toEqual({
    currentNumberScheduled: 2,
    desiredNumberScheduled: 3,
    numberMisscheduled: 1,
    numberReady: 1,
    numberAvailable: 1,
    numberUnavailable: 2,
    updatedNumberScheduled: 1,
    observedGeneration: 1,
  });
});

test("a template that comes back is the old revision with a new number", () => {
  const owner = (image: string) => {
    const set = daemonSet({}, { containers: [{ name: "c", image }] });
    return { object: set, apiVersion: "apps/v1", kind: "DaemonSet", template: set.spec!.template, collisionCount: 0 };
  };
  const first = planRevision(owner("v1"), []);
  expect([first.action, first.current.revision, templateOf(first.current)]).toEqual([
    "create",
    1,
    owner("v1").template,
  ]);
  const { template } = (first.current.data as { spec: { template: object } }).spec;
  expect(Object.keys(template)).toEqual(["$patch", ...Object.keys(owner("v1").template).toSorted()]);
  const second = planRevision(owner("v2"), [first.current]);
  expect([second.action, second.current.revision]).toEqual(["create", 2]);
  const back = planRevision(owner("v1"), [first.current, second.current]);
  expect([back.action, back.current.revision, back.current.metadata?.name]).toEqual([
    "renumber",
    3,
    first.current.metadata?.name,
  ]);
  expect(planRevision(owner("v1"), [second.current, back.current]).action).toBe("keep");
  expect(surplusRevisions([second.current, back.current], (one) => one === back.current, 0)).toEqual([second.current]);
});

test("a revision has its owner's annotations, which say what caused the change, and is labelled as the kind's are", () => {
  const set = daemonSet();
  const annotations = { "kubernetes.io/change-cause": "kubectl apply" };
  const object = { ...set, metadata: { ...set.metadata, annotations } };
  const made = (kind: string) =>
    planRevision({ object, apiVersion: "apps/v1", kind, template: set.spec!.template, collisionCount: 0 }, []).current;
  expect(made("DaemonSet").metadata?.annotations).toEqual(annotations);
  expect(Object.keys(made("DaemonSet").metadata?.labels ?? {})).toEqual(["app", "controller-revision-hash"]);
  expect(Object.keys(made("StatefulSet").metadata?.labels ?? {})).toEqual(["app", "controller.kubernetes.io/hash"]);
});

test("in a cluster each node gets a pod, new nodes too, and an update reaches all", async () => {
  const fixture = makeFixture();
  fixture.seedNamespace();
  runPods(fixture);
  for (const name of ["n1", "n2"]) fixture.cluster.seed(NODES, readyNode(name, fixture.env.clock.now()));
  fixture.cluster.seed(DAEMON_SETS, daemonSet());
  fixture.start();
  const set = (): DaemonSet | undefined => fixture.cluster.objects<DaemonSet>(DAEMON_SETS)[0];
  const onNodes = (): string[] => {
    const found = fixture.cluster
      .objects<Pod>(PODS)
      .map((one) => nodeOf({ ...one, spec: { ...one.spec!, nodeName: undefined } }));
    return found.map(String).toSorted((a, b) => (a < b ? -1 : 1));
  };
  expect(await fixture.until(() => onNodes().join() === "n1,n2")).toBe(true);
  fixture.cluster.seed(NODES, readyNode("n3", fixture.env.clock.now()));
  expect(await fixture.until(() => onNodes().join() === "n1,n2,n3")).toBe(true);
  const target = { namespace: "default", name: "agent" };
  const patch = { spec: { template: { spec: { containers: [{ name: "c", image: "v2" }] } } } };
  await fixture.settle(fixture.admin.patch(DAEMON_SETS, target, "application/merge-patch+json", patch));
  const allNew = (): boolean =>
    fixture.pods().length === 3 && fixture.pods().every((one) => one.spec?.containers[0]?.image === "v2");
  expect(await fixture.until(allNew, 120_000)).toBe(true);
  expect(fixture.cluster.objects<ControllerRevision>(CONTROLLER_REVISIONS)).toHaveLength(2);
  expect(set()?.status?.desiredNumberScheduled).toBe(3);
});
