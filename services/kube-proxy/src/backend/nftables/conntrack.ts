// The kernel keeps sending what it has seen of a flow to the endpoint it began with. UDP has no connections that end, and a
// TCP client that nobody answered may come again from the same port, within minutes: its new connection would go to the old
// endpoint too. This finds the flows whose endpoint has left. TCP connections that were answered are left to notice by
// themselves, as upstream does. Pure.
import { ruleKey, type Protocol, type ProxyEndpoint, type ProxyRule } from "../../planner/rule.ts";

/** One tracked flow. */
export interface Flow {
  readonly protocol: FlowProtocol;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  /** Who answers: the endpoint, or the destination itself where nothing was translated. */
  readonly replySource: string;
  readonly replySourcePort: number;
}

export type FlowProtocol = Extract<Protocol, "TCP" | "UDP">;

/** The arguments of conntrack that list a protocol's flows that may have to begin anew: all of UDP, unanswered ones of TCP. */
export function listFlowsArgs(protocol: FlowProtocol): string[] {
  const list = ["-L", "-f", "ipv4", "-p", protocol.toLowerCase()];
  return protocol === "TCP" ? [...list, "--state", "SYN_SENT"] : list;
}

const FIELD = /\b(src|dst|sport|dport)=(\S+)/g;

/** Reads what conntrack lists of a protocol; lines that are no flows are left out. */
export function parseFlows(protocol: FlowProtocol, text: string): Flow[] {
  const flows: Flow[] = [];
  for (const line of text.split("\n")) {
    const values = Array.from(line.matchAll(FIELD), (found) => found[2]!);
    if (values.length !== 8) continue;
    const [source, destination, sourcePort, destinationPort, replySource, , replySourcePort] = values;
    flows.push({
      protocol,
      source: source!,
      sourcePort: Number(sourcePort),
      destination: destination!,
      destinationPort: Number(destinationPort),
      replySource: replySource!,
      replySourcePort: Number(replySourcePort),
    });
  }
  return flows;
}

/**
 * The flows that must begin anew: to an endpoint that a rule does not have any more, or untranslated though a rule has
 * endpoints by now. `touched` are the keys of rules that changed, and `ruleOf` finds those that are in place.
 */
export function staleFlows(
  flows: readonly Flow[],
  touched: ReadonlySet<string>,
  nodeAddresses: readonly string[],
  ruleOf: (key: string) => ProxyRule | undefined,
): Flow[] {
  return flows.filter((flow) => {
    let key = ruleKey("IPv4", flow.destination, flow.protocol, flow.destinationPort);
    if (!touched.has(key) && nodeAddresses.includes(flow.destination) && ruleOf(key) === undefined) {
      key = ruleKey("IPv4", "", flow.protocol, flow.destinationPort);
    }
    if (!touched.has(key)) return false;
    const rule = ruleOf(key);
    const translated = flow.replySource !== flow.destination || flow.replySourcePort !== flow.destinationPort;
    const all = endpointsOf(rule);
    if (!translated) return all.length > 0;
    return !all.some((one) => one.ip === flow.replySource && one.port === flow.replySourcePort);
  });
}

/** Whether an endpoint that the rule had is not there after it changed. */
export function losesEndpoint(before: ProxyRule, after: ProxyRule | undefined): boolean {
  const there = new Set(endpointsOf(after).map(({ ip, port }) => `${ip}:${port}`));
  return endpointsOf(before).some(({ ip, port }) => !there.has(`${ip}:${port}`));
}

function endpointsOf(rule: ProxyRule | undefined): readonly ProxyEndpoint[] {
  return [...(rule?.endpoints ?? []), ...(rule?.clusterEndpoints ?? [])];
}

/** The arguments of conntrack that end one flow. */
export function deleteFlowArgs(flow: Flow): string[] {
  const { protocol, source, destination, sourcePort, destinationPort } = flow;
  const from = ["-s", source, "--sport", String(sourcePort)];
  return [
    "-D",
    "-f",
    "ipv4",
    "-p",
    protocol.toLowerCase(),
    ...from,
    "-d",
    destination,
    "--dport",
    String(destinationPort),
  ];
}
