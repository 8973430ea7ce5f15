// ValidatingAdmissionPolicy and its binding: rules in CEL about requests, and where they hold.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  validateCIdentifier,
  validateLabelSelector,
} from "@coxswain/apimachinery";
import { defineKind, metaOf, plainStrategy, setGeneration, specStrategy } from "../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../printing.ts";
import { sameValue } from "../same-value.ts";
import type {
  MatchResources,
  ParamKind,
  ParamRef,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  Variable,
} from "../types.gen.ts";
import { validateRequiredWith } from "../validation/enums.ts";
import {
  FAILURE_POLICIES,
  setMatchResourcesDefaults,
  validateMatchConditions,
  validateMatching,
  validateRule,
} from "./matching.ts";

const REASONS = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
const ACTIONS = ["Audit", "Deny", "Warn"];

/** What policies of both sorts have in their spec. */
interface PolicySpec {
  failurePolicy?: string;
  matchConstraints?: MatchResources;
  matchConditions?: { name: string; expression: string }[];
  paramKind?: ParamKind;
  variables?: Variable[];
}

export function validateMatchResources(match: MatchResources, path: string, required: boolean): FieldError[] {
  const at = childPath(path, "resourceRules");
  const errors = validateMatching(match, path);
  if (required && !match.resourceRules?.length) errors.push(fieldRequired(at, ""));
  (match.resourceRules ?? []).forEach((rule, index) => errors.push(...validateRule(rule, indexPath(at, index))));
  (match.excludeResourceRules ?? []).forEach((rule, index) =>
    errors.push(...validateRule(rule, indexPath(childPath(path, "excludeResourceRules"), index))),
  );
  return errors;
}

function validateParamKind(kind: ParamKind | undefined): FieldError[] {
  if (!kind) return [];
  const errors: FieldError[] = [];
  if (!kind.apiVersion) errors.push(fieldRequired("spec.paramKind.apiVersion", ""));
  if (!kind.kind) errors.push(fieldRequired("spec.paramKind.kind", ""));
  return errors;
}

function validateVariables(variables: readonly Variable[]): FieldError[] {
  return variables.flatMap((variable, index) => {
    const path = indexPath("spec.variables", index);
    const repeated = variables.slice(0, index).some((other) => other.name === variable.name);
    return [
      ...validateRequiredWith(validateCIdentifier, variable.name, childPath(path, "name")),
      ...(repeated ? [fieldDuplicate(childPath(path, "name"), variable.name)] : []),
      ...(variable.expression?.trim() ? [] : [fieldRequired(childPath(path, "expression"), "")]),
    ];
  });
}

export function validatePolicySpec(spec: PolicySpec): FieldError[] {
  const { failurePolicy = "" } = spec;
  const match = spec.matchConstraints;
  return [
    ...(failurePolicy === ""
      ? [fieldRequired("spec.failurePolicy", "")]
      : FAILURE_POLICIES.includes(failurePolicy)
        ? []
        : [fieldNotSupported("spec.failurePolicy", failurePolicy, FAILURE_POLICIES)]),
    ...validateParamKind(spec.paramKind),
    ...(match
      ? validateMatchResources(match, "spec.matchConstraints", true)
      : [fieldRequired("spec.matchConstraints", "")]),
    ...validateMatchConditions(spec.matchConditions, "spec.matchConditions"),
    ...validateVariables(spec.variables ?? []),
  ];
}

export function validateParamRef(ref: ParamRef | undefined): FieldError[] {
  if (!ref) return [];
  const path = "spec.paramRef";
  const errors: FieldError[] = [];
  if (!ref.name && !ref.selector) errors.push(fieldRequired(path, "one of name or selector must be specified"));
  if (ref.name && ref.selector) {
    errors.push(fieldInvalid(`${path}.name`, "", "name and selector are mutually exclusive"));
  }
  if (ref.selector) errors.push(...validateLabelSelector(ref.selector, `${path}.selector`));
  const action = ref.parameterNotFoundAction ?? "";
  if (action === "") errors.push(fieldRequired(`${path}.parameterNotFoundAction`, ""));
  else if (!["Allow", "Deny"].includes(action)) {
    errors.push(fieldNotSupported(`${path}.parameterNotFoundAction`, action, ["Deny", "Allow"]));
  }
  return errors;
}

function validatePolicy({ spec }: ValidatingAdmissionPolicy): FieldError[] {
  const errors = validatePolicySpec(spec ?? {});
  const validations = spec?.validations ?? [];
  const annotations = spec?.auditAnnotations ?? [];
  if (validations.length + annotations.length === 0) {
    const detail = "validations or auditAnnotations must contain at least one item";
    errors.push(fieldRequired("spec.validations", detail), fieldRequired("spec.auditAnnotations", detail));
  }
  for (const [index, { expression, reason }] of validations.entries()) {
    const path = indexPath("spec.validations", index);
    if (!expression?.trim()) errors.push(fieldRequired(childPath(path, "expression"), "expression is not specified"));
    if (reason !== undefined && !REASONS.includes(reason)) {
      errors.push(fieldNotSupported(childPath(path, "reason"), reason, REASONS));
    }
  }
  for (const [index, { key, valueExpression }] of annotations.entries()) {
    const path = indexPath("spec.auditAnnotations", index);
    if (!key) errors.push(fieldRequired(childPath(path, "key"), ""));
    if (!valueExpression?.trim())
      errors.push(fieldRequired(childPath(path, "valueExpression"), "valueExpression is not specified"));
  }
  return errors;
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

function validateBinding({ spec }: ValidatingAdmissionPolicyBinding): FieldError[] {
  return [
    ...(spec?.policyName ? [] : [fieldRequired("spec.policyName", "")]),
    ...validateParamRef(spec?.paramRef),
    ...(spec?.matchResources ? validateMatchResources(spec.matchResources, "spec.matchResources", false) : []),
    ...validateActions(spec?.validationActions ?? []),
  ];
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
