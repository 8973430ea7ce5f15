// Inter-pod affinity: the tables of its rules, and that counters which follow changes say what a look at all pods says.
import type { Node, Pod, PodAffinityTerm } from "@coxswain/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { termSelects } from "../src/affinity-terms.ts";
import type { CycleState } from "../src/framework/contract.ts";
import { Verdicts } from "../src/framework/verdicts.ts";
import { createInterPodAffinity, interPodAffinity } from "../src/plugins/inter-pod-affinity.ts";
import { makePodInfo, type PodInfo } from "../src/pod-info.ts";
import { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";
import { decide, node, pod, snapshotOf, type PodShape } from "./fixtures.ts";

const term = (app: string, over: Partial<PodAffinityTerm> = {}): PodAffinityTerm => ({
  topologyKey: "zone",
  labelSelector: { matchLabels: { app } },
  ...over,
});
const near = (...terms: PodAffinityTerm[]): PodShape => ({
  affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } },
});
const away = (...terms: PodAffinityTerm[]): PodShape => ({
  affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } },
});
const rather = (podAffinityTerm: PodAffinityTerm, weight = 1): PodShape => ({
  affinity: { podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight, podAffinityTerm }] } },
});
const ratherNot = (podAffinityTerm: PodAffinityTerm, weight = 1): PodShape => ({
  affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight, podAffinityTerm }] } },
});

const zones = [node("a", { zone: "1" }), node("b", { zone: "2" })];
const web = (on: string, shape: PodShape = {}): Pod => pod(`web-${on}`, { labels: { app: "web" }, on, ...shape });

describe("required terms", () => {
  test.each<[string, Node[], Pod, Pod[], string]>([
    ["affinity follows", zones, pod("p", near(term("web"))), [web("b")], "-> b"],
    [
      "nobody to be near of",
      zones,
      pod("p", near(term("web"))),
      [],
      "0/2 nodes are available: 2 node(s) didn't match pod affinity rules.",
    ],
    [
      "the first of a group goes anywhere with the label",
      [node("x"), node("b", { zone: "2" })],
      pod("p", { labels: { app: "web" }, ...near(term("web")) }),
      [],
      "-> b",
    ],
    [
      "all terms must be met by pods that meet all terms",
      zones,
      pod("p", near(term("web"), term("web", { labelSelector: { matchLabels: { tier: "x" } } }))),
      [web("a"), web("b", { labels: { app: "web", tier: "x" } })],
      "-> b",
    ],
    ["anti-affinity keeps away", zones, pod("p", away(term("web"))), [web("b")], "-> a"],
    [
      "anti-affinity in every zone",
      zones,
      pod("p", away(term("web"))),
      [web("a"), web("b")],
      "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.",
    ],
    [
      "a placed pod's anti-affinity",
      zones,
      pod("p", { labels: { app: "web" } }),
      [pod("x", { on: "a", ...away(term("web")) }), pod("y", { on: "b", ...away(term("web")) })],
      "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules.",
    ],
    ["a node without the label is in no domain", [node("x")], pod("p", away(term("web"))), [web("x")], "-> x"],
    [
      "pods of other namespaces do not count",
      zones,
      pod("p", near(term("web"))),
      [web("b", { namespace: "o" })],
      "none",
    ],
    [
      "named namespaces",
      zones,
      pod("p", near(term("web", { namespaces: ["o"] }))),
      [web("a"), web("b", { namespace: "o" })],
      "-> b",
    ],
    [
      "an empty namespace selector means all",
      zones,
      pod("p", near(term("web", { namespaceSelector: {} }))),
      [web("b", { namespace: "o" })],
      "-> b",
    ],
    ["no selector selects nothing", zones, pod("p", near({ topologyKey: "zone" })), [web("a")], "none"],
  ])("%s", (_name, nodes, wanted, placed, expected) => {
    const said = decide(nodes, wanted, placed);
    if (expected.startsWith("->")) expect(said).toBe(expected);
    else if (expected === "none") expect(said).toContain("2 node(s) didn't match pod affinity rules");
    else expect(said.startsWith(expected)).toBe(true);
  });

  test("a namespace selector follows the labels of namespaces", () => {
    const snapshot = snapshotOf(zones, [web("b", { namespace: "o" })]);
    const wanted = makePodInfo(pod("p", near(term("web", { namespaceSelector: { matchLabels: { team: "t" } } }))));
    expect(verdicts(snapshot, wanted)).toEqual(["affinity", "affinity"]);
    snapshot.setNamespace("o", { team: "t" });
    expect(verdicts(snapshot, wanted)).toEqual(["affinity", ""]);
    snapshot.setNamespace("o", {});
    expect(verdicts(snapshot, wanted)).toEqual(["affinity", "affinity"]);
  });
});

