// From Services and slices to rules: which endpoints, which addresses, and that updates add up to a full plan.
import type { Endpoint, EndpointSlice, Service } from "@coxswain/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseNodeNames } from "../src/node-names.ts";
import { planService } from "../src/planner/plan-service.ts";
import { diffRules, type ProxyRule } from "../src/planner/rule.ts";
import { RuleTable } from "../src/planner/rule-table.ts";
import { parseProxyMode } from "../src/proxy-mode.ts";

function service(name: string, spec: Partial<NonNullable<Service["spec"]>> = {}, rest: Partial<Service> = {}): Service {
  return {
    metadata: { name, namespace: "default" },
    spec: {
      type: "ClusterIP",
      clusterIP: "10.96.0.10",
      ports: [{ name: "http", port: 80, targetPort: "web" }],
      ...spec,
    },
    ...rest,
  };
}

function endpoint(ip: string, nodeName: string, conditions: Endpoint["conditions"] = { ready: true }): Endpoint {
  return { addresses: [ip], nodeName, conditions };
}

function slice(endpoints: Endpoint[], over: Partial<EndpointSlice> = {}): EndpointSlice {
  return { addressType: "IPv4", ports: [{ name: "http", protocol: "TCP", port: 8080 }], endpoints, ...over };
}

const ips = (rule: ProxyRule | undefined): string[] => (rule?.endpoints ?? []).map((one) => one.ip);
const only = (rules: ProxyRule[], type: string): ProxyRule | undefined => rules.find((rule) => rule.type === type);
const draining = { ready: false, serving: true, terminating: true };
const dead = { ready: false, serving: false, terminating: true };

describe("endpoints", () => {
  test.each<[string, Endpoint[], string[]]>([
    ["ready ones", [endpoint("1.1.1.1", "a"), endpoint("1.1.1.2", "b", { ready: false })], ["1.1.1.1"]],
    [
      "draining ones only where none is ready",
      [endpoint("1.1.1.1", "a"), endpoint("1.1.1.2", "b", draining)],
      ["1.1.1.1"],
    ],
    [
      "draining ones as a last resort",
      [endpoint("1.1.1.1", "a", dead), endpoint("1.1.1.2", "b", draining)],
      ["1.1.1.2"],
    ],
    ["conditions that say nothing are ready", [endpoint("1.1.1.1", "a", {})], ["1.1.1.1"]],
    ["not ready and not terminating never", [endpoint("1.1.1.1", "a", { ready: false, serving: true })], []],
  ])("%s", (_name, endpoints, expected) => {
    expect(ips(planService(service("s"), [slice(endpoints)], { node: "a" })[0])).toEqual(expected);
  });

  const hinted = (ip: string, node: string, zone?: string, conditions?: Endpoint["conditions"]): Endpoint => ({
    ...endpoint(ip, node, conditions),
    hints: { ...(zone === undefined ? {} : { forZones: [{ name: zone }] }), forNodes: [{ name: node }] },
  });
  const zonal = (ip: string, node: string, zone: string, conditions?: Endpoint["conditions"]): Endpoint => ({
    ...endpoint(ip, node, conditions),
    hints: { forZones: [{ name: zone }] },
  });
  test.each<[string, Endpoint[], string[]]>([
    ["of this zone", [zonal("1.1.1.1", "b", "x"), zonal("1.1.1.2", "c", "y")], ["1.1.1.1"]],
    ["of this node before its zone", [hinted("1.1.1.1", "a", "x"), hinted("1.1.1.2", "b", "x")], ["1.1.1.1"]],
    ["of the zone where none is on the node", [hinted("1.1.1.1", "b", "x"), hinted("1.1.1.2", "c", "y")], ["1.1.1.1"]],
    ["all, where none is near", [zonal("1.1.1.1", "b", "y"), zonal("1.1.1.2", "c", "z")], ["1.1.1.1", "1.1.1.2"]],
    ["all, where one says nothing", [zonal("1.1.1.1", "b", "x"), endpoint("1.1.1.2", "c")], ["1.1.1.1", "1.1.1.2"]],
    [
      "and those that are not ready need say nothing",
      [zonal("1.1.1.1", "b", "x"), endpoint("1.1.1.2", "c", draining), zonal("1.1.1.3", "c", "y")],
      ["1.1.1.1"],
    ],
    ["draining ones everywhere, where none is ready", [zonal("1.1.1.1", "b", "y", draining)], ["1.1.1.1"]],
  ])("that say whom they are for: %s", (_name, endpoints, expected) => {
    expect(ips(planService(service("s"), [slice(endpoints)], { node: "a", zone: "x" })[0])).toEqual(expected);
  });

  test("hints do not narrow a policy of Local", () => {
    const [rule] = planService(
      service("s", { internalTrafficPolicy: "Local" }),
      [slice([zonal("1.1.1.1", "a", "y")])],
      {
        node: "a",
        zone: "x",
      },
    );
    expect(ips(rule)).toEqual(["1.1.1.1"]);
  });

  test("ports are matched by name, families by address type, doubles merge", () => {
    const other = slice([endpoint("1.1.1.3", "a")], { ports: [{ name: "metrics", port: 9 }] });
    const six = slice([endpoint("fd00::1", "a")], { addressType: "IPv6" });
    const twice = [slice([endpoint("1.1.1.1", "a", { ready: false })]), slice([endpoint("1.1.1.1", "a")])];
    const rules = planService(service("s", { clusterIPs: ["10.96.0.10", "fd01::10"] }), [other, six, ...twice], {
      node: "a",
    });
    expect(rules.map((rule) => [rule.family, ips(rule)])).toEqual([
      ["IPv4", ["1.1.1.1"]],
      ["IPv6", ["fd00::1"]],
    ]);
  });
});

