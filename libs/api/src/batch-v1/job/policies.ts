// The rules of a Job for which failures count, and for when enough indexes have succeeded.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  fieldTooMany,
  indexPath,
  OMITTED,
  quote,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import type {
  JobSpec,
  PodFailurePolicyOnExitCodesRequirement,
  PodFailurePolicyRule,
  SuccessPolicyRule,
} from "../../types.gen.ts";
import { validateEnum, validateWith } from "../../validation/enums.ts";
import { validateNonNegative } from "../../validation/numbers.ts";
import { parseIndexes } from "./indexes.ts";

const MAX_RULES = 20;
const MAX_EXIT_CODES = 255;
const MAX_PATTERNS = 20;
const MAX_SUCCESS_INDEXES = 64 * 1024;
const ACTIONS = ["Count", "FailIndex", "FailJob", "Ignore"];

/** Required, and then one of `supported`: what is missing is told what it could be. */
function validateNamedEnum(value: string | undefined, supported: readonly string[], path: string): FieldError[] {
  if (value) return validateEnum(value, supported, path);
  return [fieldRequired(path, `valid values: [${supported.map((each) => quote(each)).join(" ")}]`)];
}

function validateExitCodes(
  codes: PodFailurePolicyOnExitCodesRequirement,
  containers: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const errors = validateNamedEnum(codes.operator, ["In", "NotIn"], childPath(path, "operator"));
  if (codes.containerName !== undefined && !containers.has(codes.containerName)) {
    const detail = "must be one of the container or initContainer names in the pod template";
    errors.push(fieldInvalid(childPath(path, "containerName"), codes.containerName, detail));
  }
  const at = childPath(path, "values");
  const values = codes.values ?? [];
  if (values.length === 0) errors.push(fieldInvalid(at, values, "at least one value is required"));
  if (values.length > MAX_EXIT_CODES) errors.push(fieldTooMany(at, values.length, MAX_EXIT_CODES));
  values.forEach((value, index) => {
    const place = indexPath(at, index);
    if (codes.operator === "In" && value === 0) {
      errors.push(fieldInvalid(place, value, "must not be 0 for the In operator"));
    }
    if (values.indexOf(value) < index) errors.push(fieldDuplicate(place, value));
  });
  if (values.some((value, index) => index > 0 && value < (values[index - 1] ?? 0))) {
    errors.push(fieldInvalid(at, values, "must be ordered"));
  }
  return errors;
}

function validateFailureRule(
  rule: PodFailurePolicyRule,
  spec: JobSpec,
  containers: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const errors = validateNamedEnum(rule.action, ACTIONS, childPath(path, "action"));
  if (rule.action === "FailIndex" && spec.backoffLimitPerIndex === undefined) {
    errors.push(fieldInvalid(childPath(path, "action"), rule.action, "requires the backoffLimitPerIndex to be set"));
  }
  const patterns = rule.onPodConditions ?? [];
  if (rule.onExitCodes) errors.push(...validateExitCodes(rule.onExitCodes, containers, childPath(path, "onExitCodes")));
  if (patterns.length > MAX_PATTERNS) {
    errors.push(fieldTooMany(childPath(path, "onPodConditions"), patterns.length, MAX_PATTERNS));
  }
  patterns.forEach((pattern, index) => {
    const at = indexPath(childPath(path, "onPodConditions"), index);
    errors.push(...validateWith(validateQualifiedName, pattern.type, childPath(at, "type")));
    errors.push(...validateEnum(pattern.status, ["False", "True", "Unknown"], childPath(at, "status")));
  });
  if (patterns.length > 0 && rule.onExitCodes) {
    errors.push(fieldInvalid(path, OMITTED, "specifying both OnExitCodes and OnPodConditions is not supported"));
  }
  if (patterns.length === 0 && !rule.onExitCodes) {
    errors.push(fieldInvalid(path, OMITTED, "specifying one of OnExitCodes and OnPodConditions is required"));
  }
  return errors;
}

export function validatePodFailurePolicy(spec: JobSpec, path: string): FieldError[] {
  const rules = spec.podFailurePolicy?.rules ?? [];
  const at = childPath(path, "podFailurePolicy", "rules");
  if (rules.length > MAX_RULES) return [fieldTooMany(at, rules.length, MAX_RULES)];
  const pod = spec.template?.spec;
  const names = new Set([...(pod?.containers ?? []), ...(pod?.initContainers ?? [])].map((each) => each.name));
  return rules.flatMap((rule, index) => validateFailureRule(rule, spec, names, indexPath(at, index)));
}

function validateSuccessRule(rule: SuccessPolicyRule, spec: JobSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { succeededCount, succeededIndexes } = rule;
  if (succeededCount === undefined && succeededIndexes === undefined) {
    errors.push(fieldRequired(path, "at least one of succeededCount or succeededIndexes must be specified"));
  }
  let total: number | undefined;
  if (succeededIndexes !== undefined) {
    const at = childPath(path, "succeededIndexes");
    if (succeededIndexes.length > MAX_SUCCESS_INDEXES) errors.push(fieldTooLong(at, MAX_SUCCESS_INDEXES));
    const parsed = parseIndexes(succeededIndexes, spec.completions ?? 0);
    if ("error" in parsed) {
      errors.push(fieldInvalid(at, succeededIndexes, `error parsing succeededIndexes: ${parsed.error}`));
    } else total = parsed.total;
  }
  if (succeededCount !== undefined) {
    const at = childPath(path, "succeededCount");
    errors.push(...validateNonNegative(succeededCount, at));
    if (succeededCount > (spec.completions ?? 0)) {
      errors.push(
        fieldInvalid(
          at,
          succeededCount,
          `must be less than or equal to ${spec.completions ?? 0} (the number of specified completions)`,
        ),
      );
    }
    if (total !== undefined && succeededCount > total) {
      errors.push(
        fieldInvalid(
          at,
          succeededCount,
          `must be less than or equal to ${total} (the number of indexes in the specified succeededIndexes field)`,
        ),
      );
    }
  }
  return errors;
}

export function validateSuccessPolicy(spec: JobSpec, path: string): FieldError[] {
  const rules = spec.successPolicy?.rules ?? [];
  const at = childPath(path, "successPolicy", "rules");
  if (rules.length === 0)
    return [fieldRequired(at, "at least one rules must be specified when the successPolicy is specified")];
  if (rules.length > MAX_RULES) return [fieldTooMany(at, rules.length, MAX_RULES)];
  return rules.flatMap((rule, index) => validateSuccessRule(rule, spec, indexPath(at, index)));
}

export function validatePodReplacementPolicy(spec: JobSpec, path: string): FieldError[] {
  const policy = spec.podReplacementPolicy;
  if (policy === undefined) return [];
  const supported = spec.podFailurePolicy ? ["Failed"] : ["Failed", "TerminatingOrFailed"];
  const at = childPath(path, "podReplacementPolicy");
  return supported.includes(policy) ? [] : [fieldNotSupported(at, policy, supported)];
}
