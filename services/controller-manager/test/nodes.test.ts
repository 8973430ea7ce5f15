// Nodes that fall silent, their taints and pods, address ranges, and pods that are left behind.
import { LEASES, NODES, PODS, type Lease, type Node, type Pod } from "@coxswain/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatRange, nodePrefix, parseRange, planPodCidr, type Range } from "../src/node-ipam/plan.ts";
import {
  evictionIntervalMs,
  healthOf,
  isFullyDisrupted,
  planEviction,
  planTaints,
} from "../src/node-lifecycle/plan.ts";
import { planPodGc } from "../src/pod-gc/plan.ts";
import { makeFixture, readyNode, type Fixture } from "./cluster-fixture.ts";

function pod(name: string, node: string, extra: Partial<NonNullable<Pod["spec"]>> = {}): Pod {
  const conditions = [{ type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { nodeName: node, containers: [{ name: "c", image: "i" }], terminationGracePeriodSeconds: 0, ...extra },
    status: { phase: "Running", conditions },
  };
}

/** Renews the node's lease every 10 seconds until `silent` says so. */
function heartbeat(fixture: Fixture, name: string, silent: () => boolean): void {
  const metadata = { name, namespace: "kube-node-lease" };
  fixture.cluster.seed<Lease>(LEASES, { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec: {} });
  fixture.env.timers.setInterval(() => {
    if (silent()) return;
    const renewTime = new Date(fixture.env.clock.now()).toISOString().replace("Z", "000Z");
    const patch = { spec: { renewTime } };
    void fixture.admin.patch(LEASES, metadata, "application/merge-patch+json", patch);
  }, 10_000);
}

describe("node lifecycle", () => {
  test("a silent node is marked and tainted, its pods leave after their toleration; a returning one is clean again", async () => {
    const fixture = makeFixture({ measured: true });
    fixture.seedNamespace();
    let silent = false;
    for (const name of ["n1", "n2"]) {
      fixture.cluster.seed(NODES, readyNode(name, fixture.env.clock.now()));
      heartbeat(fixture, name, () => name === "n1" && silent);
    }
    const tolerations = ["not-ready", "unreachable"].map((key) => ({
      key: `node.kubernetes.io/${key}`,
      operator: "Exists",
      effect: "NoExecute",
      tolerationSeconds: 60,
    }));
    fixture.cluster.seed(PODS, pod("patient", "n1", { tolerations }));
    fixture.cluster.seed(PODS, pod("elsewhere", "n2"));
    fixture.start();
    const node = (name = "n1") => fixture.cluster.objects<Node>(NODES).find((one) => one.metadata?.name === name);
    const ready = () => node()?.status?.conditions?.find((one) => one.type === "Ready");
    await fixture.env.advance(120_000);
    expect(ready()?.status).toBe("True");
    expect(node()?.spec?.taints ?? []).toEqual([]);
    silent = true;
    const silentMs = fixture.env.elapsedMs;
    expect(await fixture.until(() => ready()?.status === "Unknown")).toBe(true);
    expect(fixture.env.elapsedMs - silentMs).toBeGreaterThan(30_000);
    expect(fixture.env.elapsedMs - silentMs).toBeLessThan(46_000);
    expect(ready()).toMatchObject({ reason: "NodeStatusUnknown", message: "Kubelet stopped posting node status." });
    const effects = () => (node()?.spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`);
    expect(await fixture.until(() => effects().length === 2)).toBe(true);
    expect(effects()).toEqual([
      "node.kubernetes.io/unreachable:NoSchedule",
      "node.kubernetes.io/unreachable:NoExecute",
    ]);
    const patient = () => fixture.pods().find((one) => one.metadata?.name === "patient");
    const podReady = patient()?.status?.conditions?.find((one) => one.type === "Ready")?.status;
    expect(podReady).toBe("False");
    await fixture.env.advance(50_000);
    expect(patient()).toBeDefined();
    expect(await fixture.until(() => patient() === undefined)).toBe(true);
    expect(fixture.events("TaintManagerEviction")[0]?.message).toBe("Marking for deletion Pod default/patient");
    expect(fixture.pods().map((one) => one.metadata?.name)).toEqual(["elsewhere"]);
    await fixture.env.advance(100);
    const evictions = await fixture.figures("taint_eviction_controller_");
    expect(evictions["taint_eviction_controller_pod_deletions_total"]).toBe(1);
    expect(evictions["taint_eviction_controller_pod_deletion_duration_seconds_count"]).toBe(1);
    expect(evictions["taint_eviction_controller_pod_deletion_duration_seconds_sum"]).toBeLessThan(1);
    const range = '{clusterCIDR="10.244.0.0/16"}';
    expect(await fixture.figures("node_ipam_controller_")).toMatchObject({
      [`node_ipam_controller_cidrset_cidrs_allocations_total${range}`]: 2,
      [`node_ipam_controller_cirdset_max_cidrs${range}`]: 256,
      [`node_ipam_controller_cidrset_usage_cidrs${range}`]: 2 / 256,
    });
    silent = false;
    const status = { conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: "2026-01-01T01:00:00Z" }] };
    const type = "application/strategic-merge-patch+json";
    await fixture.settle(fixture.admin.patch(NODES, { name: "n1" }, type, { status }, { subresource: "status" }));
    expect(await fixture.until(() => effects().length === 0)).toBe(true);
  });

  test("a taint of no known age counts from when it was seen", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    const taint = { key: "own", value: "v", effect: "NoExecute" };
    heartbeat(fixture, "n1", () => false);
    const node = readyNode("n1", fixture.env.clock.now());
    fixture.cluster.seed(NODES, { ...node, spec: { ...node.spec, taints: [taint] } });
    const tolerations = [{ key: "own", value: "v", effect: "NoExecute", tolerationSeconds: 30 }];
    fixture.start();
    await fixture.env.advance(60_000);
    fixture.cluster.seed(PODS, pod("patient", "n1", { tolerations }));
    await fixture.env.advance(25_000);
    expect(fixture.pods()).toHaveLength(1);
    await fixture.env.advance(10_000);
    expect(fixture.pods()).toEqual([]);
  });

  test("where all nodes are silent, nobody is driven off", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    for (const name of ["n1", "n2"]) fixture.cluster.seed(NODES, readyNode(name, fixture.env.clock.now()));
    fixture.cluster.seed(PODS, pod("p", "n1"));
    fixture.start();
    await fixture.env.advance(600_000);
    const taints = fixture.cluster.objects<Node>(NODES).flatMap((one) => one.spec?.taints ?? []);
    expect(new Set(taints.map(({ effect }) => effect))).toEqual(new Set(["NoSchedule"]));
    // The first of the two may have been given up before the second fell silent, never both.
    expect(fixture.pods().length).toBeLessThanOrEqual(1);
    expect(fixture.cluster.writes().some((call) => call.ref.resource === "pods" && call.verb === "patch")).toBe(true);
  });

  test("taints follow conditions and leave others' alone", () => {
    const node = readyNode("n", 0);
    const other = { key: "mine", effect: "NoExecute" };
    expect(planTaints({ ...node, spec: { taints: [other] } }, "keep", 0)).toBeUndefined();
    expect(planTaints({ ...node, spec: { unschedulable: true, taints: [other] } }, "keep", 0)).toEqual([
      other,
      { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule", timeAdded: "1970-01-01T00:00:00Z" },
    ]);
  });

  test.each([
    ["a healthy zone", 3, 1, 10_000],
    ["a zone of two silent nodes of two", 0, 2, 10_000],
    ["a small zone of which most is silent", 1, 3, undefined],
    ["a large zone of which most is silent", 20, 40, 100_000],
    ["a zone that is silent as a whole, beside others", 0, 60, 10_000],
    ["a zone below the threshold", 5, 6, 10_000],
  ])("%s is given up at its rate", (_, ready, notReady, expected) => {
    const rates = {
      nodeEvictionRate: 0.1,
      secondaryNodeEvictionRate: 0.01,
      unhealthyZoneThreshold: 0.55,
      largeClusterSizeThreshold: 50,
    };
    expect(evictionIntervalMs({ ready, notReady }, rates)).toBe(expected);
    expect(
      evictionIntervalMs({ ready, notReady }, { ...rates, nodeEvictionRate: 0, secondaryNodeEvictionRate: 0 }),
    ).toBe(undefined);
  });

  test("nodes are counted by their zones", () => {
    const labelled = (name: string, zone: string, ready: boolean): Node => {
      const node = ready ? readyNode(name, 0) : { metadata: { name } };
      return { ...node, metadata: { name, labels: { "topology.kubernetes.io/zone": zone } } };
    };
    const zones = healthOf([labelled("a", "x", true), labelled("b", "x", false), labelled("c", "y", false)]);
    expect([...zones.values()]).toEqual([
      { ready: 1, notReady: 1 },
      { ready: 0, notReady: 1 },
    ]);
    expect(isFullyDisrupted(zones)).toBe(false);
    expect(isFullyDisrupted(healthOf([labelled("c", "y", false)]))).toBe(true);
    expect(isFullyDisrupted(new Map())).toBe(false);
    const excluded = labelled("d", "x", false);
    excluded.metadata!.labels!["node.kubernetes.io/exclude-disruption"] = "";
    expect([...healthOf([labelled("a", "x", true), excluded]).values()]).toEqual([{ ready: 1, notReady: 0 }]);
  });

  test("of a node whose kubelet says that it is not ready, the kubelet says what its pods are", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    for (const name of ["n1", "n2"]) {
      heartbeat(fixture, name, () => false);
      fixture.cluster.seed(NODES, readyNode(name, fixture.env.clock.now()));
    }
    fixture.cluster.seed(PODS, pod("p", "n1", { tolerations: [{ operator: "Exists" }] }));
    fixture.start();
    await fixture.env.advance(10_000);
    const status = { conditions: [{ type: "Ready", status: "False", reason: "KubeletNotReady" }] };
    const type = "application/strategic-merge-patch+json";
    await fixture.settle(fixture.admin.patch(NODES, { name: "n1" }, type, { status }, { subresource: "status" }));
    const taints = () => fixture.cluster.objects<Node>(NODES).flatMap((one) => one.spec?.taints ?? []);
    expect(await fixture.until(() => taints().length === 2)).toBe(true);
    await fixture.env.advance(30_000);
    expect(fixture.pods()[0]?.status?.conditions?.find((one) => one.type === "Ready")?.status).toBe("True");
    expect(fixture.events("NodeNotReady")).toEqual([]);
  });

  test("one zone's nodes are given up beside another's", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    for (const [name, zone] of [
      ["a1", "a"],
      ["a2", "a"],
      ["b1", "b"],
      ["b2", "b"],
      ["c1", "c"],
    ] as const) {
      const node = readyNode(name, fixture.env.clock.now());
      fixture.cluster.seed(NODES, { ...node, metadata: { name, labels: { "topology.kubernetes.io/zone": zone } } });
      heartbeat(fixture, name, () => name !== "c1");
    }
    fixture.start();
    const givenUp = () =>
      fixture.cluster
        .objects<Node>(NODES)
        .filter(({ spec }) => spec?.taints?.some(({ effect }) => effect === "NoExecute"))
        .map(({ metadata }) => metadata?.name?.[0] ?? "")
        .toSorted((a, b) => (a < b ? -1 : 1));
    expect(await fixture.until(() => givenUp().length === 2)).toBe(true);
    expect(givenUp()).toEqual(["a", "b"]);
    expect(await fixture.until(() => givenUp().length === 4)).toBe(true);
  });

  test("the shortest toleration decides", () => {
    const taints = [
      { key: "a", effect: "NoExecute", timeAdded: "1970-01-01T00:00:10Z" },
      { key: "b", effect: "NoExecute", timeAdded: "1970-01-01T00:00:10Z" },
    ];
    const node: Node = { metadata: { name: "n" }, spec: { taints } };
    const tolerating = (...seconds: (number | undefined)[]) =>
      pod("p", "n", {
        tolerations: seconds.map((tolerationSeconds, at) => ({
          key: ["a", "b"][at],
          operator: "Exists",
          tolerationSeconds,
        })),
      });
    expect(planEviction(tolerating(), node, 0)).toBe(0);
    expect(planEviction(tolerating(5), node, 0)).toBe(0);
    expect(planEviction(tolerating(undefined, undefined), node, 0)).toBeUndefined();
    expect(planEviction(tolerating(30, 5), node, 0)).toBe(15_000);
    expect(planEviction(tolerating(0, 5), node, 0)).toBe(0);
    const late = tolerating(30, 5);
    late.status = {
      conditions: [{ type: "PodScheduled", status: "True", lastTransitionTime: "1970-01-01T00:01:00Z" }],
    };
    // Whoever comes to a node that was tainted long ago has its whole time.
    expect(planEviction(late, node, 0)).toBe(65_000);
  });
});

describe("node ipam", () => {
  test("ranges are inside the pool and never overlap", () => {
    const pool: Range = { start: 10 * 2 ** 24, prefix: 20 };
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 20, max: 30 }), { maxLength: 60 }), (prefixes) => {
        const used: Range[] = [];
        for (const prefix of prefixes) {
          const range = planPodCidr(pool, used, prefix, false);
          if (range === undefined) continue;
          const end = range.start + 2 ** (32 - range.prefix);
          expect(range.start).toBeGreaterThanOrEqual(pool.start);
          expect(end).toBeLessThanOrEqual(pool.start + 2 ** 12);
          for (const one of used)
            expect(end <= one.start || range.start >= one.start + 2 ** (32 - one.prefix)).toBe(true);
          used.push(range);
        }
      }),
    );
    expect(nodePrefix({ start: 0, prefix: 16 }, 256)).toBe(24);
    expect(nodePrefix({ start: 0, prefix: 16 }, 5_000)).toBe(29);
    expect(parseRange("10.244.1.0/16")).toBeUndefined();
    expect(formatRange(parseRange("10.244.3.0/24")!)).toBe("10.244.3.0/24");
  });

  test("every node gets a range of its own, also after a takeover", async () => {
    const fixture = makeFixture();
    for (let at = 0; at < 20; at++) fixture.cluster.seed(NODES, readyNode(`n${at}`, fixture.env.clock.now()));
    const ranges = () => fixture.cluster.objects<Node>(NODES).flatMap((one) => one.spec?.podCIDR ?? []);
    const first = fixture.start("a");
    expect(await fixture.until(() => ranges().length === 20)).toBe(true);
    first.stop.abort();
    for (let at = 20; at < 40; at++) fixture.cluster.seed(NODES, readyNode(`n${at}`, fixture.env.clock.now()));
    fixture.start("b");
    expect(await fixture.until(() => ranges().length === 40)).toBe(true);
    expect(new Set(ranges()).size).toBe(40);
    expect(ranges()[0]).toBe("10.244.0.0/24");
  });

  test("a preset range is left alone and counts as taken", async () => {
    const fixture = makeFixture();
    const preset = readyNode("preset", fixture.env.clock.now());
    preset.spec = { podCIDR: "10.244.0.0/24", podCIDRs: ["10.244.0.0/24"] };
    fixture.cluster.seed(NODES, preset);
    fixture.cluster.seed(NODES, readyNode("asks", fixture.env.clock.now()));
    const rangeOf = (name: string) =>
      fixture.cluster.objects<Node>(NODES).find((one) => one.metadata?.name === name)?.spec?.podCIDR;
    fixture.start("a");
    expect(await fixture.until(() => rangeOf("asks") !== undefined)).toBe(true);
    expect([rangeOf("preset"), rangeOf("asks")]).toEqual(["10.244.0.0/24", "10.244.1.0/24"]);
  });
});

describe("pod gc", () => {
  const ready = new Map([["n1", readyNode("n1", 0)]]);
  test("finds what is left behind", () => {
    const orphan = pod("orphan", "gone");
    const fine = pod("fine", "n1");
    const stuck: Pod = {
      metadata: { name: "stuck", deletionTimestamp: "2026-01-01T00:00:00Z" },
      spec: { containers: [] },
    };
    const ended: Pod = { ...pod("ended", "n1"), status: { phase: "Succeeded" } };
    const plan = planPodGc([orphan, fine, stuck, ended], ready, 0);
    expect(plan).toEqual({ terminated: [], unscheduled: [stuck], outOfService: [], orphaned: [orphan] });
    expect(planPodGc([ended, { ...ended }], ready, 1).terminated).toEqual([ended]);
  });

  test("lets evicted pods go before others, and old ones before new ones", () => {
    const made = (name: string, at: string, reason?: string): Pod => ({
      metadata: { name, creationTimestamp: at },
      spec: { nodeName: "n1", containers: [] },
      status: { phase: "Failed", ...(reason === undefined ? {} : { reason }) },
    });
    const pods = [
      made("new", "2026-01-03T00:00:00Z"),
      made("old", "2026-01-01T00:00:00Z"),
      made("evicted", "2026-01-04T00:00:00Z", "Evicted"),
    ];
    expect(planPodGc(pods, ready, 1).terminated.map(({ metadata }) => metadata?.name)).toEqual(["evicted", "old"]);
  });

  test("takes pods that cannot end from nodes that are out of service", async () => {
    const going: Pod = {
      ...pod("going", "n1"),
      metadata: { name: "going", deletionTimestamp: "2026-01-01T00:00:00Z" },
    };
    const taints = [{ key: "node.kubernetes.io/out-of-service", value: "nodeshutdown", effect: "NoExecute" }];
    const down: Node = { metadata: { name: "n1" }, spec: { taints } };
    expect(planPodGc([going], new Map([["n1", down]]), 0).outOfService).toEqual([going]);
    expect(planPodGc([going], new Map([["n1", { ...readyNode("n1", 0), spec: { taints } }]]), 0).outOfService).toEqual(
      [],
    );
    expect(planPodGc([pod("staying", "n1")], new Map([["n1", down]]), 0).outOfService).toEqual([]);
    const fixture = makeFixture();
    fixture.seedNamespace();
    fixture.cluster.seed(NODES, readyNode("n2", fixture.env.clock.now()));
    heartbeat(fixture, "n2", () => false);
    fixture.cluster.seed(NODES, down);
    fixture.cluster.seed(PODS, pod("stuck", "n1", { terminationGracePeriodSeconds: 30 }));
    fixture.start();
    expect(await fixture.until(() => fixture.pods().length === 0)).toBe(true);
  });
});
