// Where pods would go if nodes were gone or new ones there; and that the snapshot is afterwards what it was before.
import type { Node, Pod } from "@coxswain/api";
import { createSeededRandom } from "@coxswain/env";
import type { WhatIfRequest } from "@coxswain/protos/scheduler-v1.gen";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Framework } from "../src/framework/plan-schedule.ts";
import { DEFAULT_PROFILES } from "../src/framework/registry.ts";
import { makePodInfo } from "../src/pod-info.ts";
import type { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";
import { placingFrameworks, whatIf, type WhatIfParts } from "../src/what-if.ts";
import { deviceClaim, deviceClass, DRIVER, slice } from "./device-fixtures.ts";
import { node, pod, snapshotOf } from "./fixtures.ts";

const json = (object: object): Buffer => Buffer.from(JSON.stringify(object));
const template = (one: Node, copies: number) => ({ node: json(one), copies });

function request(wish: Partial<WhatIfRequest>): WhatIfRequest {
  return { removeNodes: [], addNodes: [], spare: null, daemonPods: [], pods: [], ...wish };
}

function scene(nodes: readonly Node[], pods: readonly Pod[]): WhatIfParts {
  const snapshot = snapshotOf(nodes, pods);
  const byKey = new Map(pods.map((one) => [`default/${one.metadata?.name}`, one]));
  const frameworks = new Map(DEFAULT_PROFILES.map((profile) => [profile.schedulerName, new Framework(profile)]));
  return {
    snapshot,
    frameworks: placingFrameworks(frameworks),
    schedule: { random: createSeededRandom(1), percentageOfNodesToScore: 100 },
    pod: (key) => byKey.get(key),
  };
}

const cpu = (name: string, amount: string, rest: object = {}): Pod => pod(name, { requests: { cpu: amount }, ...rest });
const SMALL = node("node-template", {}, { cpu: "1" });
const keys = (...names: string[]): string[] => names.map((name) => `default/${name}`);

/** All that may differ between two snapshots of the same things. */
function picture(snapshot: ClusterSnapshot): unknown {
  return snapshot.names
    .map((name, row) => ({
      name,
      cpu: snapshot.resource("cpu")?.requested[row],
      allocatable: snapshot.resource("cpu")?.allocatable[row],
      pods: [...snapshot.pods[row]!.keys()].toSorted().map((key) => [key, snapshot.isAssumed(key)]),
      count: snapshot.podCount.values[row],
      unschedulable: snapshot.unschedulable.values[row],
      taints: snapshot.taintList(snapshot.taintSets.values[row]!),
    }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

describe("spare nodes", () => {
  test("are taken only where nothing else fits, and are filled before the next comes", () => {
    const parts = scene(
      [node("a", {}, { cpu: "1" })],
      ["p", "q", "r", "s", "t"].map((name) => cpu(name, "500m")),
    );
    const answer = whatIf(parts, request({ spare: template(SMALL, 5), pods: keys("p", "q", "r", "s", "t") }));
    expect(answer.placements?.map(({ copy, node }) => [copy, node])).toEqual([
      [0, "a"],
      [0, "a"],
      [1, "node-template-spare-1"],
      [1, "node-template-spare-1"],
      [2, "node-template-spare-2"],
    ]);
    expect(answer.copies).toBe(2);
  });

  test("are no more than allowed: whoever would fit on a further one has no other reason", () => {
    const parts = scene(
      [],
      ["p", "q"].map((name) => cpu(name, "800m")),
    );
    const answer = whatIf(parts, request({ spare: template(SMALL, 1), pods: keys("p", "q") }));
    expect(answer).toEqual({
      copies: 1,
      placements: [{ copy: 1, node: "node-template-spare-1" }, { message: "" }],
    });
  });

  test.each<[string, Node, Pod, string]>([
    ["too large", SMALL, cpu("p", "2"), "Insufficient cpu"],
    [
      "of another kind",
      SMALL,
      cpu("p", "1", { nodeSelector: { disk: "fast" } }),
      "node(s) didn't match Pod's node affinity/selector",
    ],
    [
      "turned away by a taint",
      { ...SMALL, spec: { taints: [{ key: "gpu", value: "yes", effect: "NoSchedule" }] } },
      cpu("p", "1"),
      "node(s) had untolerated taint(s)",
    ],
  ])("do not help a pod that is %s", (_, spare, wanted, message) => {
    const parts = scene([], [wanted]);
    const answer = whatIf(parts, request({ spare: template(spare, 5), pods: keys("p") }));
    expect(answer).toEqual({ copies: 0, placements: [{ message }] });
  });

  test("have the pods of DaemonSets on them that take them", () => {
    const daemon = cpu("daemon", "600m");
    const elsewhere = cpu("elsewhere", "600m", { nodeSelector: { disk: "fast" } });
    const parts = scene([], [cpu("p", "500m"), cpu("q", "300m")]);
    const daemonPods = [json(daemon), json(elsewhere)];
    const answer = whatIf(parts, request({ spare: template(SMALL, 5), daemonPods, pods: keys("p", "q") }));
    expect(answer.placements).toEqual([{ message: "Insufficient cpu" }, { node: "node-template-spare-1", copy: 1 }]);
  });

  test("are one a pod for pods that keep apart", () => {
    const labels = { app: "web" };
    const term = { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: labels } };
    const affinity = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
    const parts = scene(
      [],
      ["p", "q", "r"].map((name) => cpu(name, "100m", { labels, affinity })),
    );
    const answer = whatIf(parts, request({ spare: template(SMALL, 5), pods: keys("p", "q", "r") }));
    expect(answer.copies).toBe(3);
  });
});

test("nodes that are on their way count before spare ones", () => {
  const parts = scene(
    [],
    ["p", "q"].map((name) => cpu(name, "700m")),
  );
  const answer = whatIf(
    parts,
    request({ addNodes: [template(SMALL, 1)], spare: template(SMALL, 5), pods: keys("p", "q") }),
  );
  expect(answer.placements).toEqual([
    { node: "node-template-0-upcoming-1", copy: 0 },
    { node: "node-template-spare-1", copy: 1 },
  ]);
});

test("the pods of a node that goes are placed on the others, as far as they fit", () => {
  const on = (name: string, amount: string, where: string): Pod => cpu(name, amount, { on: where });
  const pods = [on("p", "500m", "a"), on("q", "600m", "a"), on("r", "300m", "b")];
  const parts = scene(
    ["a", "b"].map((name) => node(name, {}, { cpu: "1" })),
    pods,
  );
  const answer = whatIf(parts, request({ removeNodes: ["a"], pods: keys("p", "q") }));
  expect(answer.placements?.map((one) => one.node)).toEqual(["b", undefined]);
  expect(answer.placements?.[1]?.message).toContain("0/1 nodes are available: 1 Insufficient cpu.");
});

test("a pod that has got a node meanwhile stays there, and one that is gone is nowhere", () => {
  const parts = scene([node("a")], [cpu("p", "1")]);
  parts.snapshot.assume(makePodInfo(cpu("p", "1")), "a");
  const answer = whatIf(parts, request({ pods: keys("p", "gone") }));
  expect(answer.placements).toEqual([{ node: "a" }, { message: "pod default/gone not found" }]);
  expect(parts.snapshot.isAssumed("default/p")).toBe(true);
});

test("what is no Node is refused, and leaves no trace", () => {
  const parts = scene([node("a")], [cpu("p", "1")]);
  const before = picture(parts.snapshot);
  const ask = (wish: Partial<WhatIfRequest>) => () => whatIf(parts, request(wish));
  expect(ask({ spare: { node: Buffer.from("{"), copies: 1 } })).toThrow("spare.node: Invalid value");
  expect(ask({ removeNodes: ["a"], daemonPods: [Buffer.from("")] })).toThrow("daemon_pods: Invalid value");
  expect(picture(parts.snapshot)).toEqual(before);
});

test("afterwards the snapshot is what it was, whatever was asked", () => {
  const names = ["a", "b", "c", "d"];
  const placed = fc.record({
    on: fc.constantFrom(...names, undefined),
    millis: fc.integer({ min: 1, max: 900 }),
    assumed: fc.boolean(),
  });
  const shape = fc.record({
    pods: fc.array(placed, { maxLength: 10 }),
    removed: fc.subarray([...names, "nobody"]),
    upcoming: fc.integer({ min: 0, max: 2 }),
    spare: fc.integer({ min: 0, max: 3 }),
    daemon: fc.boolean(),
  });
  fc.assert(
    fc.property(shape, ({ pods, removed, upcoming, spare, daemon }) => {
      const all = pods.map(({ on, millis, assumed }, at) => ({
        pod: cpu(`p${at}`, `${millis}m`, assumed ? {} : { on }),
        on,
        assumed,
      }));
      const parts = scene(
        names.map((name) => node(name, {}, { cpu: "2" })),
        all.map((one) => one.pod),
      );
      for (const { pod, on, assumed } of all)
        if (assumed && on !== undefined) parts.snapshot.assume(makePodInfo(pod), on);
      const before = picture(parts.snapshot);
      const answer = whatIf(
        parts,
        request({
          removeNodes: removed,
          addNodes: [template(SMALL, upcoming)],
          spare: template(SMALL, spare),
          daemonPods: daemon ? [json(cpu("daemon", "100m"))] : [],
          pods: keys(...all.map((_, at) => `p${at}`), "gone"),
        }),
      );
      expect(picture(parts.snapshot)).toEqual(before);
      expect(answer.copies).toBeLessThanOrEqual(spare);
      for (const { node: where = "" } of answer.placements ?? []) expect(removed).not.toContain(where);
    }),
    { numRuns: 200 },
  );
});

test("pods that are placed take devices from each other, and give them back with the answer", () => {
  const claimed = (name: string): Pod =>
    pod(name, { resourceClaims: [{ name: "gpu", resourceClaimName: `claim-${name}` }] });
  const parts = scene([node("a")], [claimed("p"), claimed("q")]);
  const { devices } = parts.snapshot;
  devices.classes.set("gpu", deviceClass("gpu"));
  devices.pools.set("s", slice("s", ["d1"]));
  for (const name of ["p", "q"]) devices.setClaim(`default/claim-${name}`, deviceClaim(`claim-${name}`));
  for (let times = 0; times < 2; times++) {
    const { placements } = whatIf(parts, request({ pods: keys("p", "q") }));
    expect(placements?.[0]?.node).toBe("a");
    expect(placements?.[1]?.message).toContain("1 cannot allocate all claims");
    expect(devices.isAllocated(`${DRIVER}/a/d1`)).toBe(false);
  }
});
