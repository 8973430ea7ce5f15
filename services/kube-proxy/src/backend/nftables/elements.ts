// From one rule to the elements of the node's sets. Pure. Guarantees: the same rule always gives the same elements, so that
// what must change in the kernel is the difference between those of the old rule and of the new one.
import ipaddr from "ipaddr.js";
import type { ProxyEndpoint, ProxyRule } from "../../planner/rule.ts";
import type { Shape } from "./shape.ts";
import { shapeName } from "./shape.ts";
import { INSIDE_OFFSET, type SetName, type TableSettings } from "./table.ts";

/** Takes one element; the value is empty for sets that are no maps. */
export type EmitElement = (set: SetName, key: string, value: string) => void;

/** A slot for packets from inside has this bit, all others do not. */
const INSIDE_BIT = 0x80000000;

function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/**
 * A number for each endpoint that stays while others come and go, and after a restart: affinity remembers it. In
 * 1..0x7ffffffe, all different.
 */
export function slotsOf(endpoints: readonly ProxyEndpoint[]): number[] {
  const used = new Set<number>();
  return endpoints.map((endpoint) => {
    let slot = (hashOf(`${endpoint.ip}:${endpoint.port}`) & 0x7fffffff) % 0x7ffffffe;
    do slot = (slot % 0x7ffffffe) + 1;
    while (used.has(slot));
    used.add(slot);
    return slot;
  });
}

export function slotText(slot: number): string {
  return `0x${(slot >>> 0).toString(16)}`;
}

/** As sets write what a packet must hit. */
export function vipKey(ip: string, protocol: string, port: number): string {
  return `${ip} . ${protocol.toLowerCase()} . ${port}`;
}

/** What becomes of the rule's packets; undefined where none is translated. */
export function shapeOf(rule: ProxyRule, settings: TableSettings): Shape | undefined {
  const inside = rule.clusterEndpoints?.length ?? 0;
  if (rule.endpoints.length === 0 && inside === 0) return undefined;
  const outsiders = rule.type === "ClusterIP" && settings.clusterCidrs.length > 0;
  return {
    endpoints: rule.endpoints.length,
    masquerade: rule.masquerade ? "always" : outsiders ? "outsiders" : "never",
    affinitySeconds: rule.affinitySeconds,
    ...(inside > 0 ? { inside } : {}),
  };
}

function emitEndpoints(
  emit: EmitElement,
  vip: string,
  endpoints: readonly ProxyEndpoint[],
  sticky: boolean,
  inside: boolean,
): void {
  const slots = sticky ? slotsOf(endpoints) : [];
  let index = inside ? INSIDE_OFFSET : 0;
  for (let at = 0; at < endpoints.length; at++) {
    const { ip, port } = endpoints[at]!;
    const value = `${ip} . ${port}`;
    const key = `${vip} . ${index++}`;
    emit("endpoints", key, value);
    if (!sticky) continue;
    const slot = slotText(slots[at]! | (inside ? INSIDE_BIT : 0));
    emit("choices", key, slot);
    emit("slots", `${vip} . ${slot}`, value);
  }
}

/** The IPv4 ranges in the kernel's spelling, without those that others contain. Sets refuse what overlaps. */
export function mergeRanges(cidrs: readonly string[]): string[] {
  const parsed = cidrs
    .map((cidr) => ipaddr.parseCIDR(cidr.trim()))
    .filter(([address]) => address.kind() === "ipv4")
    .map(([address, bits]) => [ipaddr.IPv4.networkAddressFromCIDR(`${address.toString()}/${bits}`), bits] as const)
    .toSorted((a, b) => a[1] - b[1]);
  const kept: (readonly [ipaddr.IPv4, number])[] = [];
  for (const one of parsed) if (!kept.some(([network, bits]) => one[0].match(network, bits))) kept.push(one);
  return kept.map(([network, bits]) => (bits === 32 ? network.toString() : `${network.toString()}/${bits}`)).toSorted();
}

/** What becomes of packets that are not translated; undefined where an endpoint is the address itself, and they may pass. */
function untranslatedVerdict(rule: ProxyRule, ip: string): string | undefined {
  if (rule.endpoints.length === 0) return rule.otherwise === "DROP" ? "goto discard" : "goto turn-away";
  const isItself = (one: ProxyEndpoint): boolean => one.ip === ip && one.port === rule.port;
  return rule.endpoints.some(isItself) || rule.clusterEndpoints?.some(isItself) === true ? undefined : "goto discard";
}

/** Emits the elements of a rule at the addresses where it holds, each once. Throws RangeError for IPv6. */
export function emitElements(
  rule: ProxyRule,
  shape: Shape | undefined,
  addresses: readonly string[],
  emit: EmitElement,
): void {
  if (rule.family !== "IPv4") throw new RangeError(`${rule.key}: IPv6 is not supported by the nftables backend`);
  const sticky = rule.affinitySeconds > 0;
  for (const ip of addresses) {
    const vip = vipKey(ip, rule.protocol, rule.port);
    if (shape !== undefined) emit("services", vip, `goto ${shapeName(shape)}`);
    emitEndpoints(emit, vip, rule.endpoints, sticky, false);
    if (rule.clusterEndpoints !== undefined) emitEndpoints(emit, vip, rule.clusterEndpoints, sticky, true);
    const verdict = untranslatedVerdict(rule, ip);
    if (verdict !== undefined) emit("untranslated", vip, verdict);
    if (rule.sourceRanges.length === 0) continue;
    const ranges = mergeRanges(rule.sourceRanges);
    if (ranges.length === 0) continue;
    emit("firewall", vip, "");
    for (const range of ranges) emit("firewall-allowed", `${vip} . ${range}`, "");
  }
}

/** Whether the endpoint may be its own client on this node: it is here, or on nobody knows which. */
export function mayBeHairpin(endpoint: ProxyEndpoint, nodeName: string): boolean {
  return endpoint.node === nodeName || endpoint.node === "";
}
