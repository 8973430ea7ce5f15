// What holds for every ProxyBackend. Call it inside a test file with a factory for an empty node.
import { describe, expect, test } from "vitest";
import type { Packet, ProxyBackend } from "../backend/contract.ts";
import { ruleKey, type ProxyEndpoint, type ProxyRule } from "../planner/rule.ts";

export interface BackendUnderTest {
  readonly backend: ProxyBackend;
  /** Lets time pass for affinity. */
  readonly advance: (ms: number) => Promise<unknown>;
}

export interface BackendSuiteOptions {
  /** How many packets to spread; 2,000 where unset. */
  readonly packets?: number;
  /** Of the affinity that time is let pass for; 60 where unset. */
  readonly affinitySeconds?: number;
  /** How often a client comes back, and how often it is forgotten; 20 and 40 where unset. */
  readonly returns?: number;
  readonly expiries?: number;
}

export function endpoint(ip: string, over: Partial<ProxyEndpoint> = {}): ProxyEndpoint {
  return { ip, port: 8080, node: "a", ready: true, serving: true, terminating: false, ...over };
}

export function rule(over: Partial<ProxyRule> = {}): ProxyRule {
  const base: ProxyRule = {
    key: "",
    type: "ClusterIP",
    namespace: "default",
    service: "web",
    portName: "http",
    protocol: "TCP",
    family: "IPv4",
    ip: "10.96.0.10",
    port: 80,
    affinitySeconds: 0,
    endpoints: [endpoint("10.244.0.1"), endpoint("10.244.0.2")],
    otherwise: "REJECT",
    masquerade: false,
    sourceRanges: [],
    ...over,
  };
  return { ...base, key: ruleKey(base.family, base.ip, base.protocol, base.port) };
}

const packet = (over: Partial<Packet> = {}): Packet => ({
  sourceIp: "10.244.9.9",
  destinationIp: "10.96.0.10",
  protocol: "TCP",
  port: 80,
  ...over,
});

