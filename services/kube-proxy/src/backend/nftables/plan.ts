// From rules, and changes of them, to nft's commands: one transaction each. Pure: nothing counts as written before `commit`.
// Guarantees: a change costs what changes, whatever exists.
import { ruleKey, type ProxyEndpoint, type ProxyRule, type RuleChange } from "../../planner/rule.ts";
import { emitElements, type EmitElement, mayBeHairpin, shapeOf } from "./elements.ts";
import { shapeName, type Shape } from "./shape.ts";
import { addChains, emptyTable, SET_NAMES, shapeChains, TABLE, type SetName, type TableSettings } from "./table.ts";

export interface PlanSettings extends TableSettings {
  readonly nodeName: string;
}

/** What has been written. */
export interface Installed {
  readonly rules: Map<string, ProxyRule>;
  /** IPv4, without loopback. */
  addresses: readonly string[];
  /** Endpoints by address that may be their own client: how many rules have them. */
  readonly hairpins: Map<string, number>;
  /** By the name of their chain. */
  readonly shapes: Map<string, Shape>;
}

export function emptyInstalled(addresses: readonly string[]): Installed {
  return { rules: new Map(), addresses, hairpins: new Map(), shapes: new Map() };
}

export interface Transaction {
  /** Empty: nothing to do. */
  readonly text: string;
  /** Call it when the kernel has taken the text. */
  commit(): void;
}

type HasRule = (key: string) => boolean;

/** Where a rule holds: a NodePort at each of the node's addresses that no rule claims for itself. */
export function addressesOf(rule: ProxyRule, nodeAddresses: readonly string[], has: HasRule): readonly string[] {
  if (rule.ip !== "") return [rule.ip];
  return nodeAddresses.filter((ip) => !has(ruleKey(rule.family, ip, rule.protocol, rule.port)));
}

const textOf = (key: string, value: string): string => (value === "" ? key : `${key} : ${value}`);

function command(verb: "add" | "delete", set: SetName, elements: readonly string[]): string {
  return elements.length === 0 ? "" : `${verb} element ip ${TABLE} ${set} { ${elements.join(", ")} }\n`;
}

const hairpinKey = (ip: string): string => `${ip} . ${ip}`;

/** Adds to the counts of hairpins what a rule has of them. */
function countHairpins(counts: Map<string, number>, rule: ProxyRule, nodeName: string, by: number): void {
  const count = (endpoints: readonly ProxyEndpoint[]): void => {
    for (const one of endpoints) if (mayBeHairpin(one, nodeName)) counts.set(one.ip, (counts.get(one.ip) ?? 0) + by);
  };
  count(rule.endpoints);
  if (rule.clusterEndpoints !== undefined) count(rule.clusterEndpoints);
}

/** Emits everything that the kernel should hold. */
function emitInstalled(installed: Installed, settings: PlanSettings, emit: EmitElement): void {
  const { rules, addresses, hairpins } = installed;
  const has: HasRule = (key) => rules.has(key);
  for (const rule of rules.values()) {
    emitElements(rule, shapeOf(rule, settings), addressesOf(rule, addresses, has), emit);
  }
  for (const ip of hairpins.keys()) emit("hairpin", hairpinKey(ip), "");
}

/** All elements that these rules need, as the kernel should hold them. */
export function expectedElements(installed: Installed, settings: PlanSettings): Map<SetName, Map<string, string>> {
  const sets = new Map<SetName, Map<string, string>>(SET_NAMES.map((name) => [name, new Map()]));
  emitInstalled(installed, settings, (set, key, value) => void sets.get(set)!.set(key, value));
  return sets;
}

/**
 * Makes these rules, and no others, those of the node, in place of whatever the table holds. `affinity` are elements of the
 * map of that name to keep, in nft's text.
 */
export function planFull(
  rules: readonly ProxyRule[],
  addresses: readonly string[],
  settings: PlanSettings,
  affinity: readonly string[] = [],
): { readonly text: string; readonly installed: Installed } {
  const installed = emptyInstalled(addresses);
  for (const rule of rules) installed.rules.set(rule.key, rule);
  for (const rule of installed.rules.values()) {
    const shape = shapeOf(rule, settings);
    if (shape !== undefined) installed.shapes.set(shapeName(shape), shape);
    countHairpins(installed.hairpins, rule, settings.nodeName, 1);
  }
  let text = emptyTable(settings);
  const chains = new Map<string, readonly string[]>();
  for (const shape of installed.shapes.values()) {
    for (const [name, lines] of shapeChains(shape, settings)) chains.set(name, lines);
  }
  text += addChains(chains);
  const sets = new Map<SetName, string[]>(SET_NAMES.map((name) => [name, []]));
  emitInstalled(installed, settings, (set, key, value) => void sets.get(set)!.push(textOf(key, value)));
  for (const [set, elements] of sets) text += command("add", set, elements);
  if (affinity.length > 0) text += `add element ip ${TABLE} affinity { ${affinity.join(", ")} }\n`;
  return { text, installed };
}

interface SetElement {
  readonly set: SetName;
  readonly key: string;
  readonly value: string;
}

/** Elements by set and key. */
type Elements = Map<string, SetElement>;

function collect(fill: (emit: EmitElement) => void): Elements {
  const found: Elements = new Map();
  fill((set, key, value) => void found.set(`${set} ${key}`, { set, key, value }));
  return found;
}