describe("scores", () => {
  test.each<[string, Pod, Pod[], [number, number]]>([
    ["a preferred term", pod("p", rather(term("web"))), [web("b")], [0, 100]],
    ["a preferred term away", pod("p", ratherNot(term("web"))), [web("b")], [100, 0]],
    [
      "terms outweigh each other",
      pod("p", rather(term("web"), 10)),
      [web("a"), web("b"), pod("web-b2", { labels: { app: "web" }, on: "b" })],
      [0, 100],
    ],
    [
      "required affinity of a placed pod weighs 1",
      pod("p", { labels: { app: "web" } }),
      [pod("x", { on: "b", ...near(term("web")) })],
      [0, 100],
    ],
    [
      "preferred terms of placed pods",
      pod("p", { labels: { app: "web" } }),
      [pod("x", { on: "a", ...rather(term("web"), 5) }), pod("y", { on: "b", ...ratherNot(term("web"), 5) })],
      [100, 0],
    ],
  ])("%s", (_name, wanted, placed, expected) => {
    expect(scores(snapshotOf(zones, placed), makePodInfo(wanted))).toEqual(expected);
  });

  test("arguments: the weight of required terms, and whether others' preferences count", () => {
    const wanted = makePodInfo(pod("p", { labels: { app: "web" } }));
    const hard = snapshotOf(zones, [pod("x", { on: "b", ...near(term("web")) })]);
    expect(scores(hard, wanted, createInterPodAffinity({ hardPodAffinityWeight: 0 }))).toBeUndefined();
    const soft = snapshotOf(zones, [pod("x", { on: "b", ...rather(term("web")) })]);
    expect(scores(soft, wanted, createInterPodAffinity({ ignorePreferredTermsOfExistingPods: true }))).toBeUndefined();
    expect(() => createInterPodAffinity({ hardPodAffinityWeight: 101 })).toThrow(
      "hardPodAffinityWeight: Invalid value: 101: not in valid range [0-100]",
    );
  });
});

describe("events", () => {
  const registration = interPodAffinity.events!(new ClusterSnapshot()).find((one) => one.resource === "AssignedPod")!;
  const helps = (waiting: Pod, event: { pod?: Pod; oldPod?: Pod }): boolean =>
    registration.hint!(makePodInfo(waiting), { resource: "AssignedPod", actions: new Set(), ...event });
  test("a pod that comes helps who wants to be near of it, one that goes who wanted to be away", () => {
    expect(helps(pod("p", near(term("web"))), { pod: web("a") })).toBe(true);
    expect(helps(pod("p", near(term("db"))), { pod: web("a") })).toBe(false);
    expect(helps(pod("p", away(term("web"))), { pod: web("a") })).toBe(false);
    expect(helps(pod("p", away(term("web"))), { oldPod: web("a") })).toBe(true);
    const hostile = pod("x", { on: "a", ...away(term("web")) });
    expect(helps(pod("p", { labels: { app: "web" } }), { oldPod: hostile })).toBe(true);
    expect(helps(pod("p", { labels: { app: "db" } }), { oldPod: hostile })).toBe(false);
  });
});

