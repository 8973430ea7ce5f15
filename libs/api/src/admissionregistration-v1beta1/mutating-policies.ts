// MutatingAdmissionPolicy and its binding: changes in CEL to requests, and where they are made.
import type { FieldError } from "@coxswain/apimachinery";
import { childPath, fieldInvalid, fieldNotSupported, fieldRequired, indexPath } from "@coxswain/apimachinery";
import {
  BINDING_COLUMNS,
  paramKindText,
  paramRefText,
  expressionErrors,
  expressionsOf,
  validateBindingSpec,
  validatePolicySpec,
} from "../admissionregistration-v1/policies.ts";
import type { PolicyExpressions } from "../admissionregistration-v1/policy-expressions.ts";
import { setMatchResourcesDefaults } from "../admissionregistration-v1/matching.ts";
import { defineKind, metaOf, plainStrategy, setGeneration } from "../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../printing.ts";
import { sameValue } from "../same-value.ts";
import type {
  MatchResources,
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  Mutation,
} from "../types.gen.ts";

const OPERATIONS = ["*", "CONNECT", "CREATE", "UPDATE"];
const PATCH_TYPES = ["ApplyConfiguration", "JSONPatch"];

const RESULTS: Readonly<Record<string, string>> = { ApplyConfiguration: "Object", JSONPatch: "list(JSONPatch)" };

function validateMutation(mutation: Mutation, path: string, expressions: PolicyExpressions): FieldError[] {
  const type = mutation.patchType ?? "";
  if (type === "") return [fieldRequired(childPath(path, "patchType"), "")];
  if (!PATCH_TYPES.includes(type)) return [fieldNotSupported(childPath(path, "patchType"), type, PATCH_TYPES)];
  const [own, other] =
    type === "JSONPatch"
      ? (["jsonPatch", "applyConfiguration"] as const)
      : (["applyConfiguration", "jsonPatch"] as const);
  const errors: FieldError[] = [];
  if (mutation[other]) {
    const detail = `must not be specified when patchType is ${type}`;
    errors.push(fieldInvalid(childPath(path, other), `{${other}}`, detail));
  }
  if (!mutation[own]) errors.push(fieldRequired(childPath(path, own), `must be specified when patchType is ${type}`));
  else if (!mutation[own].expression?.trim()) errors.push(fieldRequired(childPath(path, own, "expression"), ""));
  else {
    const expression = mutation[own].expression.trim();
    const issue = expressions.check(expression, [RESULTS[type] ?? ""]);
    errors.push(...expressionErrors(childPath(path, own, "expression"), expression, issue));
  }
  return errors;
}

/** Only what comes or becomes another can be changed. `path` is that of the matching. */
function validateOperations(match: MatchResources | undefined, path: string): FieldError[] {
  const at = childPath(path, "resourceRules", "operations");
  return (match?.resourceRules ?? [])
    .flatMap(({ operations = [] }) => operations)
    .filter((operation) => !OPERATIONS.includes(operation))
    .map((operation) => fieldNotSupported(at, operation, OPERATIONS));
}

function validatePolicy({ spec }: MutatingAdmissionPolicy): FieldError[] {
  const expressions = expressionsOf(spec ?? {}, true);
  const errors = validatePolicySpec(spec ?? {}, expressions);
  errors.push(...validateOperations(spec?.matchConstraints, "spec.matchConstraints"));
  const mutations = spec?.mutations ?? [];
  if (mutations.length === 0) errors.push(fieldRequired("spec.mutations", "mutations must contain at least one item"));
  mutations.forEach((mutation, index) =>
    errors.push(...validateMutation(mutation, indexPath("spec.mutations", index), expressions)),
  );
  const policy = spec?.reinvocationPolicy ?? "";
  if (policy === "") errors.push(fieldRequired("spec.reinvocationPolicy", ""));
  else if (!["IfNeeded", "Never"].includes(policy)) {
    errors.push(fieldNotSupported("spec.reinvocationPolicy", policy, ["IfNeeded", "Never"]));
  }
  return errors;
}

function validateBinding({ spec }: MutatingAdmissionPolicyBinding): FieldError[] {
  const errors = validateBindingSpec(spec ?? {});
  return [...errors, ...validateOperations(spec?.matchResources, "spec.matchResources")];
}

function strategy<T extends MutatingAdmissionPolicy | MutatingAdmissionPolicyBinding>() {
  return plainStrategy<T>({
    prepareForCreate(object) {
      metaOf(object).generation = 1;
    },
    prepareForUpdate: (object, old) => setGeneration(object, old, !sameValue(object.spec, old.spec)),
  });
}

export const mutatingAdmissionPolicyKind = defineKind<MutatingAdmissionPolicy>({
  group: "admissionregistration.k8s.io",
  version: "v1beta1",
  kind: "MutatingAdmissionPolicy",
  resource: "mutatingadmissionpolicies",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName: "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicy",
  defaults({ spec }) {
    if (!spec) return;
    spec.failurePolicy ??= "Fail";
    setMatchResourcesDefaults(spec.matchConstraints);
  },
  validateCreate: validatePolicy,
  validateUpdate: validatePolicy,
  strategy: strategy<MutatingAdmissionPolicy>(),
  columns: [
    NAME,
    column("Mutations", "How many changes it makes.", "integer"),
    column("ParamKind", "The kind of its parameters."),
    AGE,
  ],
  row: (policy, context) => [
    nameOf(policy),
    policy.spec?.mutations?.length ?? 0,
    paramKindText(policy.spec?.paramKind),
    age(policy, context),
  ],
});

export const mutatingAdmissionPolicyBindingKind = defineKind<MutatingAdmissionPolicyBinding>({
  group: "admissionregistration.k8s.io",
  version: "v1beta1",
  kind: "MutatingAdmissionPolicyBinding",
  resource: "mutatingadmissionpolicybindings",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName: "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicyBinding",
  defaults: ({ spec }) => setMatchResourcesDefaults(spec?.matchResources),
  validateCreate: validateBinding,
  validateUpdate: validateBinding,
  strategy: strategy<MutatingAdmissionPolicyBinding>(),
  columns: BINDING_COLUMNS,
  row: (binding, context) => [
    nameOf(binding),
    binding.spec?.policyName ?? "",
    paramRefText(binding.spec?.paramRef),
    age(binding, context),
  ],
});
