// Nodes that fall silent, their taints and pods, address ranges, and pods that are left behind.
import { LEASES, NODES, PODS, type Lease, type Node, type Pod } from "@coxswain/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatRange, nodePrefix, parseRange, planPodCidr, type Range } from "../src/node-ipam/plan.ts";
import { evictionIntervalMs, planEviction, planTaints } from "../src/node-lifecycle/plan.ts";
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
    const fixture = makeFixture();
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
    silent = false;
    const status = { conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: "2026-01-01T01:00:00Z" }] };
    const type = "application/strategic-merge-patch+json";
    await fixture.settle(fixture.admin.patch(NODES, { name: "n1" }, type, { status }, { subresource: "status" }));
    expect(await fixture.until(() => effects().length === 0)).toBe(true);
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
    expect(evictionIntervalMs({ full: false, ready: 1, notReady: 3 })).toBeUndefined();
    expect(evictionIntervalMs({ full: false, ready: 3, notReady: 1 })).toBe(10_000);
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

test("pod gc finds what is left behind", () => {
  const orphan = pod("orphan", "gone");
  const fine = pod("fine", "n1");
  const stuck: Pod = {
    metadata: { name: "stuck", deletionTimestamp: "2026-01-01T00:00:00Z" },
    spec: { containers: [] },
  };
  const ended: Pod = { ...pod("ended", "n1"), status: { phase: "Succeeded" } };
  const plan = planPodGc([orphan, fine, stuck, ended], new Set(["n1"]), 0);
  expect(plan).toEqual({ terminated: [], unscheduled: [stuck], orphaned: [orphan] });
  expect(planPodGc([ended, { ...ended }], new Set(["n1"]), 1).terminated).toEqual([ended]);
});
