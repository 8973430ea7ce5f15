// Decisions on columns: wording, no over-commitment, hard spread never violated, incremental equals rebuilt.
import { createSeededRandom } from "@coxswain/env";
import type { Node, Pod, PodSpec } from "@coxswain/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Framework, nodesToFind } from "../src/framework/plan-schedule.ts";
import { DEFAULT_PROFILES } from "../src/framework/registry.ts";
import { makePodInfo, podRequests } from "../src/pod-info.ts";
import { mayHelp, podUpdateEvent } from "../src/queue/cluster-event.ts";
import { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";
import type { Selection } from "../src/snapshot/pod-counters.ts";

function node(
  name: string,
  over: { cpu?: string; zone?: string; spec?: Node["spec"]; more?: Record<string, string> } = {},
): Node {
  return {
    metadata: {
      name,
      labels: { "kubernetes.io/hostname": name, ...(over.zone === undefined ? {} : { zone: over.zone }) },
    },
    ...(over.spec === undefined ? {} : { spec: over.spec }),
    status: { allocatable: { cpu: over.cpu ?? "2", memory: "4Gi", pods: "10", ...over.more } },
  };
}

function pod(
  name: string,
  spec: Partial<PodSpec> & { cpu?: string } = {},
  labels: Record<string, string> = { app: "a" },
): Pod {
  const { cpu, ...rest } = spec;
  return {
    metadata: { name, namespace: "default", uid: `uid-${name}`, labels },
    spec: {
      schedulerName: "default-scheduler",
      containers: [{ name: "main", resources: { requests: cpu === undefined ? {} : { cpu } } }],
      ...rest,
    },
  };
}

function plan(nodes: Node[], wanted: Pod, placed: Pod[] = []) {
  const snapshot = new ClusterSnapshot();
  for (const one of nodes) snapshot.upsertNode(one);
  for (const one of placed) snapshot.upsertPod(one);
  const framework = new Framework(DEFAULT_PROFILES[0]!);
  const options = { random: createSeededRandom(1), percentageOfNodesToScore: 0 };
  return framework.planSchedule(makePodInfo(wanted), snapshot, options);
}

function message(nodes: Node[], wanted: Pod, placed: Pod[] = []): string {
  const result = plan(nodes, wanted, placed);
  return result.kind === "unschedulable" ? result.message : `-> ${result.node}`;
}

const NOT_HELPFUL = "Preemption is not helpful for scheduling.";
const three = [node("a"), node("b"), node("c")];
const bound = (one: Pod, to: string): Pod => ({ ...one, spec: { ...one.spec!, nodeName: to } });
const taint = { key: "k", value: "v", effect: "NoSchedule" };
const affinity = (matchFields: { key: string; operator: string; values: string[] }[]): Partial<PodSpec> => ({
  affinity: {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields }] } },
  },
});