describe("policies and addresses", () => {
  const both = [slice([endpoint("1.1.1.1", "a"), endpoint("1.1.1.2", "b")])];

  test("addresses are those that they mean, however they are written", () => {
    const spec = {
      type: "LoadBalancer",
      clusterIP: "010.096.0.10",
      externalIPs: ["::ffff:192.0.2.1"],
      loadBalancerSourceRanges: [" 192.0.2.7/024 "],
    };
    const status = { loadBalancer: { ingress: [{ ip: "192.0.2.002" }] } };
    const rules = planService(service("s", spec, { status }), [slice([endpoint("010.1.1.1", "a")])], { node: "a" });
    expect(rules.map(({ ip }) => ip)).toEqual(["10.96.0.10", "192.0.2.1", "192.0.2.2"]);
    expect(only(rules, "LoadBalancer")?.sourceRanges).toEqual(["192.0.2.0/24"]);
    expect(ips(rules[0])).toEqual(["10.1.1.1"]);
  });

  test("headless, external-name and foreign Services have no rules", () => {
    expect(planService(service("s", { clusterIP: "None" }), both, { node: "a" })).toEqual([]);
    expect(planService(service("s", { type: "ExternalName", clusterIP: "" }), both, { node: "a" })).toEqual([]);
    const labels = { "service.kubernetes.io/service-proxy-name": "other" };
    expect(planService(service("s", {}, { metadata: { name: "s", labels } }), both, { node: "a" })).toEqual([]);
  });

  test("internalTrafficPolicy Local keeps ClusterIP traffic on the node, and drops where only others have endpoints", () => {
    const local = service("s", { internalTrafficPolicy: "Local" });
    expect(ips(planService(local, both, { node: "a" })[0])).toEqual(["1.1.1.1"]);
    expect(planService(local, both, { node: "c" })[0]).toMatchObject({ endpoints: [], otherwise: "DROP" });
    expect(planService(local, [], { node: "c" })[0]).toMatchObject({ endpoints: [], otherwise: "REJECT" });
  });

  test("externalTrafficPolicy narrows external addresses only and keeps the client's address", () => {
    const spec = {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      externalIPs: ["192.0.2.9"],
      ports: [{ name: "http", port: 80, nodePort: 30080 }],
      loadBalancerSourceRanges: ["10.0.0.0/8"],
    };
    const status = { loadBalancer: { ingress: [{ ip: "203.0.113.1" }, { ip: "203.0.113.2", ipMode: "Proxy" }] } };
    const rules = planService(service("s", spec, { status }), both, { node: "a" });
    expect(rules.map((rule) => [rule.type, rule.ip, rule.port, ips(rule), rule.masquerade])).toEqual([
      ["ClusterIP", "10.96.0.10", 80, ["1.1.1.1", "1.1.1.2"], false],
      ["ExternalIP", "192.0.2.9", 80, ["1.1.1.1"], false],
      ["LoadBalancer", "203.0.113.1", 80, ["1.1.1.1"], false],
      ["NodePort", "", 30080, ["1.1.1.1"], false],
    ]);
    expect(only(rules, "NodePort")?.clusterEndpoints).toHaveLength(2);
    expect(only(rules, "LoadBalancer")?.sourceRanges).toEqual(["10.0.0.0/8"]);
    const cluster = planService(service("s", { ...spec, externalTrafficPolicy: "Cluster" }, { status }), both, {
      node: "a",
    });
    expect(only(cluster, "NodePort")).toMatchObject({ masquerade: true });
    expect(ips(only(cluster, "NodePort"))).toHaveLength(2);
  });

  test("affinity has its time-out", () => {
    expect(planService(service("s", { sessionAffinity: "ClientIP" }), [], { node: "a" })[0]?.affinitySeconds).toBe(
      10_800,
    );
    const config = { clientIP: { timeoutSeconds: 5 } };
    const short = service("s", { sessionAffinity: "ClientIP", sessionAffinityConfig: config });
    expect(planService(short, [], { node: "a" })[0]?.affinitySeconds).toBe(5);
  });
});

