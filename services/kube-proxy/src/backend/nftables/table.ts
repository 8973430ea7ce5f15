// The table in the node's kernel: its sets, base chains and the chain of each shape, as nft's text. Pure. Guarantees:
// - One lookup finds a Service, however many there are; a second one finds its endpoint.
// - Of the packet's mark one bit is used, from the first translation to the way out, and all others are left alone.
// - A packet of a Service that has endpoints is translated or dropped: a connection must not begin untranslated, because
//   the kernel would keep it so.
import { insideName, shapeName, type Shape } from "./shape.ts";

export const TABLE = "kube-proxy";

/**
 * Marks packets to be masqueraded. 0x2000 (the portmap plugin), 0x4000 and 0x8000 (kube-proxy and kubelet of upstream) are
 * in use on many nodes, 0xffff0000 by some network plugins that own the mark's upper half.
 */
export const DEFAULT_MASQUERADE_BIT = 0x1000;

/** In the map of endpoints those for packets from inside come after this index. */
export const INSIDE_OFFSET = 65_536;

export interface TableSettings {
  /** Where pods have their addresses, IPv4 CIDRs. Empty: nobody is an outsider. */
  readonly clusterCidrs: readonly string[];
  readonly masqueradeBit: number;
}

export type SetName =
  | "services"
  | "endpoints"
  | "choices"
  | "slots"
  | "hairpin"
  | "untranslated"
  | "firewall"
  | "firewall-allowed";

export const SET_NAMES: readonly SetName[] = [
  "services",
  "endpoints",
  "choices",
  "slots",
  "hairpin",
  "untranslated",
  "firewall",
  "firewall-allowed",
];

const VIP = "ip daddr . meta l4proto . th dport";
/** For sets that only typeof can declare: nft cannot read "th" back from those (1.0.6: conflicting protocols). */
const VIP_TYPES = "ip daddr . meta l4proto . udp dport";
const CLIENT = `ip saddr . ${VIP}`;

const SETS = `
 map services { type ipv4_addr . inet_proto . inet_service : verdict; }
 map endpoints { typeof ${VIP_TYPES} . numgen random mod 2 : ip daddr . udp dport; }
 map choices { typeof ${VIP_TYPES} . numgen random mod 2 : meta priority; }
 map slots { type ipv4_addr . inet_proto . inet_service . classid : ipv4_addr . inet_service; }
 map affinity {
  type ipv4_addr . ipv4_addr . inet_proto . inet_service : classid; flags dynamic,timeout; timeout 3h; size 262144;
 }
 set hairpin { type ipv4_addr . ipv4_addr; }
 map untranslated { type ipv4_addr . inet_proto . inet_service : verdict; }
 set firewall { type ipv4_addr . inet_proto . inet_service; }
 set firewall-allowed { type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval; }
`;

function hexOf(bit: number): string {
  return `0x${bit.toString(16)}`;
}

function cidrSet(cidrs: readonly string[]): string {
  return `{ ${cidrs.join(", ")} }`;
}

/** Rules of the chains that all tables have, by chain; the first rule of a base chain is its hook. */
function baseChains({ masqueradeBit }: TableSettings): ReadonlyMap<string, readonly string[]> {
  const bit = hexOf(masqueradeBit);
  const rest = hexOf((0xffffffff ^ masqueradeBit) >>> 0);
  return new Map([
    ["translate", [`${VIP} vmap @services`]],
    // Who still has a Service's address found no endpoint, or met the tables just as they changed. A client tries again
    // after the latter, which it cannot do where the kernel has taken the connection as it is.
    ["refuse", ["ct state new ct status dnat return", `ct state new ${VIP} vmap @untranslated`]],
    ["turn-away", ["meta l4proto tcp reject with tcp reset", "reject"]],
    ["discard", ["drop"]],
    ["allow-sources", [`ct state new ${VIP} @firewall ${VIP} . ip saddr != @firewall-allowed drop`]],
    ["nat-prerouting", ["type nat hook prerouting priority dstnat", "jump translate"]],
    ["nat-output", ["type nat hook output priority -100", "jump translate"]],
    [
      "nat-postrouting",
      [
        "type nat hook postrouting priority srcnat",
        `meta mark & ${bit} == ${bit} meta mark set meta mark & ${rest} masquerade fully-random`,
        "ct status dnat ip saddr . ip daddr @hairpin masquerade fully-random",
      ],
    ],
    ["filter-prerouting", ["type filter hook prerouting priority -110", "jump allow-sources"]],
    ["filter-output-first", ["type filter hook output priority -110", "jump allow-sources"]],
    ["filter-input", ["type filter hook input priority 0", "jump refuse"]],
    ["filter-forward", ["type filter hook forward priority 0", "jump refuse"]],
    ["filter-output", ["type filter hook output priority 0", "jump refuse"]],
  ]);
}

