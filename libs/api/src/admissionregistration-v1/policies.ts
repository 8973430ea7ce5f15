// ValidatingAdmissionPolicy and its binding: rules in CEL about requests, and where they hold.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldForbidden,
  indexPath,
  parseApiVersion,
  validateDns1035Label,
  validateDns1123Subdomain,
  validateLabelSelector,
  validatePathSegmentName,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { defineKind, metaOf, plainStrategy, setGeneration, specStrategy } from "../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../printing.ts";
import { sameValue } from "../same-value.ts";
import type {
  AuditAnnotation,
  MatchResources,
  ParamKind,
  ParamRef,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  Validation,
  Variable,
} from "../types.gen.ts";
import {
  FAILURE_POLICIES,
  setMatchResourcesDefaults,
  validateMatchConditions,
  validateMatching,
  validateNamedRule,
} from "./matching.ts";
import { conditionIssue, PolicyExpressions } from "./policy-expressions.ts";

const REASONS = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const ACTIONS = ["Audit", "Deny", "Warn"];
const MAX_ANNOTATIONS = 20;
const MAX_VALUE_EXPRESSION_BYTES = 5 * 1024;
const IDENTIFIER = /^[_a-zA-Z][_a-zA-Z0-9]*$/;
const RESERVED =
  /^(true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return|var|void|while)$/;

/** What policies of both sorts have in their spec. */
interface PolicySpec {
  failurePolicy?: string;
  matchConstraints?: MatchResources;
  matchConditions?: { name: string; expression: string }[];
  paramKind?: ParamKind;
  variables?: Variable[];
}

interface BindingSpec {
  policyName?: string;
  paramRef?: ParamRef;
  matchResources?: MatchResources;
}

function validateMatchResources(match: MatchResources, path: string, required: boolean): FieldError[] {
  const at = childPath(path, "resourceRules");
  const errors = validateMatching(match, path);
  if (required && !match.resourceRules?.length) errors.push(fieldRequired(at, ""));
  (match.resourceRules ?? []).forEach((rule, index) => errors.push(...validateNamedRule(rule, indexPath(at, index))));
  (match.excludeResourceRules ?? []).forEach((rule, index) =>
    errors.push(...validateNamedRule(rule, indexPath(childPath(path, "excludeResourceRules"), index))),
  );
  return errors;
}

function validateParamKind(kind: ParamKind | undefined): FieldError[] {
  if (!kind) return [];
  const { apiVersion = "", kind: name = "" } = kind;
  const errors: FieldError[] = [];
  const at = "spec.paramKind.apiVersion";
  if (apiVersion === "") errors.push(fieldRequired(at, ""));
  else if (apiVersion.split("/").length > 2) {
    errors.push(fieldInvalid(at, apiVersion, `unexpected GroupVersion string: ${apiVersion}`));
  } else {
    const { group, version } = parseApiVersion(apiVersion);
    const wrongGroup = group === "" ? [] : validateDns1123Subdomain(group);
    if (wrongGroup.length > 0) errors.push(fieldInvalid(at, group, wrongGroup.join(",")));
    const wrongVersion = version === "" ? [] : validateDns1035Label(version);
    if (version === "") errors.push(fieldInvalid(at, apiVersion, "version must be specified"));
    if (wrongVersion.length > 0) errors.push(fieldInvalid(at, version, wrongVersion.join(",")));
  }
  if (name === "") return [...errors, fieldRequired("spec.paramKind.kind", "")];
  const wrong = validateDns1035Label(name.toLowerCase());
  if (wrong.length === 0) return errors;
  const detail = `may have mixed case, but should otherwise match: ${wrong.join(",")}`;
  return [...errors, fieldInvalid("spec.paramKind.kind", name, detail)];
}

function validateVariables(variables: readonly Variable[], issues: readonly (string | undefined)[]): FieldError[] {
  return variables.flatMap(({ name, expression }, index) => {
    const path = indexPath("spec.variables", index);
    const at = childPath(path, "name");
    const errors: FieldError[] = [];
    if (!name?.trim()) errors.push(fieldRequired(at, "name is not specified"));
    else if (!IDENTIFIER.test(name) || RESERVED.test(name)) {
      errors.push(fieldInvalid(at, name, "must be a valid CEL identifier"));
    }
    if (name && variables.slice(0, index).some((other) => other.name === name)) errors.push(fieldDuplicate(at, name));
    const issue = issues[index];
    if (!expression?.trim()) errors.push(fieldRequired(childPath(path, "expression"), "expression is not specified"));
    else if (issue !== undefined) errors.push(fieldInvalid(childPath(path, "expression"), expression, issue));
    return errors;
  });
}

/** Checks the expressions of a policy against its own variables. */
export function expressionsOf(spec: PolicySpec, patches: boolean): PolicyExpressions {
  const place = { params: spec.paramKind !== undefined, authorizer: true, patches };
  return new PolicyExpressions(place, spec.variables ?? []);
}