describe("wording", () => {
  test.each<[string, Node[], Pod, Pod[], string]>([
    ["no nodes", [], pod("p"), [], "no nodes available to schedule pods"],
    [
      "taint and cpu",
      [node("a", { spec: { taints: [taint] } }), node("b"), node("c")],
      pod("p", { cpu: "1" }),
      [bound(pod("x", { cpu: "2" }), "b"), bound(pod("y", { cpu: "1500m" }), "c")],
      "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to deallocate, " +
        "preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.",
    ],
    [
      "more than any node has",
      three,
      pod("p", { cpu: "64" }),
      [],
      `0/3 nodes are available: 3 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 ${NOT_HELPFUL}`,
    ],
    [
      "selector",
      three,
      pod("p", { nodeSelector: { disk: "ssd" } }),
      [],
      `0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/3 nodes are available: 3 ${NOT_HELPFUL}`,
    ],
    [
      "cordoned",
      [node("a", { spec: { unschedulable: true } })],
      pod("p"),
      [],
      `0/1 nodes are available: 1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/1 nodes are available: 1 ${NOT_HELPFUL}`,
    ],
    [
      "never preempts",
      three,
      pod("p", { cpu: "64", preemptionPolicy: "Never" }),
      [],
      "0/3 nodes are available: 3 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.",
    ],
    [
      "a claim that is not there",
      [node("a")],
      pod("p", { volumes: [{ name: "data", persistentVolumeClaim: { claimName: "c" } }] }),
      [],
      `0/1 nodes are available: persistentvolumeclaim "c" not found. no new claims to deallocate, preemption: 0/1 nodes are available: 1 ${NOT_HELPFUL}`,
    ],
    ["matchFields", three, pod("p", affinity([{ key: "metadata.name", operator: "In", values: ["b"] }])), [], "-> b"],
    [
      "matchFields in conflict",
      [node("a")],
      pod(
        "p",
        affinity([
          { key: "metadata.name", operator: "In", values: ["a"] },
          { key: "metadata.name", operator: "In", values: ["b"] },
        ]),
      ),
      [],
      `0/1 nodes are available: pod affinity terms conflict. no new claims to deallocate, preemption: 0/1 nodes are available: 1 ${NOT_HELPFUL}`,
    ],
  ])("%s", (_name, nodes, wanted, placed, expected) => {
    expect(message(nodes, wanted, placed)).toBe(expected);
  });
});

