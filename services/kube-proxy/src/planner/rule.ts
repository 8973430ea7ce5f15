// What the planner decides: one rule a virtual address, and what changed between two sets of them.

export type Protocol = "TCP" | "UDP" | "SCTP";
export type Family = "IPv4" | "IPv6";
export type RuleType = "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalIP";

export interface ProxyEndpoint {
  readonly ip: string;
  readonly port: number;
  readonly node: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
}

export interface ProxyRule {
  /** What a packet must hit: family, address (empty: any of the node's), protocol, port. One rule a key. */
  readonly key: string;
  readonly type: RuleType;
  readonly namespace: string;
  readonly service: string;
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: Family;
  /** Empty for a NodePort. */
  readonly ip: string;
  readonly port: number;
  /** 0: no affinity. */
  readonly affinitySeconds: number;
  /** Where packets may go; policies are applied already. */
  readonly endpoints: readonly ProxyEndpoint[];
  /** For packets from pods and the node itself where `endpoints` is narrowed to the node: they may go anywhere. */
  readonly clusterEndpoints?: readonly ProxyEndpoint[];
  /** What becomes of a packet when `endpoints` is empty: DROP where only this node has none. */
  readonly otherwise: "REJECT" | "DROP";
  /** The source is rewritten to the node's: endpoints on other nodes must answer through this one. */
  readonly masquerade: boolean;
  /** CIDRs that may use it; empty: all. */
  readonly sourceRanges: readonly string[];
}

export interface RuleChange {
  readonly upserts: readonly ProxyRule[];
  /** Keys. */
  readonly removals: readonly string[];
}

export function ruleKey(family: Family, ip: string, protocol: string, port: number): string {
  return `${family}|${ip}|${protocol}|${port}`;
}

export function sameRule(a: ProxyRule, b: ProxyRule): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** What turns `before` into `after`; nothing for rules that are the same. */
export function diffRules(before: Iterable<ProxyRule>, after: Iterable<ProxyRule>): RuleChange {
  const old = new Map([...before].map((rule) => [rule.key, rule]));
  const upserts: ProxyRule[] = [];
  for (const rule of after) {
    const known = old.get(rule.key);
    old.delete(rule.key);
    if (known === undefined || !sameRule(known, rule)) upserts.push(rule);
  }
  return { upserts, removals: [...old.keys()] };
}
