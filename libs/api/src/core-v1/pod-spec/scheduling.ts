// Where a pod may run: affinity, tolerations and topology spread.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  validateDns1123Label,
  validateDns1123Subdomain,
  validateLabelSelector,
  validateLabelValue,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import type {
  Affinity,
  LabelSelector,
  NodeAffinity,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodAffinity,
  PodAffinityTerm,
  Toleration,
  TopologySpreadConstraint,
} from "../../types.gen.ts";
import { validateEnum, validateOptionalEnum, validateWith } from "../../validation/enums.ts";
import { validatePositive } from "../../validation/numbers.ts";

const REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution";
export const TAINT_EFFECTS = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

function validateWeight(weight: number, path: string): FieldError[] {
  return weight > 0 && weight <= 100 ? [] : [fieldInvalid(path, weight, "must be in the range 1-100")];
}

function validateOperator(requirement: NodeSelectorRequirement, path: string): FieldError[] {
  const count = requirement.values?.length ?? 0;
  const values = childPath(path, "values");
  switch (requirement.operator) {
    case "In":
    case "NotIn":
      return count === 0 ? [fieldRequired(values, "must be specified when `operator` is 'In' or 'NotIn'")] : [];
    case "Exists":
    case "DoesNotExist":
      return count > 0
        ? [fieldForbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")]
        : [];
    case "Gt":
    case "Lt":
      return count === 1
        ? []
        : [fieldRequired(values, "must be specified single value when `operator` is 'Lt' or 'Gt'")];
    default:
      return [fieldInvalid(childPath(path, "operator"), requirement.operator, "not a valid selector operator")];
  }
}

function validateExpression(requirement: NodeSelectorRequirement, path: string): FieldError[] {
  return [
    ...validateOperator(requirement, path),
    ...validateWith(validateQualifiedName, requirement.key, childPath(path, "key")),
    ...(requirement.values ?? []).flatMap((value, index) =>
      validateWith(validateLabelValue, value, indexPath(childPath(path, "values"), index)),
    ),
  ];
}

function validateFieldRequirement(requirement: NodeSelectorRequirement, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const values = requirement.values ?? [];
  if (requirement.operator !== "In" && requirement.operator !== "NotIn") {
    errors.push(fieldInvalid(childPath(path, "operator"), requirement.operator, "not a valid selector operator"));
  } else if (values.length !== 1) {
    const detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
    errors.push(fieldRequired(childPath(path, "values"), detail));
  }
  if (requirement.key !== "metadata.name") {
    errors.push(fieldInvalid(childPath(path, "key"), requirement.key, "not a valid field selector key"));
    return errors;
  }
  const names = values.flatMap((value, index) =>
    validateWith(validateDns1123Subdomain, value, indexPath(childPath(path, "values"), index)),
  );
  return [...errors, ...names];
}

function validateTerm(term: NodeSelectorTerm, path: string): FieldError[] {
  return [
    ...(term.matchExpressions ?? []).flatMap((requirement, index) =>
      validateExpression(requirement, indexPath(childPath(path, "matchExpressions"), index)),
    ),
    ...(term.matchFields ?? []).flatMap((requirement, index) =>
      validateFieldRequirement(requirement, indexPath(childPath(path, "matchFields"), index)),
    ),
  ];
}

/** One that must have terms. */
export function validateNodeSelector({ nodeSelectorTerms = [] }: Partial<NodeSelector>, path: string): FieldError[] {
  const at = childPath(path, "nodeSelectorTerms");
  if (nodeSelectorTerms.length === 0) return [fieldRequired(at, "must have at least one node selector term")];
  return nodeSelectorTerms.flatMap((term, index) => validateTerm(term, indexPath(at, index)));
}

function validateNodeAffinity(affinity: NodeAffinity, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const required = affinity[REQUIRED];
  if (required) errors.push(...validateNodeSelector(required, childPath(path, REQUIRED)));
  for (const [index, term] of (affinity[PREFERRED] ?? []).entries()) {
    const here = indexPath(childPath(path, PREFERRED), index);
    errors.push(...validateWeight(term.weight, childPath(here, "weight")));
    errors.push(...validateTerm(term.preference ?? {}, childPath(here, "preference")));
  }
  return errors;
}

interface LabelKeys {
  readonly labelSelector?: LabelSelector;
  readonly matchLabelKeys?: readonly string[];
  readonly mismatchLabelKeys?: readonly string[];
}

/** A key that the selector has twice was in it before that of matchLabelKeys came in. */
function validateKeysApart({ labelSelector, matchLabelKeys = [] }: LabelKeys, path: string): FieldError[] {
  const keys = new Set(Object.keys(labelSelector?.matchLabels ?? {}));
  return (labelSelector?.matchExpressions ?? []).flatMap(({ key }) => {
    const index = matchLabelKeys.lastIndexOf(key);
    const twice = index >= 0 && keys.has(key);
    keys.add(key);
    return twice ? [fieldInvalid(indexPath(path, index), key, "exists in both matchLabelKeys and labelSelector")] : [];
  });
}

/** Keys of the pod's own labels, whose values go into the selector. */
function validateLabelKeys(term: LabelKeys, path: string): FieldError[] {
  const { labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] } = term;
  const names = (keys: readonly string[], at: string): FieldError[] => {
    if (keys.length === 0) return [];
    if (!labelSelector) return [fieldForbidden(at, "must not be specified when labelSelector is not set")];
    return keys.flatMap((key, index) => validateWith(validateQualifiedName, key, indexPath(at, index)));
  };
  const at = childPath(path, "matchLabelKeys");
  return [
    ...names(matchLabelKeys, at),
    ...names(mismatchLabelKeys, childPath(path, "mismatchLabelKeys")),
    ...validateKeysApart(term, path),
    ...matchLabelKeys.flatMap((key, index) =>
      mismatchLabelKeys.includes(key)
        ? [fieldInvalid(indexPath(at, index), key, "exists in both matchLabelKeys and mismatchLabelKeys")]
        : [],
    ),
  ];
}