test("property: updates add up to a full plan, whatever the order, also where addresses collide", () => {
  const step = fc.record({
    name: fc.constantFrom("a", "b", "c"),
    ip: fc.constantFrom("10.96.0.1", "10.96.0.2", "None"),
    external: fc.subarray(["192.0.2.1", "192.0.2.2"]),
    ready: fc.integer({ min: 0, max: 3 }),
    gone: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const table = new RuleTable();
      const backend = new Map<string, ProxyRule>();
      const state = new Map<string, ProxyRule[]>();
      for (const { name, ip, external, ready, gone } of steps) {
        const endpoints = Array.from({ length: ready }, (_, at) => endpoint(`10.0.0.${at}`, "a"));
        const one = service(name, { clusterIP: ip, externalIPs: external });
        const rules = gone ? [] : planService(one, [slice(endpoints)], { node: "a" });
        state.set(`default/${name}`, rules);
        const change = table.set(`default/${name}`, rules);
        for (const key of change.removals) backend.delete(key);
        for (const rule of change.upserts) backend.set(rule.key, rule);
      }
      const fresh = new RuleTable();
      for (const [name, rules] of [...state].toReversed()) fresh.set(name, rules);
      expect(diffRules(backend.values(), fresh.rules())).toEqual({ upserts: [], removals: [] });
      expect(backend.size).toBe(fresh.rules().length);
    }),
  );
});

test("node names and ranges", () => {
  expect(parseNodeNames("a,node-[2-4],a")).toEqual(["a", "node-2", "node-3", "node-4"]);
  for (const wrong of ["", "node-[4-2]", "Node_1", "n[1-2"]) expect(() => parseNodeNames(wrong)).toThrow(RangeError);
});

test("proxy modes that are not there are refused by name", () => {
  expect(parseProxyMode("simulated")).toBe("simulated");
  expect(parseProxyMode("nftables")).toBe("nftables");
  for (const mode of ["ipvs", "iptables", "kernelspace"]) {
    expect(() => parseProxyMode(mode)).toThrow(new RegExp(`^proxy mode "${mode}": not supported: .*; use nftables$`));
  }
  expect(() => parseProxyMode("ipvs")).toThrow(/IP Virtual Server/);
  expect(() => parseProxyMode("bpf")).toThrow(/unknown: use simulated or nftables/);
});