function spread(endpoints: number, offset: number, affinitySeconds: number): string[] {
  const index = `numgen random mod ${endpoints}${offset === 0 ? "" : ` offset ${offset}`}`;
  if (affinitySeconds === 0) {
    // The second try is for a packet that meets the tables just as they change.
    const pick = `dnat ip to ${VIP} . ${index} map @endpoints`;
    return [pick, pick, "drop"];
  }
  // The slot of the client's endpoint travels in the packet's priority, which routing sets anew for what it forwards.
  const remember = `update @affinity { ${CLIENT} timeout ${affinitySeconds}s : meta priority }`;
  const go = `dnat ip to ${VIP} . meta priority map @slots`;
  return [
    `meta priority set ${CLIENT} map @affinity ${remember} ${go}`,
    `meta priority set ${VIP} . ${index} map @choices`,
    // An update leaves the slot of a client that is known already.
    `delete @affinity { ${CLIENT} : meta priority }`,
    remember,
    go,
    "drop",
  ];
}

/** The rules of a shape's chain, and of the chain for packets from inside where there is one. */
export function shapeChains(shape: Shape, settings: TableSettings): ReadonlyMap<string, readonly string[]> {
  const { endpoints, masquerade, affinitySeconds, inside } = shape;
  const bit = hexOf(settings.masqueradeBit);
  const mark = `meta mark set meta mark | ${bit}`;
  const chains = new Map<string, readonly string[]>();
  const rules: string[] = [];
  if (inside !== undefined) {
    const name = insideName(shape);
    chains.set(name, [mark, ...spread(inside, INSIDE_OFFSET, affinitySeconds)]);
    if (settings.clusterCidrs.length > 0) rules.push(`ip saddr ${cidrSet(settings.clusterCidrs)} goto ${name}`);
    rules.push(`fib saddr type local goto ${name}`);
  }
  if (masquerade === "always") rules.push(mark);
  if (masquerade === "outsiders") rules.push(`ip saddr != ${cidrSet(settings.clusterCidrs)} ${mark}`);
  if (endpoints > 0) rules.push(...spread(endpoints, 0, affinitySeconds));
  chains.set(shapeName(shape), rules);
  return chains;
}

/** Commands that make the chains with their rules. */
export function addChains(chains: ReadonlyMap<string, readonly string[]>): string {
  let text = "";
  for (const name of chains.keys()) text += `add chain ip ${TABLE} ${name}\n`;
  for (const [name, rules] of chains) for (const rule of rules) text += `add rule ip ${TABLE} ${name} ${rule}\n`;
  return text;
}

/** Commands that put an empty table in the place of what is there. */
export function emptyTable(settings: TableSettings): string {
  let text = `add table ip ${TABLE}\ndelete table ip ${TABLE}\ntable ip ${TABLE} {${SETS}`;
  for (const [name, rules] of baseChains(settings)) {
    text += ` chain ${name} {\n`;
    for (const rule of rules) text += rule.startsWith("type ") ? `  ${rule};\n` : `  ${rule}\n`;
    text += " }\n";
  }
  return `${text}}\n`;
}

/** How many rules each chain has when nobody has touched the table, for these shapes. */
export function expectedChains(shapes: Iterable<Shape>, settings: TableSettings): Map<string, number> {
  const expected = new Map<string, number>();
  for (const [name, rules] of baseChains(settings)) {
    expected.set(name, rules.filter((rule) => !rule.startsWith("type ")).length);
  }
  for (const shape of shapes) {
    for (const [name, rules] of shapeChains(shape, settings)) expected.set(name, rules.length);
  }
  return expected;
}
