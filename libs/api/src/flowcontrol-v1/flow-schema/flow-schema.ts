// FlowSchema: which requests go to which level of priority.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  validateDns1123Label,
  validateDns1123Subdomain,
} from "@coxswain/apimachinery";
import { defineKind, specStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type {
  FlowSchema,
  FlowSubject,
  NonResourcePolicyRule,
  PolicyRulesWithSubjects,
  ResourcePolicyRule,
  ServiceAccountSubject,
} from "../../types.gen.ts";
import { validateRequiredWith, validateWith } from "../../validation/enums.ts";
import { MANDATORY_SCHEMAS } from "../mandatory.ts";

const MAX_PRECEDENCE = 10_000;
const METHODS = ["ByNamespace", "ByUser"];
const SUBJECTS = { Group: "group", ServiceAccount: "serviceAccount", User: "user" } as const;

const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const NAMESPACE_INTRO = "each member of this list must be '*' or a DNS-1123 label; ";

function validateAccount({ name, namespace }: Partial<ServiceAccountSubject>, path: string): FieldError[] {
  const at = childPath(path, "name");
  const errors = name === "*" ? [] : validateRequiredWith(validateDns1123Subdomain, name, at);
  const where = childPath(path, "namespace");
  return namespace
    ? [...errors, ...validateWith(validateDns1123Label, namespace, where)]
    : [...errors, fieldRequired(where, "must specify namespace for service account")];
}

function validateSubject(subject: FlowSubject, path: string): FieldError[] {
  const own = SUBJECTS[subject.kind as keyof typeof SUBJECTS];
  if (own === undefined) {
    return [fieldNotSupported(childPath(path, "kind"), subject.kind, Object.keys(SUBJECTS))];
  }
  const at = childPath(path, own);
  const errors: FieldError[] = [];
  if (!subject[own]) errors.push(fieldRequired(at, `${own} is required when subject kind is '${subject.kind}'`));
  else if (own === "serviceAccount") errors.push(...validateAccount(subject.serviceAccount ?? {}, at));
  else if (!subject[own].name) errors.push(fieldRequired(childPath(at, "name"), ""));
  for (const [kind, name] of Object.entries(SUBJECTS)) {
    if (name === own || !subject[name]) continue;
    const detail = `${name} is forbidden when subject kind is not '${kind}'`;
    errors.push(fieldForbidden(childPath(path, name), detail));
  }
  return errors;
}

/** An error where "*" has others beside it; undefined where there is none to speak of. */
function beside(list: readonly string[], path: string, what: string): FieldError | undefined {
  if (list.length < 2 || !list.includes("*")) return undefined;
  return fieldInvalid(path, list, `if '*' is present, must not specify other ${what}`);
}

function validateVerbs(verbs: readonly string[], path: string): FieldError[] {
  if (verbs.length === 0) return [fieldRequired(path, "verbs must contain at least one value")];
  const error = beside(verbs, path, "verbs");
  if (error !== undefined || verbs.includes("*")) return error === undefined ? [] : [error];
  return verbs.every((verb) => VERBS.includes(verb)) ? [] : [fieldNotSupported(path, verbs, VERBS)];
}

function validateNamespaces({ namespaces = [], clusterScope }: ResourcePolicyRule, path: string): FieldError[] {
  if (namespaces.length === 0 && !clusterScope) {
    return [fieldRequired(path, "resource rules that are not cluster scoped must supply at least one namespace")];
  }
  const error = beside(namespaces, path, "namespaces");
  if (error !== undefined || namespaces.includes("*")) return error === undefined ? [] : [error];
  return namespaces.flatMap((name, index) =>
    validateDns1123Label(name).map((message) =>
      fieldInvalid(indexPath(path, index), name, `${NAMESPACE_INTRO}${message}`),
    ),
  );
}

function validateResourceRule(rule: ResourcePolicyRule, path: string): FieldError[] {
  const lists = [
    ["apiGroups", "api group"],
    ["resources", "resource"],
  ] as const;
  return [
    ...validateVerbs(rule.verbs ?? [], childPath(path, "verbs")),
    ...lists.flatMap(([name, what]) => {
      const at = childPath(path, name);
      const list = rule[name] ?? [];
      if (list.length === 0) return [fieldRequired(at, `resource rules must supply at least one ${what}`)];
      return beside(list, at, `${what}s`) ?? [];
    }),
    ...validateNamespaces(rule, childPath(path, "namespaces")),
  ];
}

/** What is wrong with a path of the api-server; undefined of one that is fine. */
function pathIssue(url: string): string | undefined {
  if (url === "") return "must not be empty";
  if (url === "/") return undefined;
  if (!url.startsWith("/")) return "must start with slash";
  if (url.includes(" ")) return "must not contain white-space";
  if (url.includes("//")) return "must not contain double slash";
  const star = url.indexOf("*");
  return star < 0 || (star === url.length - 1 && url.endsWith("/*"))
    ? undefined
    : "wildcard can only do suffix matching";
}

function validateUrlRule(
  { verbs = [], nonResourceURLs: urls = [] }: Partial<NonResourcePolicyRule>,
  path: string,
): FieldError[] {
  const at = childPath(path, "nonResourceURLs");
  const errors = validateVerbs(verbs, childPath(path, "verbs"));
  if (urls.length === 0) return [...errors, fieldRequired(at, "nonResourceURLs must contain at least one value")];
  if (urls.includes("*")) return [...errors, ...[beside(urls, at, "non-resource URLs") ?? []].flat()];
  return [
    ...errors,
    ...urls.flatMap((url, index) => {
      const issue = pathIssue(url);
      return issue === undefined ? [] : [fieldInvalid(indexPath(at, index), url, issue)];
    }),
  ];
}

function validateRule(rule: PolicyRulesWithSubjects, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const subjects = rule.subjects ?? [];
  const { resourceRules = [], nonResourceRules = [] } = rule;
  if (subjects.length === 0)
    errors.push(fieldRequired(childPath(path, "subjects"), "subjects must contain at least one value"));
  subjects.forEach((each, index) =>
    errors.push(...validateSubject(each, indexPath(childPath(path, "subjects"), index))),
  );
  if (resourceRules.length + nonResourceRules.length === 0) {
    errors.push(fieldRequired(path, "at least one of resourceRules and nonResourceRules has to be non-empty"));
  }
  resourceRules.forEach((each, index) =>
    errors.push(...validateResourceRule(each, indexPath(childPath(path, "resourceRules"), index))),
  );
  nonResourceRules.forEach((each, index) =>
    errors.push(...validateUrlRule(each, indexPath(childPath(path, "nonResourceRules"), index))),
  );
  return errors;
}

function validate({ metadata, spec }: FlowSchema): FieldError[] {
  const errors: FieldError[] = [];
  const precedence = spec?.matchingPrecedence ?? 0;
  const at = "spec.matchingPrecedence";
  if (precedence <= 0) errors.push(fieldInvalid(at, precedence, "must be a positive value"));
  else if (precedence > MAX_PRECEDENCE) {
    errors.push(fieldInvalid(at, precedence, `must not be greater than ${MAX_PRECEDENCE}`));
  } else if (precedence === 1 && metadata?.name !== "exempt") {
    errors.push(
      fieldInvalid(
        "spec.matchingPrecedence",
        precedence,
        "only the schema named 'exempt' may have matchingPrecedence 1",
      ),
    );
  }
  const level = spec?.priorityLevelConfiguration?.name;
  const levelPath = "spec.priorityLevelConfiguration.name";
  errors.push(
    ...(level
      ? validateWith(validateDns1123Subdomain, level, levelPath)
      : [fieldRequired(levelPath, "must reference a priority level")]),
  );
  const method = spec?.distinguisherMethod;
  if (method && !METHODS.includes(method.type)) {
    errors.push(fieldNotSupported("spec.distinguisherMethod.type", method, METHODS));
  }
  (spec?.rules ?? []).forEach((rule, index) => errors.push(...validateRule(rule, indexPath("spec.rules", index))));
  const fixed = MANDATORY_SCHEMAS.find((schema) => schema.metadata?.name === metadata?.name)?.spec;
  if (fixed !== undefined && !sameValue(spec, fixed)) {
    errors.push(fieldInvalid("spec", spec ?? null, `spec of '${metadata?.name}' must equal the fixed value`));
  }
  return errors;
}

/** In the order in which requests try them. */
export function byPrecedence(a: FlowSchema, b: FlowSchema): number {
  const [first, second] = [nameOf(a), nameOf(b)];
  const byName = first === second ? 0 : first < second ? -1 : 1;
  return (a.spec?.matchingPrecedence ?? 0) - (b.spec?.matchingPrecedence ?? 0) || byName;
}

function row(schema: FlowSchema, context: PrintContext): unknown[] {
  const dangling = schema.status?.conditions?.find((condition) => condition.type === "Dangling");
  return [
    nameOf(schema),
    schema.spec?.priorityLevelConfiguration?.name ?? "",
    schema.spec?.matchingPrecedence ?? 0,
    schema.spec?.distinguisherMethod?.type ?? "<none>",
    age(schema, context),
    dangling?.status ?? "?",
  ];
}

export const flowSchemaKind = defineKind<FlowSchema>({
  group: "flowcontrol.apiserver.k8s.io",
  version: "v1",
  kind: "FlowSchema",
  resource: "flowschemas",
  namespaced: false,
  schemaName: "io.k8s.api.flowcontrol.v1.FlowSchema",
  hasStatus: true,
  defaults({ spec }) {
    if (spec) spec.matchingPrecedence ||= 1000;
  },
  validateCreate: validate,
  validateUpdate: validate,
  strategy: specStrategy<FlowSchema>(() => ({})),
  columns: [
    NAME,
    column("PriorityLevel", "The level that its requests go to."),
    column("MatchingPrecedence", "Which schema is tried first: the lowest.", "integer"),
    column("DistinguisherMethod", "What sets flows apart."),
    AGE,
    column("MissingPL", "Whether its level is missing."),
  ],
  row,
  tableOrder: byPrecedence,
});
