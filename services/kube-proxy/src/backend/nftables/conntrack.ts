// UDP has no connections that end: the kernel keeps sending a flow to the endpoint it began with. This finds the flows whose
// endpoint has left. TCP is left to notice by itself, as upstream does. Pure.
import { ruleKey, type ProxyRule } from "../../planner/rule.ts";

/** One tracked flow. */
export interface UdpFlow {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  /** Who answers: the endpoint, or the destination itself where nothing was translated. */
  readonly replySource: string;
  readonly replySourcePort: number;
}

const FIELD = /\b(src|dst|sport|dport)=(\S+)/g;

/** Reads `conntrack -L -p udp`; lines that are no flows are left out. */
export function parseFlows(text: string): UdpFlow[] {
  const flows: UdpFlow[] = [];
  for (const line of text.split("\n")) {
    const values = Array.from(line.matchAll(FIELD), (found) => found[2]!);
    if (values.length !== 8) continue;
    const [source, destination, sourcePort, destinationPort, replySource, , replySourcePort] = values;
    flows.push({
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
  flows: readonly UdpFlow[],
  touched: ReadonlySet<string>,
  nodeAddresses: readonly string[],
  ruleOf: (key: string) => ProxyRule | undefined,
): UdpFlow[] {
  return flows.filter((flow) => {
    let key = ruleKey("IPv4", flow.destination, "UDP", flow.destinationPort);
    if (!touched.has(key) && nodeAddresses.includes(flow.destination) && ruleOf(key) === undefined) {
      key = ruleKey("IPv4", "", "UDP", flow.destinationPort);
    }
    if (!touched.has(key)) return false;
    const rule = ruleOf(key);
    const translated = flow.replySource !== flow.destination || flow.replySourcePort !== flow.destinationPort;
    const all = [...(rule?.endpoints ?? []), ...(rule?.clusterEndpoints ?? [])];
    if (!translated) return all.length > 0;
    return !all.some((one) => one.ip === flow.replySource && one.port === flow.replySourcePort);
  });
}

/** The arguments of conntrack that end one flow. */
export function deleteFlowArgs(flow: UdpFlow): string[] {
  const { source, destination, sourcePort, destinationPort } = flow;
  const from = ["-s", source, "--sport", String(sourcePort)];
  return ["-D", "-f", "ipv4", "-p", "udp", ...from, "-d", destination, "--dport", String(destinationPort)];
}
