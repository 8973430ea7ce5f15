// The behavior of an autoscaler as an annotation of its v1 form holds it. Upstream writes a type there that has no JSON names, so
// the members begin with capitals and what is absent is null; it reads them in whatever case.
import { isJsonObject, jsonOrNothing } from "@coxswain/apimachinery";
import { checkTypes, pruneUnknown } from "../../schema/walk.ts";
import type { HorizontalPodAutoscalerBehavior, HPAScalingRules } from "../../types.gen.ts";

const BEHAVIOR_TYPE = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior";
const BEHAVIOR = ["scaleUp", "scaleDown"];
const RULES = ["stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"];
const POLICY = ["type", "value", "periodSeconds"];

const capital = (name: string): string => `${name[0]!.toUpperCase()}${name.slice(1)}`;

function rulesText(rules: HPAScalingRules | undefined): object | null {
  if (rules === undefined) return null;
  return {
    StabilizationWindowSeconds: rules.stabilizationWindowSeconds ?? null,
    SelectPolicy: rules.selectPolicy ?? null,
    Policies:
      rules.policies?.map((policy) => ({
        Type: policy.type,
        Value: policy.value,
        PeriodSeconds: policy.periodSeconds,
      })) ?? null,
    Tolerance: rules.tolerance ?? null,
  };
}

export function behaviorText({ scaleUp, scaleDown }: HorizontalPodAutoscalerBehavior): string {
  return JSON.stringify({ ScaleUp: rulesText(scaleUp), ScaleDown: rulesText(scaleDown) });
}

/** The named members, in whatever case they are written; none that is null. */
function members(value: unknown, names: readonly string[]): Record<string, unknown> | undefined {
  if (!isJsonObject(value)) return undefined;
  const made: Record<string, unknown> = {};
  for (const name of names) {
    const key = [capital(name), ...Object.keys(value)].find(
      (each) => each.toLowerCase() === name.toLowerCase() && Object.hasOwn(value, each),
    );
    const found = key === undefined ? undefined : value[key];
    if (found !== undefined && found !== null) made[name] = found;
  }
  return made;
}

/** undefined where the text says nothing, or is of other types. */
export function behaviorOf(text: string | undefined): HorizontalPodAutoscalerBehavior | undefined {
  const behavior = members(jsonOrNothing(text ?? ""), BEHAVIOR);
  if (behavior === undefined || Object.keys(behavior).length === 0) return undefined;
  for (const [name, value] of Object.entries(behavior)) {
    const rules = members(value, RULES) ?? {};
    if (Array.isArray(rules["policies"])) rules["policies"] = rules["policies"].map((each) => members(each, POLICY));
    behavior[name] = rules;
  }
  if (checkTypes(behavior, BEHAVIOR_TYPE).length > 0) return undefined;
  pruneUnknown(behavior, BEHAVIOR_TYPE);
  return behavior;
}
