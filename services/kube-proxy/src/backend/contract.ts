// What puts rules in place on one node and says where a packet goes. The suite in src/testing/backend-suite.ts holds for
// every implementation.
import type { Protocol, ProxyEndpoint, ProxyRule, RuleChange } from "../planner/rule.ts";

export interface Packet {
  /** May be empty: then neither affinity nor source rules hold. */
  readonly sourceIp: string;
  readonly destinationIp: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface Resolution {
  /** PASS: no rule holds for this packet. */
  readonly verdict: "DNAT" | "REJECT" | "DROP" | "PASS";
  readonly endpoint?: ProxyEndpoint;
  readonly rule?: ProxyRule;
  /** The source address is rewritten, too. */
  readonly masquerade: boolean;
}

export interface ProxyBackend {
  /** Makes these, and no others, the rules of the node. A rejection may leave old or new rules, never a mixture. */
  sync(rules: readonly ProxyRule[]): Promise<void>;
  /** Applies a change to what is there, all or nothing. */
  apply(change: RuleChange): Promise<void>;
  /** The addresses that NodePorts listen at. */
  setNodeAddresses(addresses: readonly string[]): Promise<void>;
  /** What somebody else has changed or removed of what was written; undefined where nothing, or nobody can. */
  damage?(): Promise<string | undefined>;
  /** What is in place, sorted by key. */
  rules(): Promise<ProxyRule[]>;
  /** Where the first packet of a connection goes; takes part in affinity, as a real connection would. */
  resolve(packet: Packet): Promise<Resolution>;
}
