// From rules, and changes of them, to nft's commands: one transaction each. Pure: nothing counts as written before `commit`.
// Guarantees: a change costs what changes, whatever exists.
import { ruleKey, type ProxyRule, type RuleChange } from "../../planner/rule.ts";
import { elementsOf, hairpinsOf, shapeOf, type SetElement } from "./elements.ts";
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

function elementText(element: SetElement): string {
  return element.value === "" ? element.key : `${element.key} : ${element.value}`;
}

function command(verb: "add" | "delete", set: SetName, elements: readonly string[]): string {
  return elements.length === 0 ? "" : `${verb} element ip ${TABLE} ${set} { ${elements.join(", ")} }\n`;
}

const hairpinKey = (ip: string): string => `${ip} . ${ip}`;

/** All elements that these rules need, as the kernel should hold them. */
export function expectedElements(installed: Installed, settings: PlanSettings): Map<SetName, Map<string, string>> {
  const sets = new Map<SetName, Map<string, string>>(SET_NAMES.map((name) => [name, new Map()]));
  const has: HasRule = (key) => installed.rules.has(key);
  for (const rule of installed.rules.values()) {
    for (const one of elementsOf(rule, addressesOf(rule, installed.addresses, has), settings)) {
      sets.get(one.set)!.set(one.key, one.value);
    }
  }
  for (const ip of installed.hairpins.keys()) sets.get("hairpin")!.set(hairpinKey(ip), "");
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
  for (const rule of rules) {
    installed.rules.set(rule.key, rule);
    const shape = shapeOf(rule, settings);
    if (shape !== undefined) installed.shapes.set(shapeName(shape), shape);
    for (const ip of hairpinsOf(rule, settings.nodeName)) {
      installed.hairpins.set(ip, (installed.hairpins.get(ip) ?? 0) + 1);
    }
  }
  let text = emptyTable(settings);
  const chains = new Map<string, readonly string[]>();
  for (const shape of installed.shapes.values()) {
    for (const [name, lines] of shapeChains(shape, settings)) chains.set(name, lines);
  }
  text += addChains(chains);
  for (const [set, elements] of expectedElements(installed, settings)) {
    text += command(
      "add",
      set,
      Array.from(elements, ([key, value]) => elementText({ set, key, value })),
    );
  }
  if (affinity.length > 0) text += `add element ip ${TABLE} affinity { ${affinity.join(", ")} }\n`;
  return { text, installed };
}

/** The difference between two lots of elements: deletions come first, because an element's value cannot be replaced. */
function elementChanges(before: Iterable<SetElement>, after: Iterable<SetElement>): string {
  const old = new Map<string, SetElement>();
  for (const one of before) old.set(`${one.set} ${one.key}`, one);
  const gone = new Map<SetName, string[]>();
  const come = new Map<SetName, string[]>();
  const push = (to: Map<SetName, string[]>, set: SetName, text: string): void => {
    const list = to.get(set);
    if (list === undefined) to.set(set, [text]);
    else list.push(text);
  };
  const seen = new Set<string>();
  for (const one of after) {
    const id = `${one.set} ${one.key}`;
    if (seen.has(id)) continue;
    seen.add(id);
    const known = old.get(id);
    old.delete(id);
    if (known?.value === one.value) continue;
    if (known !== undefined) push(gone, one.set, one.key);
    push(come, one.set, elementText(one));
  }
  for (const one of old.values()) push(gone, one.set, one.key);
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

/** How often each hairpin comes or goes with a change. */
function hairpinDeltas(
  before: readonly ProxyRule[],
  after: readonly ProxyRule[],
  settings: PlanSettings,
): Map<string, number> {
  const deltas = new Map<string, number>();
  const count = (rules: readonly ProxyRule[], by: number): void => {
    for (const rule of rules) {
      for (const ip of hairpinsOf(rule, settings.nodeName)) deltas.set(ip, (deltas.get(ip) ?? 0) + by);
    }
  };
  count(before, -1);
  count(after, 1);
  return deltas;
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
  const deltas = hairpinDeltas(before, after, settings);
  const hairpins = (then: boolean): SetElement[] =>
    [...deltas]
      .filter(([ip, delta]) => (installed.hairpins.get(ip) ?? 0) + (then ? delta : 0) > 0)
      .map(([ip]) => ({ set: "hairpin", key: hairpinKey(ip), value: "" }));
  const elements = (rules: readonly ProxyRule[], has: HasRule, then: boolean): SetElement[] => [
    ...rules.flatMap((rule) => elementsOf(rule, addressesOf(rule, installed.addresses, has), settings)),
    ...hairpins(then),
  ];
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
  const at = (where: readonly string[]): SetElement[] =>
    nodePorts.flatMap((rule) => elementsOf(rule, addressesOf(rule, where, has), settings));
  return {
    text: elementChanges(at(installed.addresses), at(addresses)),
    commit() {
      installed.addresses = addresses;
    },
  };
}
