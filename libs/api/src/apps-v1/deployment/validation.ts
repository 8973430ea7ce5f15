// What a Deployment must be: a selector that finds its template's pods and never changes, and a rollout that can move.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldForbidden, fieldInvalid, fieldNotSupported, fieldRequired } from "@coxswain/apimachinery";
import type { Deployment, DeploymentStrategy, RollingUpdateDeployment } from "../../types.gen.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { countOrPercentNumber, validateCountOrPercent, validateNonNegative } from "../../validation/numbers.ts";
import { validateReplicaCounts, validateSelectorAndTemplate } from "../pod-template.ts";

const ROLLING = "spec.strategy.rollingUpdate";

function validateRollingUpdate({ maxSurge, maxUnavailable }: RollingUpdateDeployment): FieldError[] {
  const errors = [
    ...validateCountOrPercent(maxUnavailable, `${ROLLING}.maxUnavailable`),
    ...validateCountOrPercent(maxSurge, `${ROLLING}.maxSurge`),
  ];
  if (countOrPercentNumber(maxUnavailable) === 0 && countOrPercentNumber(maxSurge) === 0) {
    const detail = "may not be 0 when `maxSurge` is 0";
    errors.push(fieldInvalid(`${ROLLING}.maxUnavailable`, maxUnavailable ?? 0, detail));
  }
  if (typeof maxUnavailable === "string" && countOrPercentNumber(maxUnavailable) > 100) {
    errors.push(fieldInvalid(`${ROLLING}.maxUnavailable`, maxUnavailable, "must not be greater than 100%"));
  }
  return errors;
}

function validateStrategy(strategy: DeploymentStrategy): FieldError[] {
  switch (strategy.type ?? "") {
    case "Recreate":
      return strategy.rollingUpdate
        ? [fieldForbidden(ROLLING, "may not be specified when strategy `type` is 'Recreate'")]
        : [];
    case "RollingUpdate":
      return strategy.rollingUpdate
        ? validateRollingUpdate(strategy.rollingUpdate)
        : [fieldRequired(ROLLING, "this should be defaulted and never be nil")];
    default:
      return [fieldNotSupported("spec.strategy", strategy, ["Recreate", "RollingUpdate"])];
  }
}

export function validateDeployment(deployment: Deployment): FieldError[] {
  const { spec } = deployment;
  if (!spec) return [fieldRequired("spec.selector", ""), fieldRequired("spec.template", "")];
  const errors = [
    ...validateNonNegative(spec.replicas, "spec.replicas"),
    ...validateSelectorAndTemplate(spec.selector, spec.template, "spec"),
    ...validateStrategy(spec.strategy ?? {}),
    ...validateNonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateNonNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
    ...validateNonNegative(spec.progressDeadlineSeconds, "spec.progressDeadlineSeconds"),
  ];
  const deadline = spec.progressDeadlineSeconds;
  if (deadline !== undefined && deadline <= (spec.minReadySeconds ?? 0)) {
    errors.push(fieldInvalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"));
  }
  return errors;
}

export function validateDeploymentUpdate(deployment: Deployment, old: Deployment): FieldError[] {
  return [
    ...validateDeployment(deployment),
    ...validateImmutableField(deployment.spec?.selector, old.spec?.selector, "spec.selector"),
  ];
}

const COUNTS = [
  "observedGeneration",
  "replicas",
  "updatedReplicas",
  "readyReplicas",
  "availableReplicas",
  "unavailableReplicas",
  "terminatingReplicas",
  "collisionCount",
] as const;

export function validateDeploymentStatus(deployment: Deployment, old: Deployment): FieldError[] {
  const status = deployment.status ?? {};
  const errors = COUNTS.flatMap((name) => validateNonNegative(status[name], `status.${name}`));
  errors.push(...validateReplicaCounts({ ...status }, ["updatedReplicas", "readyReplicas", "availableReplicas"]));
  const collisions = status.collisionCount ?? 0;
  if (collisions < (old.status?.collisionCount ?? 0)) {
    errors.push(fieldInvalid("status.collisionCount", collisions, "cannot be decremented"));
  }
  return errors;
}
