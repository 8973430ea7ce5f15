// How fast an autoscaler may go up and down: what holds where nobody says otherwise, and what may be said.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  isQuantity,
  parseQuantity,
} from "@coxswain/apimachinery";
import type { HPAScalingRules, HorizontalPodAutoscalerBehavior } from "../../types.gen.ts";
import { QUANTITY_ERROR } from "../../validation/resources.ts";

const MAX_WINDOW = 3600;
const MAX_PERIOD = 1800;
const SELECT = ["Disabled", "Max", "Min"];

const UP: HPAScalingRules = {
  stabilizationWindowSeconds: 0,
  selectPolicy: "Max",
  policies: [
    { type: "Pods", value: 4, periodSeconds: 15 },
    { type: "Percent", value: 100, periodSeconds: 15 },
  ],
};
const DOWN: HPAScalingRules = { selectPolicy: "Max", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] };

function filled(rules: HPAScalingRules | undefined, defaults: HPAScalingRules): HPAScalingRules {
  const made: HPAScalingRules = { ...defaults, ...rules };
  if (!rules?.policies?.length) made.policies = (defaults.policies ?? []).map((policy) => ({ ...policy }));
  return made;
}

/** Completes a behavior that is given at all. */
export function setBehaviorDefaults(behavior: HorizontalPodAutoscalerBehavior): void {
  behavior.scaleUp = filled(behavior.scaleUp, UP);
  behavior.scaleDown = filled(behavior.scaleDown, DOWN);
}

function validateRules(rules: HPAScalingRules, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const within = (value: number | undefined, low: number, high: number, at: string) => {
    if (value === undefined) return;
    if (value < low)
      errors.push(
        fieldInvalid(at, value, low === 0 ? "must be greater than or equal to zero" : "must be greater than zero"),
      );
    if (value > high) errors.push(fieldInvalid(at, value, `must be less than or equal to ${high}`));
  };
  within(rules.stabilizationWindowSeconds, 0, MAX_WINDOW, childPath(path, "stabilizationWindowSeconds"));
  if (rules.selectPolicy !== undefined && !SELECT.includes(rules.selectPolicy)) {
    errors.push(fieldNotSupported(childPath(path, "selectPolicy"), rules.selectPolicy, SELECT));
  }
  const { tolerance } = rules;
  const shown = childPath(path, "tolerance");
  if (tolerance !== undefined && !isQuantity(tolerance)) errors.push(fieldInvalid(shown, tolerance, QUANTITY_ERROR));
  else if (tolerance !== undefined && parseQuantity(tolerance).sign() < 0) {
    errors.push(fieldInvalid(shown, tolerance, "must be greater than or equal to 0"));
  }
  const at = childPath(path, "policies");
  if (!rules.policies?.length) errors.push(fieldRequired(at, "must specify at least one Policy"));
  for (const [index, policy] of (rules.policies ?? []).entries()) {
    const place = indexPath(at, index);
    if (policy.type !== "Pods" && policy.type !== "Percent") {
      errors.push(fieldNotSupported(childPath(place, "type"), policy.type, ["Percent", "Pods"]));
    }
    within(policy.value, 1, Number.MAX_SAFE_INTEGER, childPath(place, "value"));
    within(policy.periodSeconds, 1, MAX_PERIOD, childPath(place, "periodSeconds"));
  }
  return errors;
}

export function validateBehavior(behavior: HorizontalPodAutoscalerBehavior | undefined, path: string): FieldError[] {
  return [
    ...(behavior?.scaleUp ? validateRules(behavior.scaleUp, childPath(path, "scaleUp")) : []),
    ...(behavior?.scaleDown ? validateRules(behavior.scaleDown, childPath(path, "scaleDown")) : []),
  ];
}
