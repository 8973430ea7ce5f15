// Hints by zones for Services that ask for them: shares, moves, steadiness, and what stands in the way.
import type { Endpoint, Node } from "@coxswain/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planTopologyHints, wantsTopologyHints, zoneShares } from "../src/endpoint-slice/topology-hints.ts";

const node = (zone: string, cpu = "4", parts: Partial<Node["metadata"]> = {}, ready = "True"): Node => ({
  metadata: { labels: { ...(zone === "" ? {} : { "topology.kubernetes.io/zone": zone }), ...parts?.labels } },
  status: { allocatable: { cpu }, conditions: [{ type: "Ready", status: ready }] },
});
const endpoint = (zone: string, at: number, ready = true): Endpoint => ({
  addresses: [`10.0.0.${at}`],
  conditions: { ready },
  ...(zone === "" ? {} : { zone }),
});
const many = (...zones: string[]): Endpoint[] => zones.map((zone, at) => endpoint(zone, at));
const groupsOf = (endpoints: Endpoint[]) => new Map([["p", { ports: [], endpoints }]]);
const shares = (...pairs: [string, number][]) => new Map(pairs);
const EVEN = shares(["a", 0.5], ["b", 0.5]);

function hints(endpoints: Endpoint[], of = EVEN, before = new Map<string, string>()): string | (string | undefined)[] {
  const plan = planTopologyHints(groupsOf(endpoints), of, ({ addresses }) => before.get(addresses[0]!));
  if (plan.problem !== undefined) return plan.problem;
  return [...plan.groups.values()].flatMap((group) => group.endpoints.map((one) => one.hints?.forZones?.[0]?.name));
}

test("an annotation asks for hints, the older one first", () => {
  const asks = (annotations: Record<string, string>) => wantsTopologyHints({ metadata: { annotations } });
  expect(asks({ "service.kubernetes.io/topology-mode": "Auto" })).toBe(true);
  expect(asks({ "service.kubernetes.io/topology-mode": "auto" })).toBe(true);
  expect(asks({ "service.kubernetes.io/topology-mode": "Other" })).toBe(false);
  const both = {
    "service.kubernetes.io/topology-aware-hints": "disabled",
    "service.kubernetes.io/topology-mode": "Auto",
  };
  expect(asks(both)).toBe(false);
});

test("shares of zones are those of the processors of nodes that are ready and take pods", () => {
  const control = { labels: { "node-role.kubernetes.io/control-plane": "" } };
  const nodes = [node("b", "6"), node("a", "2"), node("a", "4", control), node("c", "4", {}, "False")];
  expect([...(zoneShares(nodes) ?? [])]).toEqual([
    ["a", 0.25],
    ["b", 0.75],
  ]);
  expect(zoneShares([node("a"), node("")])).toBeUndefined();
  expect(zoneShares([node("a"), node("b", "0")])).toBeUndefined();
  expect(zoneShares([node("a"), node("a")])).toBeUndefined();
});

describe("endpoints", () => {
  test("are meant for their own zones where that is even", () => {
    expect(hints(many("a", "b", "b", "a"))).toEqual(["a", "b", "b", "a"]);
    expect(hints([...many("a", "b"), endpoint("a", 9, false)])).toEqual(["a", "b", undefined]);
  });

  test("go to zones that lack them", () => {
    const found = hints(many("a", "a", "a", "a", "a", "b"));
    expect(found).toHaveLength(6);
    expect((found as string[]).filter((zone) => zone === "b")).toHaveLength(3);
  });

  test("keep their zones while no zone has too many", () => {
    const before = new Map([
      ["10.0.0.0", "b"],
      ["10.0.0.1", "a"],
    ]);
    expect(hints(many("a", "b", "a", "b"), EVEN, before)).toEqual(["b", "a", "a", "b"]);
    const all = new Map(["0", "1", "2", "3"].map((at) => [`10.0.0.${at}`, "a"]));
    expect((hints(many("a", "b", "a", "b"), EVEN, all) as string[]).filter((zone) => zone === "b")).not.toEqual([]);
  });

  test("have no hints where that cannot be, and it is said why", () => {
    const plan = planTopologyHints(groupsOf(many("a", "b")), undefined, () => undefined);
    expect(plan.problem).toMatch("Insufficient Node information");
    expect(hints(many("a"))).toBe("Insufficient number of endpoints (1 endpoints, 2 zones)");
    expect(hints(many("a", "b", "b"), shares(["a", 0.81], ["b", 0.1], ["c", 0.09]))).toBe(
      "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (3 endpoints, 3 zones)",
    );
    expect(hints(many("a", "b", "a", ""))).toBe("One or more endpoints do not have a zone specified");
  });

  test("whatever the shares: all have a zone that has a share, and no zone is overloaded", () => {
    const arbitrary = fc.record({
      weights: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 4 }),
      zones: fc.array(fc.nat(3), { minLength: 1, maxLength: 30 }),
    });
    fc.assert(
      fc.property(arbitrary, ({ weights, zones }) => {
        const total = weights.reduce((sum, one) => sum + one, 0);
        const of = new Map(weights.map((weight, at) => [String(at), weight / total]));
        const found = hints(
          zones.map((zone, at) => endpoint(String(zone % weights.length), at)),
          of,
        );
        if (typeof found === "string") return;
        for (const [zone, share] of of) {
          const has = found.filter((one) => one === zone).length;
          expect(has).toBeGreaterThanOrEqual(Math.ceil((share * zones.length) / 1.2) - 1);
        }
        expect(found.every((zone) => zone !== undefined && of.has(zone))).toBe(true);
      }),
    );
  });
});