describe("plugins", () => {
  test("a toleration lets a pod onto a tainted or cordoned node", () => {
    const tainted = node("a", { spec: { taints: [taint] } });
    expect(message([tainted], pod("p", { tolerations: [{ key: "k", operator: "Exists" }] }))).toBe("-> a");
    const cordoned = node("a", { spec: { unschedulable: true } });
    expect(message([cordoned], pod("p", { tolerations: [{ operator: "Exists" }] }))).toBe("-> a");
  });

  test("host ports collide by address and protocol", () => {
    const ports = (hostIP: string, protocol = "TCP"): Partial<PodSpec> => ({
      containers: [{ name: "c", ports: [{ containerPort: 80, hostPort: 80, hostIP, protocol }] }],
    });
    const there = [bound(pod("x", ports("10.0.0.1")), "a")];
    expect(message([node("a")], pod("p", ports("0.0.0.0")), there)).toContain("1 node(s) didn't have free ports");
    expect(message([node("a")], pod("p", ports("10.0.0.2")), there)).toBe("-> a");
    expect(message([node("a")], pod("p", ports("0.0.0.0", "UDP")), there)).toBe("-> a");
  });

  test("pod count and extended resources", () => {
    const gpu = { "example.com/gpu": "1" };
    const wanted = pod("p", { containers: [{ name: "c", resources: { requests: gpu } }] });
    expect(message(three, wanted)).toContain("3 Insufficient example.com/gpu");
    expect(message([...three, node("g", { more: gpu })], wanted)).toBe("-> g");
    const full = node("a", { more: { pods: "1" } });
    expect(message([full], pod("p"), [bound(pod("x"), "a")])).toContain("1 Too many pods");
  });

  test("requests: init containers, sidecars, overhead and pod level", () => {
    const container = (cpu: string, restartPolicy?: string) => ({
      name: cpu,
      resources: { requests: { cpu } },
      ...(restartPolicy === undefined ? {} : { restartPolicy }),
    });
    const spec = { containers: [container("100m")], initContainers: [container("50m", "Always"), container("300m")] };
    expect(podRequests({ spec }).get("cpu")).toBe(350);
    expect(podRequests({ spec: { ...spec, overhead: { cpu: "10m" } } }).get("cpu")).toBe(360);
    expect(podRequests({ spec: { ...spec, resources: { requests: { cpu: "1" } } } }).get("cpu")).toBe(1000);
  });

  describe("requests of a pod that is resized in place", () => {
    interface Given {
      readonly asked: Record<string, string>;
      readonly granted?: Record<string, string>;
      readonly has?: Record<string, string>;
      readonly pending?: "Deferred" | "Infeasible";
      readonly whole?: Record<string, string>;
      readonly kind?: "containers" | "initContainers";
    }

    function resized({ asked, granted, has, pending, whole, kind = "containers" }: Given): Pod {
      const status = {
        name: "main",
        image: "",
        imageID: "",
        ready: true,
        restartCount: 0,
        ...(granted === undefined ? {} : { allocatedResources: granted }),
        ...(has === undefined ? {} : { resources: { requests: has } }),
      };
      const sidecar = { name: "main", restartPolicy: "Always", resources: { requests: asked } };
      const wanted = pod("p", {
        nodeName: "a",
        ...(kind === "containers"
          ? { containers: [{ name: "main", resources: { requests: asked } }] }
          : { containers: [{ name: "other" }], initContainers: [sidecar] }),
        ...(whole === undefined ? {} : { resources: { requests: whole } }),
      });
      wanted.status = {
        phase: "Running",
        ...(kind === "containers" ? { containerStatuses: [status] } : { initContainerStatuses: [status] }),
        ...(pending === undefined
          ? {}
          : { conditions: [{ type: "PodResizePending", status: "True", reason: pending }] }),
      };
      return wanted;
    }

    test.each<[string, Given, number]>([
      ["nothing is known of it", { asked: { cpu: "1" } }, 1000],
      ["the node has said nothing of what it has", { asked: { cpu: "1" }, granted: { cpu: "2" } }, 1000],
      ["it has what it asks for", { asked: { cpu: "1" }, granted: { cpu: "1000m" }, has: { cpu: "1" } }, 1000],
      ["it will have more", { asked: { cpu: "3" }, granted: { cpu: "1" }, has: { cpu: "1" } }, 3000],
      ["more is granted, and not there yet", { asked: { cpu: "3" }, granted: { cpu: "3" }, has: { cpu: "1" } }, 3000],
      ["it still has more", { asked: { cpu: "1" }, granted: { cpu: "1" }, has: { cpu: "2" } }, 2000],
      ["it was granted more", { asked: { cpu: "1" }, granted: { cpu: "2" }, has: { cpu: "1" } }, 2000],
      ["it asks for nothing any more", { asked: {}, granted: { cpu: "500m" }, has: { cpu: "1500m" } }, 1500],
      ["it waits", { asked: { cpu: "3" }, granted: { cpu: "1" }, has: { cpu: "1" }, pending: "Deferred" }, 3000],
      ["never", { asked: { cpu: "9" }, granted: { cpu: "1" }, has: { cpu: "500m" }, pending: "Infeasible" }, 1000],
      [
        "never, still more",
        { asked: { cpu: "9" }, granted: { cpu: "1" }, has: { cpu: "2" }, pending: "Infeasible" },
        2000,
      ],
      ["a sidecar", { asked: { cpu: "1" }, granted: { cpu: "1" }, has: { cpu: "2" }, kind: "initContainers" }, 2000],
      ["pod-level requests hold", { asked: { cpu: "1" }, has: { cpu: "2" }, whole: { cpu: "1500m" } }, 1500],
    ])("%s", (_, given, cpu) => {
      const one = resized(given);
      expect(podRequests(one).get("cpu")).toBe(cpu);
      const snapshot = new ClusterSnapshot();
      snapshot.upsertNode(node("a", { cpu: "4" }));
      snapshot.upsertPod(resized({ asked: { cpu: "100m" } }));
      snapshot.upsertPod(one);
      expect(snapshot.resource("cpu")?.requested[0]).toBe(cpu);
    });

    test.each<[string, Given, Given, boolean]>([
      [
        "asks for less, and has more",
        { asked: { cpu: "2" }, has: { cpu: "2" } },
        { asked: { cpu: "1" }, has: { cpu: "2" } },
        false,
      ],
      [
        "has less now, too",
        { asked: { cpu: "1" }, has: { cpu: "2" } },
        { asked: { cpu: "1" }, has: { cpu: "1" } },
        true,
      ],
      ["asks for more", { asked: { cpu: "1" } }, { asked: { cpu: "2" } }, false],
      [
        "never gets it",
        { asked: { cpu: "9" }, has: { cpu: "1" } },
        { asked: { cpu: "9" }, has: { cpu: "1" }, pending: "Infeasible" },
        true,
      ],
    ])("room for others where it %s", (_, before, after, freed) => {
      const event = podUpdateEvent("AssignedPod", resized(before), resized(after));
      expect(event.actions.has("UpdatePodScaleDown")).toBe(freed);
      const fit = DEFAULT_PROFILES[0]!.plugins.find(({ plugin }) => plugin.name === "NodeResourcesFit")!.plugin;
      const helps = (requests: Record<string, string>): boolean =>
        mayHelp(
          fit.events!(new ClusterSnapshot()),
          makePodInfo(pod("w", { containers: [{ name: "c", resources: { requests } }] })),
          event,
        );
      expect(helps({ cpu: "1" })).toBe(freed);
      expect(helps({ memory: "1Gi" })).toBe(false);
    });
  });

  test("preferred affinity and PreferNoSchedule taints decide among fitting nodes", () => {
    const preferred = [
      { weight: 10, preference: { matchExpressions: [{ key: "zone", operator: "In", values: ["z"] }] } },
    ];
    const wanted = pod("p", {
      affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: preferred } },
    });
    expect(message([node("a"), node("b", { zone: "z" })], wanted)).toBe("-> b");
    const soft = node("a", { spec: { taints: [{ key: "x", effect: "PreferNoSchedule" }] } });
    expect(message([soft, node("b")], pod("p"))).toBe("-> b");
  });

  test("the least allocated node wins", () => {
    expect(message([node("a"), node("b")], pod("p", { cpu: "100m" }), [bound(pod("x", { cpu: "1" }), "a")])).toBe(
      "-> b",
    );
  });

  test("adaptive share of nodes", () => {
    expect([50, 100, 1000, 5000, 20_000].map((nodes) => nodesToFind(nodes, 0))).toEqual([50, 100, 420, 500, 1000]);
    expect(nodesToFind(5000, 100)).toBe(5000);
  });
});

