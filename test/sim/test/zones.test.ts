// Zones that are lost: a seed is one run, and breaks nothing; and the invariant of zones can break.
import type { Node } from "@coxswain/api";
import { describe, expect, test } from "vitest";
import { ClusterState } from "../src/cluster-state.ts";
import { nodesAreGivenUpSlowly } from "../src/invariants/zones.ts";
import { runZoneSeed } from "../src/run-seed.ts";
import { planZones, type OutageKind } from "../src/zones.ts";

/** The first seed with such an outage and no kill. */
function seedWith(kind: OutageKind): number {
  for (let seed = 1; ; seed++) {
    const { outages, kills } = planZones(seed);
    if (kills.length === 0 && outages[0]?.kind === kind) return seed;
  }
}

describe("an outage", { timeout: 300_000 }, () => {
  test.each<OutageKind>(["most of a zone", "node", "everything"])("of %s breaks nothing", async (kind) => {
    const { result } = await runZoneSeed(seedWith(kind));
    expect(result.violations).toEqual([]);
    expect(result.faults).toBeGreaterThan(0);
  });

  test("of a zone breaks nothing, and is the same run twice", async () => {
    const seed = seedWith("zone");
    const { result } = await runZoneSeed(seed);
    expect(result.violations).toEqual([]);
    expect((await runZoneSeed(seed)).result).toEqual(result);
  });
});

describe("the invariant", () => {
  const actor = { process: "controller-manager-1", identity: "one", lease: "l" };
  const node = (name: string, zone: string, ready: boolean, taint: boolean): Node => ({
    metadata: { name, labels: { "topology.kubernetes.io/zone": zone } },
    spec: taint ? { taints: [{ key: "node.kubernetes.io/unreachable", effect: "NoExecute" }] } : {},
    status: { conditions: [{ type: "Ready", status: ready ? "True" : "Unknown" }] },
  });

  function player() {
    const state = new ClusterState();
    const invariant = nodesAreGivenUpSlowly();
    let rv = 0n;
    const put = (atMs: number, one: Node): readonly string[] => {
      const key = `/registry/core/nodes/_/${one.metadata?.name}`;
      const change = state.apply(atMs, { key, value: Buffer.from(JSON.stringify(one)), rv: ++rv, actor });
      return change === undefined ? [] : invariant.check(change, state);
    };
    return { put, invariant };
  }

  test("sees two nodes of a zone given up at once, and not those of two zones", () => {
    const { put, invariant } = player();
    for (const name of ["a", "b", "c"]) put(0, node(name, name === "c" ? "y" : "x", true, false));
    put(0, node("d", "x", true, false));
    expect(put(60_000, node("a", "x", false, true))).toEqual([]);
    expect(put(61_000, node("c", "y", false, true))).toEqual([]);
    expect(put(62_000, node("b", "x", false, true))).toEqual(["b in zone x is given up 2000 ms after another"]);
    expect(put(70_000, node("d", "x", false, true))).toEqual([]);
    expect(invariant.givenUp).toBe(4);
  });

  test("sees a node given up where no node is ready, and where most of a small zone is lost", () => {
    const { put } = player();
    for (const name of ["a", "b"]) put(0, node(name, "x", false, false));
    expect(put(60_000, node("a", "x", false, true))).toEqual([
      "a in zone x is given up though no node of any zone is ready",
    ]);
    const other = player();
    for (const name of ["a", "b", "c", "d"]) other.put(0, node(name, "x", name === "d", false));
    expect(other.put(60_000, node("a", "x", false, true))).toEqual([
      "a in zone x is given up though the zone is small and mostly lost",
    ]);
  });
});
