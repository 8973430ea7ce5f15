// FlowSchema: which requests go to which level of priority.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
} from "@coxswain/apimachinery";
import { defineKind, specStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { FlowSchema, FlowSubject, PolicyRulesWithSubjects, ResourcePolicyRule } from "../../types.gen.ts";

const MAX_PRECEDENCE = 10_000;
const METHODS = ["ByNamespace", "ByUser"];
const SUBJECTS = { Group: "group", ServiceAccount: "serviceAccount", User: "user" } as const;

function validateSubject(subject: FlowSubject, path: string): FieldError[] {
  const own = SUBJECTS[subject.kind as keyof typeof SUBJECTS];
  if (own === undefined) return [fieldNotSupported(childPath(path, "kind"), subject.kind, Object.keys(SUBJECTS))];
  const errors: FieldError[] = [];
  for (const name of Object.values(SUBJECTS)) {
    const at = childPath(path, name);
    const given = subject[name];
    if (name === own && !given)
      errors.push(fieldRequired(at, `${name} is required when subject kind is '${subject.kind}'`));
    if (name === own && given && !given.name) errors.push(fieldRequired(childPath(at, "name"), ""));
    if (name !== own && given)
      errors.push(fieldForbidden(at, `${name} is forbidden when subject kind is not '${name}'`));
  }
  return errors;
}

function validateResourceRule(rule: ResourcePolicyRule, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ["verbs", "apiGroups", "resources"] as const) {
    if (!rule[name]?.length)
      errors.push(fieldRequired(childPath(path, name), `${name} must contain at least one value`));
  }
  if (!rule.namespaces?.length && !rule.clusterScope) {
    errors.push(
      fieldRequired(
        childPath(path, "namespaces"),
        "resource rules that are not cluster scoped must supply at least one namespace",
      ),
    );
  }
  return errors;
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
  return errors;
}

function validate({ metadata, spec }: FlowSchema): FieldError[] {
  const errors: FieldError[] = [];
  const precedence = spec?.matchingPrecedence ?? 0;
  if (precedence < 1 || precedence > MAX_PRECEDENCE) {
    errors.push(
      fieldInvalid(
        "spec.matchingPrecedence",
        precedence,
        `must be greater than or equal to 1 and less than or equal to ${MAX_PRECEDENCE}`,
      ),
    );
  } else if (precedence === 1 && metadata?.name !== "exempt") {
    errors.push(
      fieldInvalid(
        "spec.matchingPrecedence",
        precedence,
        "only the schema named 'exempt' may have matchingPrecedence 1",
      ),
    );
  }
  if (!spec?.priorityLevelConfiguration?.name) {
    errors.push(fieldRequired("spec.priorityLevelConfiguration.name", "must reference a priority level"));
  }
  const method = spec?.distinguisherMethod;
  if (method && !METHODS.includes(method.type)) {
    errors.push(fieldNotSupported("spec.distinguisherMethod", method, METHODS));
  }
  (spec?.rules ?? []).forEach((rule, index) => errors.push(...validateRule(rule, indexPath("spec.rules", index))));
  return errors;
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
});