function verdicts(snapshot: ClusterSnapshot, info: PodInfo, plugin = interPodAffinity): string[] {
  const cycle: CycleState = { info, snapshot, state: new Map() };
  const column = new Verdicts([plugin.name]);
  column.reset(snapshot.size);
  if (plugin.preFilter!(cycle).kind !== "skip") plugin.filter!(cycle, column, 0, snapshot.size);
  return snapshot.names.map((_, row) => short(column.rejectionOf(row)?.reasons[0]));
}

const short = (reason: string | undefined): string =>
  reason === undefined ? "" : /existing|anti-affinity|affinity/.exec(reason)![0];

function scores(snapshot: ClusterSnapshot, info: PodInfo, plugin = interPodAffinity): number[] | undefined {
  const cycle: CycleState = { info, snapshot, state: new Map() };
  const rows = Int32Array.from(snapshot.names.keys());
  if (plugin.preScore!(cycle, rows, rows.length) === "skip") return undefined;
  const out = new Float64Array(rows.length);
  plugin.score!(cycle, rows, rows.length, out);
  plugin.normalizeScore!(cycle, rows, rows.length, out);
  return [...out];
}

// The same rules by a look at all pods, node by node: what the counters are held against.

interface Placed {
  readonly info: PodInfo;
  readonly at: Node;
}

function placedIn(snapshot: ClusterSnapshot): Placed[] {
  return snapshot.nodes.flatMap((at, row) => [...snapshot.pods[row]!.values()].map((info) => ({ info, at })));
}

const value = (one: Node, key: string): string | undefined => one.metadata?.labels?.[key];
const sameDomain = (a: Node, b: Node, key: string): boolean =>
  value(a, key) !== undefined && value(a, key) === value(b, key);

function naiveVerdict(snapshot: ClusterSnapshot, placed: Placed[], info: PodInfo, at: Node): string {
  const labels = snapshot.namespaceLabels;
  const { required, requiredAnti } = info.terms;
  const allOf = (other: PodInfo): boolean =>
    required.every((one) => termSelects(one, other.namespace, other.labels, labels));
  if (required.length > 0) {
    if (required.some((one) => value(at, one.topologyKey) === undefined)) return "affinity";
    const met = required.every((one) =>
      placed.some((other) => allOf(other.info) && sameDomain(other.at, at, one.topologyKey)),
    );
    const anywhere = placed.some(
      (other) => allOf(other.info) && required.some((one) => value(other.at, one.topologyKey) !== undefined),
    );
    if (!met && (anywhere || !allOf(info))) return "affinity";
  }
  const meets = (one: (typeof requiredAnti)[number], selected: PodInfo, holder: Node): boolean =>
    sameDomain(holder, at, one.topologyKey) && termSelects(one, selected.namespace, selected.labels, labels);
  if (requiredAnti.some((one) => placed.some((other) => meets(one, other.info, other.at)))) return "anti-affinity";
  if (placed.some((other) => other.info.terms.requiredAnti.some((one) => meets(one, info, other.at))))
    return "existing";
  return "";
}

function naiveScores(snapshot: ClusterSnapshot, placed: Placed[], info: PodInfo): number[] {
  const labels = snapshot.namespaceLabels;
  const raw = snapshot.nodes.map((at) => {
    let score = 0;
    for (const other of placed) {
      const add = (one: PodInfo["terms"]["all"][number], selected: PodInfo, weight: number): void => {
        if (!sameDomain(other.at, at, one.topologyKey)) return;
        if (termSelects(one, selected.namespace, selected.labels, labels)) score += weight;
      };
      for (const one of info.terms.preferred) add(one, other.info, one.weight);
      for (const one of info.terms.preferredAnti) add(one, other.info, -one.weight);
      for (const one of other.info.terms.required) add(one, info, 1);
      for (const one of other.info.terms.preferred) add(one, info, one.weight);
      for (const one of other.info.terms.preferredAnti) add(one, info, -one.weight);
    }
    return score;
  });
  const min = Math.min(...raw);
  const span = Math.max(...raw) - min;
  return raw.map((score) => (span === 0 ? 0 : Math.trunc(100 * ((score - min) / span))));
}

