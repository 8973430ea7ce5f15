// What a DaemonSet must be: a selector that never changes, and a rollout that can move.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldNotSupported, fieldRequired } from "@coxswain/apimachinery";
import type { DaemonSet, DaemonSetUpdateStrategy } from "../../types.gen.ts";
import { templateGeneration } from "./template-generation.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { countOrPercentNumber, validateCountOrPercent, validateNonNegative } from "../../validation/numbers.ts";
import { validateLastingWorkload } from "../../validation/workload-template.ts";

function validateUpdateStrategy(strategy: DaemonSetUpdateStrategy): FieldError[] {
  const path = "spec.updateStrategy";
  if (strategy.type === "OnDelete") return [];
  if (strategy.type !== "RollingUpdate") {
    return [fieldNotSupported(path, strategy, ["RollingUpdate", "OnDelete"])];
  }
  const rolling = strategy.rollingUpdate;
  if (!rolling) return [fieldRequired(`${path}.rollingUpdate`, "")];
  const errors = [
    ...validateCountOrPercent(rolling.maxUnavailable, `${path}.rollingUpdate.maxUnavailable`),
    ...validateCountOrPercent(rolling.maxSurge, `${path}.rollingUpdate.maxSurge`),
  ];
  const unavailable = countOrPercentNumber(rolling.maxUnavailable);
  const surge = countOrPercentNumber(rolling.maxSurge);
  if (unavailable > 0 && surge > 0) {
    const detail = "may not be set when maxUnavailable is non-zero";
    errors.push(fieldInvalid(`${path}.rollingUpdate.maxSurge`, rolling.maxSurge, detail));
  }
  if (unavailable === 0 && surge === 0) {
    errors.push(fieldRequired(`${path}.rollingUpdate.maxUnavailable`, "cannot be 0 when maxSurge is 0"));
  }
  return errors;
}

export function validateDaemonSet(set: DaemonSet): FieldError[] {
  const { spec } = set;
  if (!spec) return [fieldRequired("spec.selector", ""), fieldRequired("spec.template", "")];
  return [
    ...validateLastingWorkload(spec, "spec", "DaemonSet"),
    ...validateNonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateNonNegative(templateGeneration(set), "spec.templateGeneration"),
    ...validateUpdateStrategy(spec.updateStrategy ?? {}),
    ...validateNonNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
  ];
}

export function validateDaemonSetUpdate(set: DaemonSet, old: DaemonSet): FieldError[] {
  return [
    ...validateDaemonSet(set),
    ...validateImmutableField(set.spec?.selector, old.spec?.selector, "spec.selector"),
  ];
}

const COUNTS = [
  "currentNumberScheduled",
  "numberMisscheduled",
  "desiredNumberScheduled",
  "numberReady",
  "observedGeneration",
  "updatedNumberScheduled",
  "numberAvailable",
  "numberUnavailable",
  "collisionCount",
] as const;

export function validateDaemonSetStatus(set: DaemonSet, old: DaemonSet): FieldError[] {
  const errors = COUNTS.flatMap((name) => validateNonNegative(set.status?.[name], `status.${name}`));
  const collisions = set.status?.collisionCount ?? 0;
  if (collisions < (old.status?.collisionCount ?? 0)) {
    errors.push(fieldInvalid("status.collisionCount", collisions, "cannot be decremented"));
  }
  return errors;
}
