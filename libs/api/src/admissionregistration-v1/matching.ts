// What webhooks and policies have in common: which requests they are for.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooMany,
  indexPath,
  validateLabelSelector,
  validatePathSegmentName,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import type { LabelSelector, MatchCondition, NamedRuleWithOperations, RuleWithOperations } from "../types.gen.ts";
import { validateRequiredWith } from "../validation/enums.ts";

const OPERATIONS = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES = ["*", "Cluster", "Namespaced"];
const MAX_CONDITIONS = 64;

export const FAILURE_POLICIES = ["Fail", "Ignore"];
export const MATCH_POLICIES = ["Equivalent", "Exact"];

interface Matching {
  matchPolicy?: string;
  namespaceSelector?: LabelSelector;
  objectSelector?: LabelSelector;
}

export function setMatchingDefaults(matching: Matching): void {
  matching.matchPolicy ??= "Equivalent";
  matching.namespaceSelector ??= {};
  matching.objectSelector ??= {};
}

export function setRuleDefaults(rules: readonly { scope?: string }[] | undefined): void {
  for (const rule of rules ?? []) rule.scope ??= "*";
}

/** Policies write their match as one structure. */
export function setMatchResourcesDefaults(
  match: (Matching & { resourceRules?: { scope?: string }[]; excludeResourceRules?: { scope?: string }[] }) | undefined,
): void {
  if (!match) return;
  setMatchingDefaults(match);
  setRuleDefaults(match.resourceRules);
  setRuleDefaults(match.excludeResourceRules);
}

export function validateMatching(matching: Matching, path: string): FieldError[] {
  const { matchPolicy, namespaceSelector, objectSelector } = matching;
  return [
    ...(matchPolicy === undefined || MATCH_POLICIES.includes(matchPolicy)
      ? []
      : [fieldNotSupported(childPath(path, "matchPolicy"), matchPolicy, MATCH_POLICIES)]),
    ...(namespaceSelector ? validateLabelSelector(namespaceSelector, childPath(path, "namespaceSelector")) : []),
    ...(objectSelector ? validateLabelSelector(objectSelector, childPath(path, "objectSelector")) : []),
  ];
}

/** A list that is there, without empty members, and with nothing beside "*". */
function validateNames(list: readonly string[] | undefined, path: string, what: string): FieldError[] {
  if (!list?.length) return [fieldRequired(path, "")];
  if (list.length > 1 && list.includes("*")) {
    return [fieldInvalid(path, list, `if '*' is present, must not specify other ${what}`)];
  }
  // The core group has no name, and an operation without one is none that is known.
  if (what !== "API versions") return [];
  return list.flatMap((name, index) => (name === "" ? [fieldRequired(indexPath(path, index), "")] : []));
}

export function validateRule(rule: Partial<RuleWithOperations>, path: string): FieldError[] {
  const at = childPath(path, "operations");
  const operations = rule.operations ?? [];
  const errors = validateNames(operations, at, "operations");
  operations.forEach((operation, index) => {
    if (!OPERATIONS.includes(operation)) errors.push(fieldNotSupported(indexPath(at, index), operation, OPERATIONS));
  });
  if (rule.scope !== undefined && !SCOPES.includes(rule.scope)) {
    errors.push(fieldNotSupported(childPath(path, "scope"), rule.scope, SCOPES));
  }
  return [
    ...errors,
    ...validateNames(rule.apiGroups, childPath(path, "apiGroups"), "API groups"),
    ...validateNames(rule.apiVersions, childPath(path, "apiVersions"), "API versions"),
    ...validateResources(rule.resources ?? [], childPath(path, "resources")),
  ];
}

/** A rule that may name the objects that it is for. */
export function validateNamedRule(rule: Partial<NamedRuleWithOperations>, path: string): FieldError[] {
  const names = rule.resourceNames ?? [];
  const errors = names.flatMap((name, index) => {
    const at = indexPath(childPath(path, "resourceNames"), index);
    const repeated = names.indexOf(name) < index;
    return [
      ...validatePathSegmentName(name).map((message) => fieldInvalid(at, name, message)),
      ...(repeated ? [fieldDuplicate(at, name)] : []),
    ];
  });
  return [...errors, ...validateRule(rule, path)];
}

/** Resources and their subresources, none of which another stands for already. */
function validateResources(resources: readonly string[], path: string): FieldError[] {
  if (resources.length === 0) return [fieldRequired(path, "")];
  const errors: FieldError[] = [];
  // Those of x/* and of */x.
  const [owners, parts] = [new Set<string>(), new Set<string>()];
  for (const [index, resource] of resources.entries()) {
    const at = indexPath(path, index);
    if (resource === "") errors.push(fieldRequired(at, ""));
    const slash = resource.indexOf("/");
    if (slash < 0) continue;
    const [owner, part] = [resource.slice(0, slash), resource.slice(slash + 1)];
    const covered = [...(owners.has(owner) ? [`${owner}/*`] : []), ...(parts.has(part) ? [`*/${part}`] : [])];
    for (const other of covered) {
      errors.push(fieldInvalid(at, resource, `if '${other}' is present, must not specify ${resource}`));
    }
    if (part === "*") owners.add(owner);
    if (owner === "*") parts.add(part);
  }
  if (resources.length > 1 && resources.includes("*/*")) {
    errors.push(fieldInvalid(path, resources, "if '*/*' is present, must not specify other resources"));
  }
  // Upstream goes by the last one that names no subresource.
  const last = resources.findLast((resource) => resource !== "" && !resource.includes("/"));
  if (resources.includes("*") && last !== "*") {
    const detail = "if '*' is present, must not specify other resources without subresources";
    errors.push(fieldInvalid(path, resources, detail));
  }
  return errors;
}

/** `issue` says what is wrong with an expression. */
export function validateMatchConditions(
  conditions: readonly MatchCondition[] | undefined,
  path: string,
  issue: (expression: string) => string | undefined,
): FieldError[] {
  const list = conditions ?? [];
  const tooMany = list.length > MAX_CONDITIONS ? [fieldTooMany(path, list.length, MAX_CONDITIONS)] : [];
  const errors = list.flatMap((condition, index) => {
    const at = indexPath(path, index);
    const repeated = list.slice(0, index).some((other) => other.name === condition.name);
    const expression = condition.expression?.trim() ?? "";
    const wrong = expression === "" ? undefined : issue(expression);
    return [
      ...(wrong === undefined ? [] : [fieldInvalid(childPath(at, "expression"), expression, wrong)]),
      ...validateRequiredWith(validateQualifiedName, condition.name, childPath(at, "name")),
      ...(repeated && condition.name ? [fieldDuplicate(childPath(at, "name"), condition.name)] : []),
      ...(expression !== "" ? [] : [fieldRequired(childPath(at, "expression"), "")]),
    ];
  });
  return [...tooMany, ...errors];
}