const spreadOver = (maxSkew: number): Partial<PodSpec> => ({
  topologySpreadConstraints: [
    { maxSkew, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule", labelSelector: { matchLabels: { app: "a" } } },
  ],
});

describe("topology spread", () => {
  test("minDomains counts absent domains as empty, and nodes without the label do not fit", () => {
    const wanted = pod("p", {
      topologySpreadConstraints: [{ ...spreadOver(1).topologySpreadConstraints![0]!, minDomains: 2 }],
    });
    const there = [bound(pod("x"), "a")];
    expect(message([node("a", { zone: "1" })], wanted, there)).toContain(
      "1 node(s) didn't match pod topology spread constraints.",
    );
    expect(message([node("a")], wanted)).toContain("(missing required label)");
  });

  test("property: hard spread is never violated, nodes are never over-committed", () => {
    const cluster = fc.array(fc.record({ zone: fc.integer({ min: 0, max: 3 }), cpu: fc.integer({ min: 1, max: 4 }) }), {
      minLength: 1,
      maxLength: 12,
    });
    fc.assert(
      fc.property(
        cluster,
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 40 }),
        (nodes, skew, cpus) => {
          const snapshot = new ClusterSnapshot();
          for (const [at, one] of nodes.entries())
            snapshot.upsertNode(node(`n${at}`, { cpu: String(one.cpu), zone: String(one.zone) }));
          const framework = new Framework(DEFAULT_PROFILES[0]!);
          const random = createSeededRandom(7);
          const perZone = new Map(nodes.map((one) => [one.zone, 0]));
          const used = nodes.map(() => 0);
          for (const [at, tenths] of cpus.entries()) {
            const info = makePodInfo(pod(`p${at}`, { cpu: `${tenths * 100}m`, ...spreadOver(skew) }));
            const result = framework.planSchedule(info, snapshot, { random, percentageOfNodesToScore: 0 });
            if (result.kind !== "node") continue;
            snapshot.assume(info, result.node);
            const row = Number(result.node.slice(1));
            used[row]! += tenths * 100;
            expect(used[row]!).toBeLessThanOrEqual(nodes[row]!.cpu * 1000);
            const zone = nodes[row]!.zone;
            perZone.set(zone, perZone.get(zone)! + 1);
            expect(perZone.get(zone)! - Math.min(...perZone.values())).toBeLessThanOrEqual(skew);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

type Step = { kind: "node" | "drop-node" | "pod" | "assume" | "forget" | "drop-pod"; a: number; b: number };

const appA: Selection = {
  key: "app=a",
  matches: (info) => info.labels["app"] === "a",
  terminating: true,
  byNamespaceLabels: false,
};

function view(snapshot: ClusterSnapshot) {
  const zones = snapshot.labelColumn("zone");
  const counts = snapshot.counter(appA).rows;
  return snapshot.names
    .map((name, row) => ({
      name,
      zone: zones[row] === -1 ? undefined : snapshot.strings.text(zones[row]!),
      cpu: [snapshot.resource("cpu")!.allocatable[row], snapshot.resource("cpu")!.requested[row]],
      pods: [...snapshot.pods[row]!.keys()].toSorted(),
      podCount: snapshot.podCount.values[row],
      nonZero: [snapshot.nonZeroCpu.values[row], snapshot.nonZeroMemory.values[row]],
      allowed: snapshot.allowedPods.values[row],
      matching: counts[row],
      taints: snapshot.taintList(snapshot.taintSets.values[row]!),
    }))
    .toSorted((x, y) => (x.name < y.name ? -1 : 1));
}

test("pods with the same labels have one signature, in whatever order they name them", () => {
  const signature = (labels: Record<string, string>): string =>
    makePodInfo({ metadata: { name: "p", namespace: "default", labels } }).signature;
  expect(signature({ tier: "b", app: "a" })).toBe(signature({ app: "a", tier: "b" }));
  expect(signature({ app: "a" })).not.toBe(signature({ app: "a", tier: "b" }));
});

test("property: what is taken over of a pod's earlier version is what would be computed afresh", () => {
  const amounts = fc.dictionary(fc.constantFrom("cpu", "memory", "example.com/gpu"), fc.constantFrom("1", "2"));
  const status = fc.record(
    { resources: fc.record({ requests: amounts }), allocatedResources: amounts },
    { requiredKeys: [] },
  );
  // What may change without a new generation.
  const rest = fc.record({
    labels: fc.dictionary(fc.constantFrom("app", "tier"), fc.constantFrom("a", "b")),
    deletionTimestamp: fc.option(fc.constant("2026-01-01T00:00:00Z"), { nil: undefined }),
    statuses: fc.array(status, { maxLength: 2 }),
    pending: fc.option(fc.constantFrom("Deferred", "Infeasible"), { nil: undefined }),
    nodeName: fc.option(fc.constant("a"), { nil: undefined }),
  });
  const spec = fc.record({
    requests: fc.array(amounts, { minLength: 1, maxLength: 2 }),
    hostPort: fc.constantFrom(0, 80),
    priority: fc.constantFrom(0, 7),
  });
  type Rest = typeof rest extends fc.Arbitrary<infer T> ? T : never;
  type Spec = typeof spec extends fc.Arbitrary<infer T> ? T : never;
  const made = (uid: string, generation: number, { requests, hostPort, priority }: Spec, changes: Rest): Pod => ({
    metadata: {
      name: "p",
      namespace: "default",
      uid,
      generation,
      labels: changes.labels,
      ...(changes.deletionTimestamp === undefined ? {} : { deletionTimestamp: changes.deletionTimestamp }),
    },
    spec: {
      priority,
      ...(changes.nodeName === undefined ? {} : { nodeName: changes.nodeName }),
      containers: requests.map((asked, at) => ({
        name: `c${at}`,
        ports: [{ containerPort: 80, hostPort }],
        resources: { requests: asked },
      })),
    },
    status: {
      containerStatuses: changes.statuses.map((one, at) => ({
        name: `c${at}`,
        image: "",
        imageID: "",
        ready: true,
        restartCount: 0,
        ...one,
      })),
      ...(changes.pending === undefined
        ? {}
        : { conditions: [{ type: "PodResizePending", status: "True", reason: changes.pending }] }),
    },
  });
  fc.assert(
    fc.property(
      spec,
      spec,
      rest,
      rest,
      fc.boolean(),
      fc.boolean(),
      (first, second, before, after, respecced, other) => {
        const old = makePodInfo(made("one", 1, first, before));
        const now = made(
          other ? "other" : "one",
          respecced || other ? 2 : 1,
          respecced || other ? second : first,
          after,
        );
        expect(makePodInfo(now, old)).toEqual(makePodInfo(now));
      },
    ),
  );
});

test("property: a snapshot that was updated equals one that was built afresh", () => {
  const step = fc.record<Step>({
    kind: fc.constantFrom("node", "node", "drop-node", "pod", "pod", "assume", "forget", "drop-pod"),
    a: fc.integer({ min: 0, max: 90 }),
    b: fc.integer({ min: 0, max: 90 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: "max" }), (steps) => {
      const live = seeded(new ClusterSnapshot());
      const nodes = new Map<string, Node>();
      const pods = new Map<string, { pod: Pod; assumed: boolean }>();
      for (const { kind, a, b } of steps) apply(live, nodes, pods, kind, a, b);
      const fresh = new ClusterSnapshot();
      for (const one of nodes.values()) fresh.upsertNode(one);
      for (const { pod: one, assumed } of pods.values()) {
        if (assumed) fresh.assume(makePodInfo(one), one.spec!.nodeName!);
        else fresh.upsertPod(one);
      }
      if (nodes.size > 0) expect(view(live)).toEqual(view(fresh));
    }),
    { numRuns: 100 },
  );
});

/** Asks for the columns early, so that they are maintained rather than built at the end. */
function seeded(snapshot: ClusterSnapshot): ClusterSnapshot {
  snapshot.labelColumn("zone");
  snapshot.counter(appA);
  snapshot.upsertNode(node("seed"));
  snapshot.removeNode("seed");
  return snapshot;
}

function apply(
  live: ClusterSnapshot,
  nodes: Map<string, Node>,
  pods: Map<string, { pod: Pod; assumed: boolean }>,
  kind: Step["kind"],
  a: number,
  b: number,
): void {
  const name = `n${a}`;
  const key = `default/p${a}`;
  const one = bound(pod(`p${a}`, { cpu: `${b + 1}m` }, { app: b % 2 === 0 ? "a" : "b" }), `n${b}`);
  if (kind === "node") {
    const spec = b % 3 === 0 ? { taints: [taint] } : undefined;
    const next = node(name, {
      cpu: String(b + 1),
      ...(b % 4 === 0 ? {} : { zone: `z${b % 5}` }),
      ...(spec && { spec }),
    });
    nodes.set(name, next);
    live.upsertNode(next);
  } else if (kind === "drop-node") {
    nodes.delete(name);
    live.removeNode(name);
  } else if (kind === "pod") {
    pods.set(key, { pod: one, assumed: false });
    live.upsertPod(one);
  } else if (kind === "assume") {
    pods.set(key, { pod: one, assumed: true });
    live.assume(makePodInfo(one), `n${b}`);
  } else if (kind === "forget") {
    if (pods.get(key)?.assumed === true) pods.delete(key);
    live.forget(key, `uid-p${a}`);
  } else {
    pods.delete(key);
    live.removePod(key);
  }
}