/** The difference between two lots of elements: deletions come first, because an element's value cannot be replaced. */
function elementChanges(before: Elements, after: Elements): string {
  const gone = new Map<SetName, string[]>();
  const come = new Map<SetName, string[]>();
  const push = (to: Map<SetName, string[]>, set: SetName, text: string): void => {
    const list = to.get(set);
    if (list === undefined) to.set(set, [text]);
    else list.push(text);
  };
  for (const [id, { set, key, value }] of after) {
    const known = before.get(id);
    if (known?.value === value) continue;
    if (known !== undefined) push(gone, set, key);
    push(come, set, textOf(key, value));
  }
  for (const [id, { set, key }] of before) if (!after.has(id)) push(gone, set, key);
  let text = "";
  for (const [set, keys] of gone) text += command("delete", set, keys);
  for (const [set, elements] of come) text += command("add", set, elements);
  return text;
}

/** Shapes that the change brings, by name. */
function newShapes(upserts: readonly ProxyRule[], installed: Installed, settings: PlanSettings): Map<string, Shape> {
  const found = new Map<string, Shape>();
  for (const rule of upserts) {
    const shape = shapeOf(rule, settings);
    if (shape === undefined) continue;
    const name = shapeName(shape);
    if (!installed.shapes.has(name)) found.set(name, shape);
  }
  return found;
}

/** Commands for the chains of new shapes. A chain for packets from inside may be there already. */
function newChains(shapes: ReadonlyMap<string, Shape>, installed: Installed, settings: PlanSettings): string {
  const chains = new Map<string, readonly string[]>();
  for (const shape of shapes.values()) {
    for (const [name, lines] of shapeChains(shape, settings)) chains.set(name, lines);
  }
  for (const shape of installed.shapes.values()) {
    if (chains.size === 0) break;
    if (shape.inside === undefined) continue;
    for (const name of shapeChains(shape, settings).keys()) chains.delete(name);
  }
  return addChains(chains);
}

/** Rules that a change touches: its own, and NodePorts that lose an address to a rule or get it back. */
function affectedKeys(change: RuleChange, installed: Installed): Set<string> {
  const own = new Set([...change.removals, ...change.upserts.map((rule) => rule.key)]);
  const all = new Set(own);
  for (const key of own) {
    const [family = "", ip = "", protocol, port] = key.split("|");
    if (installed.addresses.includes(ip)) all.add([family, "", protocol, port].join("|"));
  }
  return all;
}

/** Turns what is installed into what the change makes of it. Throws RangeError for IPv6. */
export function planChange(installed: Installed, change: RuleChange, settings: PlanSettings): Transaction {
  const upserts = new Map(change.upserts.map((rule) => [rule.key, rule]));
  const removed = new Set(change.removals.filter((key) => !upserts.has(key)));
  const before: ProxyRule[] = [];
  const after: ProxyRule[] = [];
  for (const key of affectedKeys(change, installed)) {
    const old = installed.rules.get(key);
    if (old !== undefined) before.push(old);
    const next = upserts.get(key) ?? (removed.has(key) ? undefined : old);
    if (next !== undefined) after.push(next);
  }
  const hasNow: HasRule = (key) => installed.rules.has(key);
  const hasThen: HasRule = (key) => upserts.has(key) || (installed.rules.has(key) && !removed.has(key));
  const shapes = newShapes(change.upserts, installed, settings);
  const deltas = new Map<string, number>();
  for (const rule of before) countHairpins(deltas, rule, settings.nodeName, -1);
  for (const rule of after) countHairpins(deltas, rule, settings.nodeName, 1);
  const elements = (rules: readonly ProxyRule[], has: HasRule, then: boolean): Elements =>
    collect((emit) => {
      for (const rule of rules) {
        emitElements(rule, shapeOf(rule, settings), addressesOf(rule, installed.addresses, has), emit);
      }
      for (const [ip, delta] of deltas) {
        if ((installed.hairpins.get(ip) ?? 0) + (then ? delta : 0) > 0) emit("hairpin", hairpinKey(ip), "");
      }
    });
  const text =
    newChains(shapes, installed, settings) +
    elementChanges(elements(before, hasNow, false), elements(after, hasThen, true));
  return {
    text,
    commit() {
      for (const key of removed) installed.rules.delete(key);
      for (const [key, rule] of upserts) installed.rules.set(key, rule);
      for (const [name, shape] of shapes) installed.shapes.set(name, shape);
      for (const [ip, delta] of deltas) {
        const count = (installed.hairpins.get(ip) ?? 0) + delta;
        if (count > 0) installed.hairpins.set(ip, count);
        else installed.hairpins.delete(ip);
      }
    },
  };
}

/** Moves the NodePorts to other addresses. Looks at every rule: addresses of a node change rarely. */
export function planAddresses(installed: Installed, addresses: readonly string[], settings: PlanSettings): Transaction {
  const nodePorts = [...installed.rules.values()].filter((rule) => rule.ip === "");
  const has: HasRule = (key) => installed.rules.has(key);
  const at = (where: readonly string[]): Elements =>
    collect((emit) => {
      for (const rule of nodePorts) emitElements(rule, shapeOf(rule, settings), addressesOf(rule, where, has), emit);
    });
  return {
    text: elementChanges(at(installed.addresses), at(addresses)),
    commit() {
      installed.addresses = addresses;
    },
  };
}