/** An absent term is an empty one, as in Go. */
function validatePodTerm(given: PodAffinityTerm | undefined, path: string): FieldError[] {
  const term: Partial<PodAffinityTerm> = given ?? {};
  const topology = childPath(path, "topologyKey");
  const errors: FieldError[] = [];
  if (term.labelSelector) errors.push(...validateLabelSelector(term.labelSelector, childPath(path, "labelSelector")));
  if (term.namespaceSelector) {
    errors.push(...validateLabelSelector(term.namespaceSelector, childPath(path, "namespaceSelector")));
  }
  for (const name of term.namespaces ?? []) {
    errors.push(...validateWith(validateDns1123Label, name, childPath(path, "namespace")));
  }
  errors.push(...validateLabelKeys(term, path));
  if (!term.topologyKey) errors.push(fieldRequired(topology, "can not be empty"));
  return [...errors, ...validateWith(validateQualifiedName, term.topologyKey, topology)];
}

function validatePodTerms(affinity: PodAffinity, path: string): FieldError[] {
  return [
    ...(affinity[REQUIRED] ?? []).flatMap((term, index) =>
      validatePodTerm(term, indexPath(childPath(path, REQUIRED), index)),
    ),
    ...(affinity[PREFERRED] ?? []).flatMap((weighted, index) => {
      const here = indexPath(childPath(path, PREFERRED), index);
      return [
        ...validateWeight(weighted.weight, childPath(here, "weight")),
        ...validatePodTerm(weighted.podAffinityTerm, childPath(here, "podAffinityTerm")),
      ];
    }),
  ];
}

export function validateAffinity(affinity: Affinity | undefined, path: string): FieldError[] {
  const { nodeAffinity, podAffinity, podAntiAffinity } = affinity ?? {};
  return [
    ...(nodeAffinity ? validateNodeAffinity(nodeAffinity, childPath(path, "nodeAffinity")) : []),
    ...(podAffinity ? validatePodTerms(podAffinity, childPath(path, "podAffinity")) : []),
    ...(podAntiAffinity ? validatePodTerms(podAntiAffinity, childPath(path, "podAntiAffinity")) : []),
  ];
}

