// Ranges of Services' addresses: when they are ready, and how long they stay.
import { IP_ADDRESSES, SERVICE_CIDRS, type IPAddress, type ServiceCIDR } from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import { FINALIZER, holdsRange, isNeeded, planServiceCidr } from "../src/service-cidr/plan.ts";
import { makeFixture } from "./cluster-fixture.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");

function range(name: string, cidr: string, extra: ServiceCIDR["metadata"] = {}): ServiceCIDR {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name, ...extra },
    spec: { cidrs: [cidr] },
  };
}

function address(ip: string, manager = "ipallocator.k8s.io"): IPAddress {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "IPAddress",
    metadata: { name: ip, labels: { "ipaddress.kubernetes.io/managed-by": manager } },
    spec: { parentRef: { resource: "services", namespace: "default", name: "s" } },
  };
}

test.each([
  ["10.96.0.0/16", "10.96.1.0/24", true],
  ["10.96.1.0/24", "10.96.0.0/16", false],
  ["10.96.0.0/16", "10.96.0.0/16", true],
  ["10.96.0.0/16", "10.97.0.0/24", false],
  ["fd00::/48", "fd00::/108", true],
  ["fd00::/48", "10.96.0.0/16", false],
])("%s holds %s: %s", (outer, inner, expected) => {
  expect(holdsRange(outer, inner)).toBe(expected);
});

test.each<[string, ServiceCIDR[], IPAddress[], boolean]>([
  ["nothing is in use", [], [], false],
  ["an address is in use", [], [address("10.97.0.5")], true],
  ["an address of somebody's own is", [], [address("10.97.0.5", "me")], false],
  ["an address of another range is", [], [address("10.96.0.5")], false],
  ["a larger range holds it too", [range("large", "10.0.0.0/8")], [address("10.97.0.5")], false],
  ["another range holds the address alone", [range("small", "10.97.0.0/28")], [address("10.97.0.5")], false],
  ["another range holds another address", [range("small", "10.97.0.0/28")], [address("10.97.0.50")], true],
])("a range is needed where %s", (_, others, addresses, expected) => {
  const cidr = range("mine", "10.97.0.0/24");
  expect(isNeeded(cidr, [cidr, ...others], addresses)).toBe(expected);
});

describe("a range", () => {
  const leaving = (agoMs: number): ServiceCIDR =>
    range("mine", "10.97.0.0/24", { finalizers: [FINALIZER], deletionTimestamp: formatTime(NOW - agoMs) });
  test("is held before it is ready", () => {
    expect(planServiceCidr(range("mine", "10.97.0.0/24"), [], [], NOW)).toEqual({ do: "add finalizer" });
    const held = range("mine", "10.97.0.0/24", { finalizers: [FINALIZER] });
    const plan = planServiceCidr(held, [], [], NOW);
    expect(plan).toMatchObject({
      do: "store",
      object: {
        status: { conditions: [{ type: "Ready", status: "True", message: "Kubernetes Service CIDR is ready" }] },
      },
    });
    if (plan.do === "store") expect(planServiceCidr(plan.object, [], [], NOW)).toEqual({ do: "nothing" });
  });
  test("goes ten seconds after it was to, and no sooner than its addresses", () => {
    expect(planServiceCidr(leaving(3_000), [], [], NOW)).toEqual({ do: "wait", ms: 7_000 });
    expect(planServiceCidr(leaving(10_000), [], [], NOW)).toEqual({ do: "remove finalizer" });
    expect(planServiceCidr(leaving(10_000), [], [address("10.97.0.5")], NOW)).toMatchObject({
      do: "store",
      object: { status: { conditions: [{ type: "Ready", status: "False", reason: "Terminating" }] } },
    });
  });
});

test("in a cluster a range stays while an address is in use, and then goes", async () => {
  const fixture = makeFixture();
  const stored = () => fixture.cluster.objects<ServiceCIDR>(SERVICE_CIDRS)[0];
  const ready = () => stored()?.status?.conditions?.find(({ type }) => type === "Ready");
  fixture.cluster.seed(SERVICE_CIDRS, range("more", "10.97.0.0/24"));
  fixture.cluster.seed(IP_ADDRESSES, address("10.97.0.5"));
  fixture.start();
  expect(await fixture.until(() => ready()?.status === "True")).toBe(true);
  await fixture.settle(fixture.admin.delete(SERVICE_CIDRS, { name: "more" }));
  expect(await fixture.until(() => ready()?.status === "False")).toBe(true);
  await fixture.env.advance(60_000);
  expect(stored()).toBeDefined();
  await fixture.settle(fixture.admin.delete(IP_ADDRESSES, { name: "10.97.0.5" }));
  expect(await fixture.until(() => stored() === undefined)).toBe(true);
});
