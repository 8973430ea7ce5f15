// PodDisruptionBudget: how many pods of a set may be away at once by somebody's will.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldNotSupported, validateLabelSelector } from "@coxswain/apimachinery";
import { defineKind, metaOf, setGeneration, specStrategy } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { PodDisruptionBudget } from "../../types.gen.ts";
import { validateCountOrPercent, validateNonNegative } from "../../validation/numbers.ts";

const POLICIES = ["AlwaysAllow", "IfHealthyBudget"];

function validateAmount(value: number | string | undefined, path: string): FieldError[] {
  if (value === undefined) return [];
  const errors = validateCountOrPercent(value, path);
  if (typeof value === "string" && /^\d+%$/.test(value) && Number(value.slice(0, -1)) > 100) {
    errors.push(fieldInvalid(path, value, "must not be greater than 100%"));
  }
  return errors;
}

function validate({ spec = {} }: PodDisruptionBudget): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined) {
    errors.push(fieldInvalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"));
  }
  errors.push(...validateAmount(spec.minAvailable, "spec.minAvailable"));
  errors.push(...validateAmount(spec.maxUnavailable, "spec.maxUnavailable"));
  if (spec.selector) errors.push(...validateLabelSelector(spec.selector, "spec.selector"));
  const policy = spec.unhealthyPodEvictionPolicy;
  if (policy !== undefined && !POLICIES.includes(policy)) {
    errors.push(fieldNotSupported("spec.unhealthyPodEvictionPolicy", policy, POLICIES));
  }
  return errors;
}

const COUNTS = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] as const;
const emptyStatus = () => ({ disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 });

export const podDisruptionBudgetKind = defineKind<PodDisruptionBudget>({
  group: "policy",
  version: "v1",
  kind: "PodDisruptionBudget",
  resource: "poddisruptionbudgets",
  shortNames: ["pdb"],
  namespaced: true,
  schemaName: "io.k8s.api.policy.v1.PodDisruptionBudget",
  hasStatus: true,
  validateCreate: validate,
  validateUpdate: validate,
  validateStatusUpdate: ({ status }) => COUNTS.flatMap((name) => validateNonNegative(status?.[name], `status.${name}`)),
  strategy: specStrategy<PodDisruptionBudget>(emptyStatus, {
    allowUnconditionalUpdate: false,
    prepareForCreate(budget) {
      budget.status = emptyStatus();
      metaOf(budget).generation = 1;
    },
    prepareForUpdate(budget, old) {
      budget.status = old.status;
      setGeneration(budget, old, !sameValue(budget.spec, old.spec));
    },
  }),
  columns: [
    NAME,
    column("Min Available", "How many pods must be there."),
    column("Max Unavailable", "How many pods may be away."),
    column("Allowed Disruptions", "How many may be taken away now.", "integer"),
    AGE,
  ],
  row: (budget, context) => [
    nameOf(budget),
    String(budget.spec?.minAvailable ?? "N/A"),
    String(budget.spec?.maxUnavailable ?? "N/A"),
    budget.status?.disruptionsAllowed ?? 0,
    age(budget, context),
  ],
});
