// The double of the kernel's tables: keeps rules in memory and resolves packets as nftables would. Deterministic under a
// seeded environment.
import type { Env } from "@coxswain/env";
import { isIPv6 } from "node:net";
import type { ProxyEndpoint, ProxyRule } from "../planner/rule.ts";
import { ruleKey } from "../planner/rule.ts";
import type { Packet, ProxyBackend, Resolution } from "./contract.ts";
import { inRange } from "./ip-ranges.ts";

export interface SimulatedBackendOptions {
  readonly env: Env;
  /** Where pods have their addresses, as CIDRs: traffic from elsewhere to a ClusterIP is masqueraded. Empty: never. */
  readonly clusterCidrs?: readonly string[];
}

interface Sticky {
  readonly endpoint: string;
  expiresMs: number;
}

const endpointId = (endpoint: ProxyEndpoint): string => `${endpoint.ip} ${endpoint.port}`;

/** An empty node. */
export function createSimulatedBackend(options: SimulatedBackendOptions): ProxyBackend {
  const { env } = options;
  const clusterCidrs = options.clusterCidrs ?? [];
  const sticky = new Map<string, Sticky>();
  let table = new Map<string, ProxyRule>();
  let addresses = new Set<string>();

  function ruleFor(packet: Packet): ProxyRule | undefined {
    const family = isIPv6(packet.destinationIp) ? "IPv6" : "IPv4";
    const exact = table.get(ruleKey(family, packet.destinationIp, packet.protocol, packet.port));
    if (exact !== undefined || !addresses.has(packet.destinationIp)) return exact;
    return table.get(ruleKey(family, "", packet.protocol, packet.port));
  }

  function choose(rule: ProxyRule, endpoints: readonly ProxyEndpoint[], sourceIp: string): ProxyEndpoint {
    if (rule.affinitySeconds === 0 || sourceIp === "") return endpoints[env.random.int(endpoints.length)]!;
    const key = `${rule.namespace}/${rule.service}/${rule.portName}/${rule.protocol}/${sourceIp}`;
    const now = env.clock.now();
    const known = sticky.get(key);
    const held =
      known !== undefined && known.expiresMs > now
        ? endpoints.find((endpoint) => endpointId(endpoint) === known.endpoint)
        : undefined;
    const chosen = held ?? endpoints[env.random.int(endpoints.length)]!;
    sticky.set(key, { endpoint: endpointId(chosen), expiresMs: now + rule.affinitySeconds * 1000 });
    return chosen;
  }

  function resolve(packet: Packet): Resolution {
    const rule = ruleFor(packet);
    if (rule === undefined) return { verdict: "PASS", masquerade: false };
    const fromCluster = inRange(packet.sourceIp, clusterCidrs) || addresses.has(packet.sourceIp);
    const ranges = rule.sourceRanges.filter(
      (range) => isIPv6(range.split("/")[0]!.trim()) === (rule.family === "IPv6"),
    );
    if (ranges.length > 0 && packet.sourceIp !== "" && !inRange(packet.sourceIp, ranges)) {
      return { verdict: "DROP", rule, masquerade: false };
    }
    const anywhere = fromCluster && rule.clusterEndpoints !== undefined;
    const endpoints = anywhere ? rule.clusterEndpoints : rule.endpoints;
    if (endpoints.length === 0) return { verdict: rule.otherwise, rule, masquerade: false };
    const endpoint = choose(rule, endpoints, packet.sourceIp);
    const hairpin = packet.sourceIp === endpoint.ip;
    const offCluster =
      rule.type === "ClusterIP" &&
      clusterCidrs.length > 0 &&
      packet.sourceIp !== "" &&
      !inRange(packet.sourceIp, clusterCidrs);
    return { verdict: "DNAT", endpoint, rule, masquerade: rule.masquerade || anywhere || hairpin || offCluster };
  }

  return {
    async sync(rules) {
      await env.failpoints.hit("proxy.sync");
      table = new Map(rules.map((rule) => [rule.key, rule]));
    },
    async apply(change) {
      await env.failpoints.hit("proxy.apply");
      for (const key of change.removals) table.delete(key);
      for (const rule of change.upserts) table.set(rule.key, rule);
    },
    async setNodeAddresses(next) {
      addresses = new Set(next.filter((ip) => !ip.startsWith("127.") && ip !== "::1"));
    },
    rules: async () => [...table.values()].toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)),
    resolve: async (packet) => resolve(packet),
  };
}