export function validatePolicySpec(spec: PolicySpec, expressions: PolicyExpressions): FieldError[] {
  const { failurePolicy = "", matchConstraints: match, paramKind } = spec;
  const condition = (text: string): string | undefined => conditionIssue(text, paramKind !== undefined);
  return [
    ...(failurePolicy === ""
      ? [fieldRequired("spec.failurePolicy", "")]
      : FAILURE_POLICIES.includes(failurePolicy)
        ? []
        : [fieldNotSupported("spec.failurePolicy", failurePolicy, FAILURE_POLICIES)]),
    ...validateParamKind(paramKind),
    ...(match
      ? validateMatchResources(match, "spec.matchConstraints", true)
      : [fieldRequired("spec.matchConstraints", "")]),
    ...validateMatchConditions(spec.matchConditions, "spec.matchConditions", condition),
    ...validateVariables(spec.variables ?? [], expressions.variableIssues),
  ];
}

/** The error of an expression that is there; none where it is well. */
export function expressionErrors(path: string, expression: string, issue: string | undefined): FieldError[] {
  return issue === undefined ? [] : [fieldInvalid(path, expression, issue)];
}

function validateParamRef(ref: ParamRef | undefined): FieldError[] {
  if (!ref) return [];
  const path = "spec.paramRef";
  const errors: FieldError[] = [];
  const exclusive = "name and selector are mutually exclusive";
  if (ref.name) {
    for (const message of validatePathSegmentName(ref.name))
      errors.push(fieldInvalid(`${path}.name`, ref.name, message));
    if (ref.selector) errors.push(fieldForbidden(`${path}.name`, exclusive));
  }
  if (ref.selector) {
    errors.push(...validateLabelSelector(ref.selector, `${path}.selector`));
    if (ref.name) errors.push(fieldForbidden(`${path}.selector`, exclusive));
  }
  if (!ref.name && !ref.selector) errors.push(fieldRequired(path, "one of name or selector must be specified"));
  const action = ref.parameterNotFoundAction ?? "";
  if (action === "") errors.push(fieldRequired(`${path}.parameterNotFoundAction`, ""));
  else if (!["Allow", "Deny"].includes(action)) {
    errors.push(fieldNotSupported(`${path}.parameterNotFoundAction`, action, ["Deny", "Allow"]));
  }
  return errors;
}

function validateValidation(validation: Validation, path: string, expressions: PolicyExpressions): FieldError[] {
  const { expression, message, messageExpression, reason } = validation;
  const at = (name: string): string => childPath(path, name);
  const errors: FieldError[] = [];
  if (!expression?.trim()) errors.push(fieldRequired(at("expression"), "expression is not specified"));
  else errors.push(...expressionErrors(at("expression"), expression, expressions.check(expression, ["bool"])));
  if (messageExpression && messageExpression.trim() === "") {
    errors.push(fieldInvalid(at("messageExpression"), messageExpression, "must be non-empty if specified"));
  } else if (messageExpression) {
    const issue = expressions.check(messageExpression, ["string"], false);
    errors.push(...expressionErrors(at("messageExpression"), messageExpression, issue));
  }
  if (message && message.trim() === "") {
    errors.push(fieldInvalid(at("message"), message, "must be non-empty if specified"));
  } else if (message && /[\n\r]/.test(message.trim())) {
    errors.push(fieldInvalid(at("message"), message, "must not contain line breaks"));
  }
  if (reason !== undefined && !REASONS.includes(reason)) {
    errors.push(fieldNotSupported(at("reason"), reason, REASONS));
  }
  return errors;
}

function validateAnnotation(
  { key, valueExpression }: AuditAnnotation,
  path: string,
  policyName: string,
  expressions: PolicyExpressions,
): FieldError[] {
  const at = childPath(path, "key");
  const name = `${policyName}/${key}`;
  const errors =
    policyName === ""
      ? [fieldInvalid(at, key, "requires metadata.name be non-empty")]
      : validateQualifiedName(name).map((message) => fieldInvalid(at, name, message));
  const where = childPath(path, "valueExpression");
  const expression = valueExpression?.trim() ?? "";
  if (expression === "") return [...errors, fieldRequired(where, "valueExpression is not specified")];
  if (Buffer.byteLength(expression) > MAX_VALUE_EXPRESSION_BYTES) {
    return [...errors, fieldRequired(where, `must not exceed ${MAX_VALUE_EXPRESSION_BYTES} bytes in length`)];
  }
  const issue = expressions.check(expression, ["string", "null_type"]);
  return [...errors, ...expressionErrors(where, valueExpression, issue)];
}

function validatePolicy({ metadata, spec = {} }: ValidatingAdmissionPolicy): FieldError[] {
  const expressions = expressionsOf(spec, false);
  const errors = validatePolicySpec(spec, expressions);
  const { validations = [], auditAnnotations: annotations = [] } = spec;
  if (validations.length + annotations.length === 0) {
    const detail = "validations or auditAnnotations must contain at least one item";
    errors.push(fieldRequired("spec.validations", detail), fieldRequired("spec.auditAnnotations", detail));
  }
  for (const [index, validation] of validations.entries()) {
    errors.push(...validateValidation(validation, indexPath("spec.validations", index), expressions));
  }
  if (annotations.length > MAX_ANNOTATIONS) {
    const detail = `must not have more than ${MAX_ANNOTATIONS} auditAnnotations`;
    errors.push(fieldInvalid("spec.auditAnnotations", annotations, detail));
  }
  for (const [index, annotation] of annotations.entries()) {
    const path = indexPath("spec.auditAnnotations", index);
    errors.push(...validateAnnotation(annotation, path, metadata?.name ?? "", expressions));
    const repeated = annotations.slice(0, index).some(({ key }) => key === annotation.key);
    if (repeated) errors.push(fieldDuplicate(childPath(path, "key"), annotation.key));
  }
  return errors;
}

