// What the kernel's table holds, from nft's JSON, and as rules again. Pure.
import { ruleKey, type Protocol, type ProxyEndpoint, type ProxyRule } from "../../planner/rule.ts";
import { mergeRanges, shapeOf } from "./elements.ts";
import { addressesOf, expectedElements, type Installed, type PlanSettings } from "./plan.ts";
import { parseShape, shapeName, type Shape } from "./shape.ts";
import { expectedChains, INSIDE_OFFSET, SET_NAMES } from "./table.ts";

export interface KernelTable {
  /** By set: elements by key, in the spelling of our own commands. */
  readonly sets: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** How many rules each chain has. */
  readonly chains: ReadonlyMap<string, number>;
  /** Elements of the affinity map as nft's text, so that a new table can keep them. */
  readonly affinity: readonly string[];
}

/** What nft's JSON uses of; everything else is left out. */
interface NftJson {
  readonly nftables: readonly {
    readonly map?: NftSet;
    readonly set?: NftSet;
    readonly chain?: { readonly name: string };
    readonly rule?: { readonly chain: string };
  }[];
}
interface NftSet {
  readonly name: string;
  readonly elem?: readonly unknown[];
}
interface NftObject {
  readonly concat?: readonly unknown[];
  readonly prefix?: { readonly addr: string; readonly len: number };
  readonly goto?: { readonly target: string };
  readonly elem?: { readonly val: unknown; readonly timeout?: number; readonly expires?: number };
}

const CLASS = /^([0-9a-f]+):([0-9a-f]+)$/;

function textOf(value: unknown): string {
  if (typeof value === "string") {
    const found = CLASS.exec(value);
    if (found === null) return value;
    return `0x${((Number.parseInt(found[1]!, 16) * 65_536 + Number.parseInt(found[2]!, 16)) >>> 0).toString(16)}`;
  }
  if (typeof value !== "object" || value === null) return String(value);
  const object = value as NftObject;
  if (object.concat !== undefined) return object.concat.map(textOf).join(" . ");
  if (object.prefix !== undefined) return `${object.prefix.addr}/${object.prefix.len}`;
  if (object.goto !== undefined) return `goto ${object.goto.target}`;
  if (object.elem !== undefined) return textOf(object.elem.val);
  return JSON.stringify(value);
}

function affinityText(key: unknown, value: unknown): string[] {
  const { val, timeout, expires = 0 } = (key as NftObject).elem ?? { val: key };
  // What expires within the second is let go of.
  if (timeout === undefined || expires === 0) return [];
  return [`${textOf(val)} timeout ${timeout}s expires ${expires}s : ${textOf(value)}`];
}

/** Reads `nft -j list table`, or `list map` for one of them. Throws SyntaxError for what is no JSON. */
export function parseTable(json: string): KernelTable {
  const sets = new Map<string, ReadonlyMap<string, string>>();
  const chains = new Map<string, number>();
  const affinity: string[] = [];
  for (const { map, set, chain, rule } of (JSON.parse(json) as NftJson).nftables) {
    if (chain !== undefined) chains.set(chain.name, chains.get(chain.name) ?? 0);
    if (rule !== undefined) chains.set(rule.chain, (chains.get(rule.chain) ?? 0) + 1);
    if (set !== undefined) sets.set(set.name, new Map((set.elem ?? []).map((one) => [textOf(one), ""])));
    if (map === undefined) continue;
    const pairs = (map.elem ?? []) as readonly (readonly [unknown, unknown])[];
    if (map.name === "affinity") affinity.push(...pairs.flatMap(([key, value]) => affinityText(key, value)));
    else sets.set(map.name, new Map(pairs.map(([key, value]) => [textOf(key), textOf(value)])));
  }
  return { sets, chains, affinity };
}

/** What somebody else has changed in the table; undefined where nothing. */
export function findDamage(table: KernelTable, installed: Installed, settings: PlanSettings): string | undefined {
  for (const [name, rules] of expectedChains(installed.shapes.values(), settings)) {
    const found = table.chains.get(name);
    if (found !== rules) return `chain ${name} has ${found ?? "no"} rules, not ${rules}`;
  }
  const expected = expectedElements(installed, settings);
  for (const name of SET_NAMES) {
    const [is, should] = [table.sets.get(name), expected.get(name)!];
    if (is === undefined) return `set ${name} is missing`;
    for (const [key, value] of should) {
      if (is.get(key) !== value) return `set ${name}: ${key} is ${is.get(key) ?? "missing"}`;
    }
    if (is.size !== should.size) return `set ${name} has ${is.size} elements, not ${should.size}`;
  }
  return undefined;
}