function validateToleration(toleration: Toleration, path: string): FieldError[] {
  const { key = "", operator = "", value = "", effect = "" } = toleration;
  const at = childPath(path, "operator");
  const errors = key === "" ? [] : validateWith(validateQualifiedName, key, childPath(path, "key"));
  if (key === "" && operator !== "Exists") {
    const detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"';
    errors.push(fieldInvalid(at, operator, detail));
  }
  if (toleration.tolerationSeconds !== undefined && effect !== "NoExecute") {
    const detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
    errors.push(fieldInvalid(childPath(path, "effect"), effect, detail));
  }
  if (operator === "Exists" && value !== "") {
    errors.push(fieldInvalid(at, value, "value must be empty when `operator` is 'Exists'"));
  } else if (operator === "Equal" || operator === "") {
    const messages = validateLabelValue(value);
    if (messages.length > 0) errors.push(fieldInvalid(at, value, messages.join(";")));
  } else if (operator !== "Exists") {
    // Comparing is not for everybody yet; who tries is told what there would be.
    const compares = operator === "Lt" || operator === "Gt" ? ["Lt", "Gt"] : [];
    errors.push(fieldNotSupported(at, operator, ["Equal", "Exists", ...compares]));
  }
  return effect === "" ? errors : [...errors, ...validateEnum(effect, TAINT_EFFECTS, childPath(path, "effect"))];
}

export function validateTolerations(tolerations: readonly Toleration[] | undefined, path: string): FieldError[] {
  return (tolerations ?? []).flatMap((toleration, index) => validateToleration(toleration, indexPath(path, index)));
}

function validateConstraint(constraint: TopologySpreadConstraint, path: string): FieldError[] {
  const policies = ["Honor", "Ignore"];
  const errors = validatePositive(constraint.maxSkew ?? 0, childPath(path, "maxSkew"));
  if (!constraint.topologyKey) errors.push(fieldRequired(childPath(path, "topologyKey"), "can not be empty"));
  const actions = ["DoNotSchedule", "ScheduleAnyway"];
  errors.push(
    ...validateOptionalEnum(constraint.whenUnsatisfiable ?? "", actions, childPath(path, "whenUnsatisfiable")),
    ...validatePositive(constraint.minDomains, childPath(path, "minDomains")),
  );
  if (constraint.minDomains !== undefined && constraint.whenUnsatisfiable !== "DoNotSchedule") {
    const detail = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${constraint.whenUnsatisfiable}`;
    errors.push(fieldInvalid(childPath(path, "minDomains"), constraint.minDomains, detail));
  }
  errors.push(
    ...validateOptionalEnum(constraint.nodeAffinityPolicy, policies, childPath(path, "nodeAffinityPolicy")),
    ...validateOptionalEnum(constraint.nodeTaintsPolicy, policies, childPath(path, "nodeTaintsPolicy")),
  );
  errors.push(...validateLabelKeys(constraint, path));
  const at = childPath(path, "labelSelector");
  return constraint.labelSelector ? [...errors, ...validateLabelSelector(constraint.labelSelector, at)] : errors;
}

export function validateTopologySpread(
  constraints: readonly TopologySpreadConstraint[] | undefined,
  path: string,
): FieldError[] {
  const pair = (c: TopologySpreadConstraint) => `{${c.topologyKey}, ${c.whenUnsatisfiable}}`;
  return (constraints ?? []).flatMap((constraint, index, all) => {
    const at = indexPath(path, index);
    const errors = validateConstraint(constraint, at);
    if (all.slice(index + 1).some((other) => pair(other) === pair(constraint))) {
      errors.push(fieldDuplicate(childPath(at, "{topologyKey, whenUnsatisfiable}"), pair(constraint)));
    }
    return errors;
  });
}
