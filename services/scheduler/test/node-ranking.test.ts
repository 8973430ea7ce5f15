// What is kept of nodes between decisions must not show: the same pod goes to the same node as if all were asked anew.
import type { Pod } from "@coxswain/api";
import { createSeededRandom } from "@coxswain/env";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Plugin, Profile } from "../src/framework/contract.ts";
import { CLOSED, NodeRanking } from "../src/framework/node-ranking.ts";
import { Framework, type SchedulePlan } from "../src/framework/plan-schedule.ts";
import { DEFAULT_PLUGINS, DEFAULT_PROFILES } from "../src/framework/registry.ts";
import { makePodInfo } from "../src/pod-info.ts";
import type { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";
import { node, pod, snapshotOf, type PodShape } from "./fixtures.ts";

/** A profile of which nothing can be kept. */
function forgetful(profile: Profile): Profile {
  const plugins = profile.plugins.map(({ plugin, weight }) => {
    const kept = Object.entries(plugin).filter(([method]) => method !== "filterKey" && method !== "scoreKey");
    return { plugin: Object.fromEntries(kept) as unknown as Plugin, weight };
  });
  return { ...profile, plugins };
}

const labels = { app: "a" };
const selector = { matchLabels: labels };
const zone = "topology.kubernetes.io/zone";
const KINDS: readonly PodShape[] = [
  { requests: { cpu: "500m" } },
  { requests: { cpu: "1", memory: "1Gi" } },
  { requests: {}, tolerations: [{ key: "k", operator: "Exists" }] },
  { requests: { cpu: "2" }, containers: [{ name: "main", ports: [{ containerPort: 80, hostPort: 80 }] }] },
  { requests: { cpu: "100m" }, nodeSelector: { [zone]: "z1" } },
  {
    labels,
    requests: { cpu: "100m" },
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: zone, whenUnsatisfiable: "DoNotSchedule", labelSelector: selector },
    ],
  },
  {
    labels,
    requests: { cpu: "200m" },
    affinity: {
      podAntiAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          { weight: 5, podAffinityTerm: { labelSelector: selector, topologyKey: zone } },
        ],
      },
    },
  },
  { requests: { cpu: "3500m" }, priority: 5 },
  { requests: { cpu: "5" } },
];

const at = fc.nat({ max: 199 });
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant("decide" as const), kind: fc.nat({ max: KINDS.length - 1 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("end" as const), at }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("cordon" as const), at, taint: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("node" as const), at }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("remove" as const), at }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("nominate" as const), at, on: fc.boolean() }) },
);

function outcome(plan: SchedulePlan): unknown {
  if (plan.kind === "node") return { node: plan.node, feasible: plan.feasible };
  return { message: plan.message, nominated: plan.nominated, victims: plan.victims.map(({ key }) => key) };
}

const zoned = (name: string, index: number) => node(name, { [zone]: `z${index % 3}` });

function placed(snapshot: ClusterSnapshot, names: readonly string[], index: number): string | undefined {
  const name = names[index % Math.max(1, names.length)];
  return name !== undefined && snapshot.nodeOfPod(`default/${name}`) !== undefined ? `default/${name}` : undefined;
}

test.each([100, 0, 70])(
  "property: decisions are those of a framework that keeps nothing, with percentageOfNodesToScore %i",
  (percentage) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer(), (steps, seed) => {
        const profile = { ...DEFAULT_PROFILES[0]!, percentageOfNodesToScore: percentage };
        const frameworks = [new Framework(profile), new Framework(forgetful(profile))] as const;
        const options = frameworks.map(() => ({ random: createSeededRandom(seed), percentageOfNodesToScore: 0 }));
        const snapshot = snapshotOf(Array.from({ length: 150 }, (_, index) => zoned(`n${index}`, index)));
        const names: string[] = [];
        const make = (kind: number): Pod => {
          const { containers, ...shape } = KINDS[kind]!;
          const made = pod(`p${names.length}`, shape);
          for (const own of containers ?? []) Object.assign(made.spec!.containers[0]!, own);
          return made;
        };
        for (const one of steps) {
          if (one.op === "decide") {
            const info = makePodInfo(make(one.kind));
            const [kept, anew] = frameworks.map((framework, index) =>
              framework.planSchedule(info, snapshot, options[index]!),
            );
            expect(outcome(kept!)).toEqual(outcome(anew!));
            names.push(info.name);
            if (kept!.kind === "node") snapshot.assume(info, kept!.node);
            continue;
          }
          const name = `n${one.at}`;
          const victim = placed(snapshot, names, one.at);
          const row = snapshot.rowOf(name);
          if (one.op === "end" && victim !== undefined) snapshot.removePod(victim);
          else if (one.op === "node") snapshot.upsertNode(zoned(name, one.at));
          else if (one.op === "remove") snapshot.removeNode(name);
          else if (one.op === "nominate") {
            const info = makePodInfo(pod("nominated", { requests: { cpu: "3" }, priority: 1 }));
            if (one.on) snapshot.nominations.add(info, name);
            else snapshot.nominations.remove(info.key);
          } else if (one.op === "cordon" && row >= 0) {
            const taints = [{ key: "k", effect: "NoSchedule" }];
            snapshot.upsertNode({ ...zoned(name, one.at), spec: one.taint ? { taints } : { unschedulable: true } });
          }
        }
      }),
      { numRuns: 60 },
    );
  },
);

test("property: a ranking finds each of the best rows, in the order in which it is asked to count them", () => {
  const totals = fc.array(fc.oneof(fc.constant(CLOSED), fc.integer({ min: -2, max: 2 })), {
    minLength: 1,
    maxLength: 200,
  });
  fc.assert(
    fc.property(totals, fc.nat(), fc.nat(), (first, from, draw) => {
      const snapshot = snapshotOf(first.map((_, index) => node(`n${index}`)));
      const values = [...first];
      const ranking = new NodeRanking();
      const judge = { row: (row: number) => values[row]!, all: (into: Float64Array) => into.set(values) };
      ranking.refresh(snapshot, judge);
      const changed = draw % values.length;
      values[changed] = 1;
      snapshot.changes.touch(changed);
      ranking.refresh(snapshot, judge);
      expect(ranking.open).toBe(values.filter((value) => value !== CLOSED).length);
      const start = from % values.length;
      const best = Math.max(...values);
      const rows = values.map((_, index) => (start + index) % values.length).filter((row) => values[row] === best);
      const random = createSeededRandom(draw);
      const expected = rows.length === 1 ? 0 : createSeededRandom(draw).int(rows.length);
      expect(ranking.pick(start, random)).toBe(rows[expected]);
    }),
  );
});

test("each plugin that comes with the scheduler says before all nodes are gathered whether it has anything to score", () => {
  const silent = DEFAULT_PLUGINS.filter(
    ({ plugin, weight }) =>
      weight > 0 && plugin.score !== undefined && plugin.scoreKey === undefined && plugin.scoresNothing === undefined,
  );
  expect(silent.map(({ plugin }) => plugin.name)).toEqual([]);
});