const apps = ["web", "db"];
const anyTerm = fc.record(
  {
    topologyKey: fc.constantFrom("zone", "kubernetes.io/hostname"),
    labelSelector: fc.record({ matchLabels: fc.record({ app: fc.constantFrom(...apps) }) }),
    namespaces: fc.constantFrom([], ["n1"], ["n1", "n2"]),
    namespaceSelector: fc.constantFrom({}, { matchLabels: { team: "t" } }),
  },
  { requiredKeys: ["topologyKey", "labelSelector"] },
);
const weighted = fc.record({ weight: fc.integer({ min: 1, max: 100 }), podAffinityTerm: anyTerm });
const side = fc.record({
  requiredDuringSchedulingIgnoredDuringExecution: fc.array(anyTerm, { maxLength: 2 }),
  preferredDuringSchedulingIgnoredDuringExecution: fc.array(weighted, { maxLength: 2 }),
});
const anyPod = fc.record({
  id: fc.integer({ min: 0, max: 12 }),
  app: fc.constantFrom(...apps),
  namespace: fc.constantFrom("n1", "n2"),
  on: fc.integer({ min: 0, max: 5 }),
  affinity: fc.option(fc.record({ podAffinity: side, podAntiAffinity: side }), { nil: undefined }),
});
type AnyPod = typeof anyPod extends fc.Arbitrary<infer T> ? T : never;
const step = fc.oneof(
  fc.record({ do: fc.constant("pod" as const), pod: anyPod }),
  fc.record({ do: fc.constant("drop" as const), pod: anyPod }),
  fc.record({
    do: fc.constant("node" as const),
    at: fc.integer({ min: 0, max: 5 }),
    zone: fc.constantFrom("1", "2", ""),
  }),
  fc.record({ do: fc.constant("drop-node" as const), at: fc.integer({ min: 0, max: 5 }) }),
  fc.record({ do: fc.constant("namespace" as const), team: fc.constantFrom("t", "u") }),
);

function made(one: AnyPod): Pod {
  const { id, app, namespace, on, affinity } = one;
  const shape = affinity === undefined ? {} : { affinity: affinity as NonNullable<PodShape["affinity"]> };
  return pod(`p${id}`, { labels: { app }, namespace, on: `n${on}`, ...shape });
}

test("property: counters that follow every change say what a look at all pods says", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: "max" }), anyPod, (steps, last) => {
      const snapshot = new ClusterSnapshot();
      const { nodeName: _, ...spec } = made(last).spec!;
      const wanted = makePodInfo({ metadata: { ...made(last).metadata, name: "wanted" }, spec });
      for (const one of steps) {
        if (one.do === "pod") snapshot.upsertPod(made(one.pod));
        else if (one.do === "drop") snapshot.removePod(`${one.pod.namespace}/p${one.pod.id}`);
        else if (one.do === "node") snapshot.upsertNode(node(`n${one.at}`, one.zone === "" ? {} : { zone: one.zone }));
        else if (one.do === "drop-node") snapshot.removeNode(`n${one.at}`);
        else snapshot.setNamespace("n2", { team: one.team });
        // Asked each time, so that counters exist early and follow.
        const placed = placedIn(snapshot);
        expect(verdicts(snapshot, wanted)).toEqual(
          snapshot.nodes.map((at) => naiveVerdict(snapshot, placed, wanted, at)),
        );
        const naive = naiveScores(snapshot, placed, wanted);
        expect(scores(snapshot, wanted) ?? naive.map(() => 0)).toEqual(naive);
      }
    }),
    { numRuns: 150 },
  );
});
