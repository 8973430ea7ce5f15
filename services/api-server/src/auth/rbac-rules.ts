// Pure RBAC matching: does a rule allow a request, and does a set of rules cover another one. Guarantees: "*" means what
// upstream says it means, "pods/log" needs its own entry ("*/log" matches the subresource of every resource), and a rule
// with resourceNames never allows a request without a name.
import type { PolicyRule } from "@coxswain/api";
import type { AuthorizationAttributes } from "../pipeline/contract.ts";

const none: readonly string[] = [];

function hasOrAll(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes("*") || list.includes(value));
}

function resourceMatches(resources: readonly string[], resource: string, subresource: string): boolean {
  const full = subresource === "" ? resource : `${resource}/${subresource}`;
  return (
    resources.includes("*") ||
    resources.includes(full) ||
    (subresource !== "" && resources.includes(`*/${subresource}`))
  );
}

function pathMatches(urls: readonly string[], path: string): boolean {
  return urls.some((url) => url === "*" || url === path || (url.endsWith("*") && path.startsWith(url.slice(0, -1))));
}

/** Whether `rule` allows the request that the attributes describe. */
export function ruleAllows(rule: PolicyRule, attributes: AuthorizationAttributes): boolean {
  if (!hasOrAll(rule.verbs, attributes.verb)) return false;
  if (attributes.path !== undefined) return pathMatches(rule.nonResourceURLs ?? none, attributes.path);
  return (
    hasOrAll(rule.apiGroups, attributes.group) &&
    resourceMatches(rule.resources ?? none, attributes.resource, attributes.subresource) &&
    (rule.resourceNames === undefined ||
      rule.resourceNames.length === 0 ||
      rule.resourceNames.includes(attributes.name))
  );
}

const orBlank = (list: readonly string[] | undefined): readonly string[] =>
  list === undefined || list.length === 0 ? [""] : list;

/** Splits a rule into rules with one verb, one group, one resource and one name (or one URL) each. */
export function breakdownRule(rule: PolicyRule): PolicyRule[] {
  const atoms: PolicyRule[] = [];
  for (const verb of rule.verbs) {
    for (const url of rule.nonResourceURLs ?? none) atoms.push({ verbs: [verb], nonResourceURLs: [url] });
    for (const group of rule.apiGroups ?? none) {
      for (const resource of rule.resources ?? none) {
        for (const name of orBlank(rule.resourceNames)) {
          const atom: PolicyRule = { verbs: [verb], apiGroups: [group], resources: [resource] };
          if (name !== "") atom.resourceNames = [name];
          atoms.push(atom);
        }
      }
    }
  }
  return atoms;
}

function atomCovered(owner: PolicyRule, atom: PolicyRule): boolean {
  if (!hasOrAll(owner.verbs, atom.verbs[0] ?? "")) return false;
  const url = atom.nonResourceURLs?.[0];
  if (url !== undefined) return pathMatches(owner.nonResourceURLs ?? none, url);
  const [resource = "", subresource = ""] = (atom.resources?.[0] ?? "").split("/", 2);
  if (!hasOrAll(owner.apiGroups, atom.apiGroups?.[0] ?? "")) return false;
  if (!resourceMatches(owner.resources ?? none, resource, subresource)) return false;
  const names = owner.resourceNames ?? none;
  return names.length === 0 || (atom.resourceNames !== undefined && names.includes(atom.resourceNames[0] ?? ""));
}

/** The parts of `wanted` that `owned` does not grant; empty where all of it is covered. */
export function uncoveredRules(owned: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(breakdownRule).filter((atom) => !owned.some((rule) => atomCovered(rule, atom)));
}

/** One line for each rule, in the form that upstream's escalation errors use. */
export function describeRules(rules: readonly PolicyRule[]): string {
  const grouped = new Map<string, PolicyRule>();
  for (const rule of rules) {
    const key = JSON.stringify([rule.apiGroups, rule.resources, rule.resourceNames, rule.nonResourceURLs]);
    const known = grouped.get(key);
    if (known === undefined) grouped.set(key, { ...rule, verbs: [...rule.verbs] });
    else known.verbs.push(...rule.verbs);
  }
  return [...grouped.values()].map(describeRule).toSorted().join("\n");
}

function describeRule(rule: PolicyRule): string {
  const list = (values: readonly string[]): string => `[${values.map((value) => JSON.stringify(value)).join(" ")}]`;
  const parts: string[] = [];
  if (rule.apiGroups?.length) parts.push(`APIGroups:${list(rule.apiGroups)}`);
  if (rule.resources?.length) parts.push(`Resources:${list(rule.resources)}`);
  if (rule.nonResourceURLs?.length) parts.push(`NonResourceURLs:${list(rule.nonResourceURLs)}`);
  if (rule.resourceNames?.length) parts.push(`ResourceNames:${list(rule.resourceNames)}`);
  if (rule.verbs.length > 0) parts.push(`Verbs:${list(rule.verbs)}`);
  return `{${parts.join(", ")}}`;
}