/** Pods of the node under test live in 10.244.0.0/16. */
export function backendSuite(
  name: string,
  create: () => BackendUnderTest | Promise<BackendUnderTest>,
  options: BackendSuiteOptions = {},
): void {
  const { packets = 2_000, affinitySeconds = 60, returns = 20, expiries = 40 } = options;
  describe(`proxy backend: ${name}`, () => {
    test("passes what no rule speaks of", async () => {
      const { backend } = await create();
      await backend.sync([rule()]);
      for (const other of [{ port: 81 }, { protocol: "UDP" as const }, { destinationIp: "10.96.0.11" }]) {
        expect((await backend.resolve(packet(other))).verdict).toBe("PASS");
      }
    });

    test("sends packets to the endpoints of the rule, and to all of them", async () => {
      const { backend } = await create();
      await backend.sync([rule()]);
      const seen = new Map<string, number>();
      for (let at = 0; at < packets; at++) {
        const found = await backend.resolve(packet());
        expect(found.verdict).toBe("DNAT");
        seen.set(found.endpoint!.ip, (seen.get(found.endpoint!.ip) ?? 0) + 1);
      }
      expect([...seen.keys()].toSorted()).toEqual(["10.244.0.1", "10.244.0.2"]);
      for (const count of seen.values()) expect(Math.abs(count - packets / 2)).toBeLessThan(3.5 * Math.sqrt(packets));
    });

    test("rejects or drops where there is no endpoint", async () => {
      const { backend } = await create();
      await backend.sync([rule({ endpoints: [] }), rule({ port: 81, endpoints: [], otherwise: "DROP" })]);
      expect((await backend.resolve(packet())).verdict).toBe("REJECT");
      expect((await backend.resolve(packet({ port: 81 }))).verdict).toBe("DROP");
    });

    test("keeps a client with its endpoint until the time-out, and lets go of an endpoint that left", async () => {
      const { backend, advance } = await create();
      const many = Array.from({ length: 20 }, (_, at) => endpoint(`10.244.1.${at}`));
      await backend.sync([rule({ affinitySeconds, endpoints: many })]);
      const first = (await backend.resolve(packet())).endpoint!;
      for (let at = 0; at < returns; at++) {
        await advance(affinitySeconds * 500);
        expect((await backend.resolve(packet())).endpoint).toEqual(first);
      }
      const left = many.filter((one) => one.ip !== first.ip);
      await backend.apply({ upserts: [rule({ affinitySeconds, endpoints: left })], removals: [] });
      expect(left).toContainEqual((await backend.resolve(packet())).endpoint);
      const after = new Set<string>();
      for (let at = 0; at < expiries; at++) {
        await advance(affinitySeconds * 1_020);
        after.add((await backend.resolve(packet())).endpoint!.ip);
      }
      expect(after.size).toBeGreaterThan(1);
    });

    test("masquerades hairpins, outsiders and what the rule says", async () => {
      const { backend } = await create();
      const alone = [endpoint("10.244.0.1")];
      await backend.sync([rule({ endpoints: alone }), rule({ port: 81, endpoints: alone, masquerade: true })]);
      const masquerade = async (over: Partial<Packet>): Promise<boolean> =>
        (await backend.resolve(packet(over))).masquerade;
      expect(await masquerade({})).toBe(false);
      expect(await masquerade({ sourceIp: "10.244.0.1" })).toBe(true);
      expect(await masquerade({ sourceIp: "192.0.2.1" })).toBe(true);
      expect(await masquerade({ port: 81 })).toBe(true);
    });

    test("NodePorts hold at the node's addresses alone", async () => {
      const { backend } = await create();
      await backend.setNodeAddresses(["198.18.0.5"]);
      await backend.sync([rule({ type: "NodePort", ip: "", port: 30080 })]);
      const at = async (destinationIp: string): Promise<string> =>
        (await backend.resolve(packet({ destinationIp, port: 30080 }))).verdict;
      expect(await at("198.18.0.5")).toBe("DNAT");
      expect(await at("198.18.0.6")).toBe("PASS");
    });

    test("a narrowed rule sends outsiders to the node's endpoints and pods to any", async () => {
      const { backend } = await create();
      const everywhere = [endpoint("10.244.7.7", { node: "b" })];
      await backend.setNodeAddresses(["198.18.0.5"]);
      const narrowed = { type: "NodePort", ip: "", port: 30080, endpoints: [], otherwise: "DROP" } as const;
      await backend.sync([rule({ ...narrowed, clusterEndpoints: everywhere })]);
      const from = (sourceIp: string) =>
        backend.resolve(packet({ sourceIp, destinationIp: "198.18.0.5", port: 30080 }));
      expect((await from("192.0.2.1")).verdict).toBe("DROP");
      expect((await from("10.244.3.3")).endpoint?.ip).toBe("10.244.7.7");
    });

    test("source ranges keep others out", async () => {
      const { backend } = await create();
      await backend.sync([rule({ type: "LoadBalancer", ip: "203.0.113.1", sourceRanges: ["192.0.2.0/24"] })]);
      const from = async (sourceIp: string): Promise<string> =>
        (await backend.resolve(packet({ sourceIp, destinationIp: "203.0.113.1" }))).verdict;
      expect(await from("192.0.2.7")).toBe("DNAT");
      expect(await from("198.51.100.7")).toBe("DROP");
      expect(await from("10.244.9.9")).toBe("DROP");
    });

    test("ranges of the other family keep nobody out, and ranges may contain each other", async () => {
      const { backend } = await create();
      const at = (ip: string, sourceRanges: string[]): ProxyRule => rule({ type: "LoadBalancer", ip, sourceRanges });
      const nested = ["192.0.2.0/24", "192.0.2.7/32", "192.0.2.0/25"];
      const rules = [at("203.0.113.1", ["fd00::/8"]), at("203.0.113.2", nested), at("203.0.113.3", ["0.0.0.0/0"])];
      await backend.sync(rules);
      const to = async (destinationIp: string, sourceIp: string): Promise<string> =>
        (await backend.resolve(packet({ sourceIp, destinationIp }))).verdict;
      expect(await to("203.0.113.1", "198.51.100.7")).toBe("DNAT");
      expect(await to("203.0.113.2", "192.0.2.200")).toBe("DNAT");
      expect(await to("203.0.113.2", "198.51.100.7")).toBe("DROP");
      expect(await to("203.0.113.3", "198.51.100.7")).toBe("DNAT");
      expect(await backend.rules()).toEqual(rules);
      expect(await backend.damage?.()).toBeUndefined();
      await backend.apply({ upserts: [at("203.0.113.2", ["198.51.100.0/24"])], removals: [] });
      expect(await to("203.0.113.2", "198.51.100.7")).toBe("DNAT");
      expect(await to("203.0.113.2", "192.0.2.200")).toBe("DROP");
      expect(await backend.damage?.()).toBeUndefined();
    });

    test("an address of its own comes before a NodePort, which takes over when it leaves", async () => {
      const { backend } = await create();
      const own = rule({ type: "ExternalIP", ip: "198.18.0.5", port: 30080, endpoints: [endpoint("10.244.5.5")] });
      await backend.setNodeAddresses(["198.18.0.5", "127.0.0.1"]);
      await backend.sync([rule({ type: "NodePort", ip: "", port: 30080, endpoints: [endpoint("10.244.4.4")] })]);
      const chosen = async (destinationIp: string) =>
        (await backend.resolve(packet({ destinationIp, port: 30080 }))).endpoint?.ip;
      expect(await chosen("198.18.0.5")).toBe("10.244.4.4");
      await backend.apply({ upserts: [own], removals: [] });
      expect(await chosen("198.18.0.5")).toBe("10.244.5.5");
      await backend.apply({ upserts: [], removals: [own.key] });
      expect(await chosen("198.18.0.5")).toBe("10.244.4.4");
      expect(await chosen("127.0.0.1")).toBeUndefined();
      await backend.setNodeAddresses(["198.18.0.6"]);
      expect(await chosen("198.18.0.5")).toBeUndefined();
      expect(await chosen("198.18.0.6")).toBe("10.244.4.4");
      expect(await backend.damage?.()).toBeUndefined();
    });

    test("sync replaces, apply changes", async () => {
      const { backend } = await create();
      const [a, b, c] = [rule({ port: 1 }), rule({ port: 2 }), rule({ port: 3 })];
      await backend.sync([a, b]);
      await backend.apply({ upserts: [c], removals: [a.key] });
      expect(await backend.rules()).toEqual([b, c]);
      await backend.sync([a]);
      expect(await backend.rules()).toEqual([a]);
    });
  });
}