interface Address {
  readonly ip: string;
  readonly protocol: Protocol;
  readonly port: number;
}

function addressOf(vip: string): Address {
  const [ip = "", protocol = "", port] = vip.split(" . ");
  return { ip, protocol: protocol.toUpperCase() as Protocol, port: Number(port) };
}

/** An endpoint as a rule that is known has it; of others the kernel knows address and port alone. */
export function endpointFrom(value: string, known: ProxyRule | undefined): ProxyEndpoint {
  const [ip = "", port] = value.split(" . ");
  const all = [...(known?.endpoints ?? []), ...(known?.clusterEndpoints ?? [])];
  const found = all.find((one) => one.ip === ip && one.port === Number(port));
  return found ?? { ip, port: Number(port), node: "", ready: true, serving: true, terminating: false };
}

function endpointsAt(table: KernelTable, vip: string, count: number, offset: number, known?: ProxyRule) {
  const endpoints = table.sets.get("endpoints");
  const out: ProxyEndpoint[] = [];
  for (let at = 0; at < count; at++) {
    const value = endpoints?.get(`${vip} . ${at + offset}`);
    if (value !== undefined) out.push(endpointFrom(value, known));
  }
  return out;
}

function rangesAt(table: KernelTable, vip: string): string[] {
  const prefix = `${vip} . `;
  const allowed = table.sets.get("firewall-allowed")?.keys() ?? [];
  return [...allowed].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
}

/** A rule that nobody here has written. */
function strangerAt({ ip, protocol, port }: Address): ProxyRule {
  return {
    key: ruleKey("IPv4", ip, protocol, port),
    type: "ClusterIP",
    namespace: "",
    service: "",
    portName: "",
    protocol,
    family: "IPv4",
    ip,
    port,
    affinitySeconds: 0,
    endpoints: [],
    otherwise: "REJECT",
    masquerade: false,
    sourceRanges: [],
  };
}

/** The rule that holds at an address, as the kernel has it; what it cannot know is taken from the rule that was written. */
export function ruleAt(
  table: KernelTable,
  vip: string,
  written: ProxyRule | undefined,
  settings: PlanSettings,
): ProxyRule {
  const verdict = table.sets.get("services")?.get(vip);
  const shape: Shape | undefined = verdict === undefined ? undefined : parseShape(verdict.replace("goto ", ""));
  const base = written ?? strangerAt(addressOf(vip));
  const inside = shape?.inside ?? 0;
  const endpoints = endpointsAt(table, vip, shape?.endpoints ?? 0, 0, written);
  const clusterEndpoints = endpointsAt(table, vip, inside, INSIDE_OFFSET, written);
  const refused = (shape?.endpoints ?? 0) > 0 ? undefined : table.sets.get("untranslated")?.get(vip);
  const ranges = table.sets.get("firewall")?.has(vip) === true ? rangesAt(table, vip).toSorted() : [];
  const wanted = written === undefined ? undefined : shapeOf(written, settings);
  const same = shape !== undefined && wanted !== undefined && shapeName(shape) === shapeName(wanted);
  return {
    ...base,
    endpoints,
    ...(base.clusterEndpoints !== undefined || inside > 0 ? { clusterEndpoints } : {}),
    ...(refused === undefined ? {} : { otherwise: refused === "goto discard" ? "DROP" : "REJECT" }),
    ...(same || shape === undefined
      ? {}
      : { affinitySeconds: shape.affinitySeconds, masquerade: shape.masquerade === "always" }),
    sourceRanges: sameTexts(ranges, mergeRanges(base.sourceRanges)) ? base.sourceRanges : ranges,
  };
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((one, at) => one === b[at]);
}

/**
 * The rules that the kernel holds, by key. A NodePort is told from what it holds at the node's first address; where the node
 * has none it is taken as written.
 */
export function rulesFrom(table: KernelTable, installed: Installed, settings: PlanSettings): ProxyRule[] {
  const present = new Set([
    ...(table.sets.get("services")?.keys() ?? []),
    ...(table.sets.get("untranslated")?.keys() ?? []),
  ]);
  const out: ProxyRule[] = [];
  for (const rule of installed.rules.values()) {
    const where = addressesOf(rule, installed.addresses, (key) => installed.rules.has(key));
    const vips = where.map((ip) => `${ip} . ${rule.protocol.toLowerCase()} . ${rule.port}`);
    const held = vips.filter((vip) => present.has(vip));
    for (const vip of vips) present.delete(vip);
    if (vips.length === 0) out.push(rule);
    else if (held.length > 0) out.push(ruleAt(table, held[0]!, rule, settings));
  }
  for (const vip of present) out.push(ruleAt(table, vip, undefined, settings));
  return out.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}