function validatePolicyStatus({ status }: ValidatingAdmissionPolicy): FieldError[] {
  return (status?.typeChecking?.expressionWarnings ?? []).flatMap(({ warning, fieldRef }, index) => {
    const path = indexPath("status.typeChecking.expressionWarnings", index);
    return [
      ...(warning ? [] : [fieldRequired(childPath(path, "warning"), "")]),
      ...(fieldRef?.trim() ? [] : [fieldRequired(childPath(path, "fieldRef"), "")]),
    ];
  });
}

function validateActions(actions: readonly string[]): FieldError[] {
  const path = "spec.validationActions";
  if (actions.length === 0) return [fieldRequired(path, "at least one validation action is required")];
  const errors: FieldError[] = [];
  for (const [index, action] of actions.entries()) {
    if (!ACTIONS.includes(action)) errors.push(fieldNotSupported(indexPath(path, index), action, ACTIONS));
    if (actions.indexOf(action) < index) errors.push(fieldDuplicate(indexPath(path, index), action));
  }
  if (actions.includes("Deny") && actions.includes("Warn")) {
    const detail =
      "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
    errors.push(fieldInvalid(path, actions, detail));
  }
  return errors;
}

/** What bindings of both sorts have in common. */
export function validateBindingSpec(spec: BindingSpec): FieldError[] {
  const { policyName, paramRef, matchResources } = spec;
  const wrong = policyName ? validateDns1123Subdomain(policyName) : [];
  return [
    ...(policyName ? [] : [fieldRequired("spec.policyName", "")]),
    ...wrong.map((message) => fieldInvalid("spec.policyName", policyName, message)),
    ...validateParamRef(paramRef),
    ...(matchResources ? validateMatchResources(matchResources, "spec.matchResources", false) : []),
  ];
}

function validateBinding({ spec }: ValidatingAdmissionPolicyBinding): FieldError[] {
  return [...validateBindingSpec(spec ?? {}), ...validateActions(spec?.validationActions ?? [])];
}

/** "<unset>" where there is none. */
export function paramKindText(kind: ParamKind | undefined): string {
  return kind ? `${kind.apiVersion}/${kind.kind}` : "<unset>";
}

export function paramRefText(ref: ParamRef | undefined): string {
  if (!ref) return "<unset>";
  const name = ref.name ?? "*";
  return ref.namespace ? `${ref.namespace}/${name}` : name;
}

export const BINDING_COLUMNS = [
  NAME,
  column("PolicyName", "The policy that is bound."),
  column("ParamRef", "The parameters that it gets."),
  AGE,
];

export const validatingAdmissionPolicyKind = defineKind<ValidatingAdmissionPolicy>({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind: "ValidatingAdmissionPolicy",
  listKind: "ValidatingAdmissionPolicyList",
  resource: "validatingadmissionpolicies",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
  hasStatus: true,
  defaults({ spec }) {
    if (!spec) return;
    spec.failurePolicy ??= "Fail";
    setMatchResourcesDefaults(spec.matchConstraints);
  },
  validateCreate: validatePolicy,
  validateUpdate: validatePolicy,
  validateStatusUpdate: validatePolicyStatus,
  strategy: specStrategy<ValidatingAdmissionPolicy>(() => ({})),
  columns: [
    NAME,
    column("Validations", "How many rules it has.", "integer"),
    column("ParamKind", "The kind of its parameters."),
    AGE,
  ],
  row: (policy, context) => [
    nameOf(policy),
    policy.spec?.validations?.length ?? 0,
    paramKindText(policy.spec?.paramKind),
    age(policy, context),
  ],
});

export const validatingAdmissionPolicyBindingKind = defineKind<ValidatingAdmissionPolicyBinding>({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind: "ValidatingAdmissionPolicyBinding",
  resource: "validatingadmissionpolicybindings",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
  defaults: ({ spec }) => setMatchResourcesDefaults(spec?.matchResources),
  validateCreate: validateBinding,
  validateUpdate: validateBinding,
  strategy: plainStrategy({
    prepareForCreate(binding) {
      metaOf(binding).generation = 1;
    },
    prepareForUpdate: (binding, old) => setGeneration(binding, old, !sameValue(binding.spec, old.spec)),
  }),
  columns: BINDING_COLUMNS,
  row: (binding, context) => [
    nameOf(binding),
    binding.spec?.policyName ?? "",
    paramRefText(binding.spec?.paramRef),
    age(binding, context),
  ],
});
