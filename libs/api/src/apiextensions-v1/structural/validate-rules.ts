// Rules must compile, must not be too expensive, and may speak of the old value only where it can be found.
import { childPath, fieldInvalid, indexPath, keyPath, type FieldError } from "@coxswain/apimachinery";
import { compileRulesAt, type CompiledRule } from "./cel-rules.ts";
import { costSizes, mostInRequest, sizedSchema, type SizedSchema } from "./cel-sizes.ts";
import { multiplies, RuleCosts } from "./rule-costs.ts";
import type { ValidationRule } from "../types.ts";
import type { StructuralSchema } from "./schema.ts";

export interface RuleValidation {
  /** What single expressions cost was accepted before. */
  readonly costAccepted?: boolean;
}

/** Errors of the rules of a structural schema, place by place. */
export function validateRules(
  schema: StructuralSchema,
  path: string,
  { costAccepted = false }: RuleValidation = {},
): FieldError[] {
  const costs = new RuleCosts(costAccepted);
  const errors = rulesAt(schema, { path, resource: true, uncorrelated: undefined, times: 1 }, costs);
  return [...errors, ...costs.total(path)];
}

interface Place {
  readonly path: string;
  readonly resource: boolean;
  /** The outermost place below which old values cannot be found. */
  readonly uncorrelated: string | undefined;
  /** How often a value can stand there in one object; undefined where that has no limit of the schema's. */
  readonly times: number | undefined;
}

function rulesAt(schema: StructuralSchema, place: Place, costs: RuleCosts): FieldError[] {
  const { path, resource, uncorrelated, times } = place;
  const sized = schema.rules.length === 0 ? undefined : sizedSchema(schema, resource);
  const errors = compileRulesAt(schema, resource).flatMap((compiled, index) => {
    const at = indexPath(childPath(path, "x-kubernetes-validations"), index);
    const cost = sized === undefined ? [] : costOf(compiled, at, sized, times ?? mostInRequest(sized), costs);
    return [...cost, ...issuesOf(compiled, at, uncorrelated)];
  });
  const factor = multiplies(schema);
  const below = times === undefined || factor === undefined ? undefined : times * factor;
  const known = schema.mapType === undefined || schema.mapType === "atomic" || schema.mapType === "granular";
  const inMap = uncorrelated ?? (known ? undefined : path);
  for (const [name, property] of schema.properties) {
    const at = keyPath(childPath(path, "properties"), name);
    const inside = { path: at, resource: property.embedded, uncorrelated: inMap, times: below };
    errors.push(...rulesAt(property, inside, costs));
  }
  const { additional, items } = schema;
  if (additional !== undefined && additional !== true) {
    const inside = { path: childPath(path, "additionalProperties"), resource: false, uncorrelated, times: below };
    errors.push(...rulesAt(additional, inside, costs));
  }
  const inList = uncorrelated ?? (schema.listType === "map" ? undefined : path);
  if (items !== undefined) {
    const inside = { path: childPath(path, "items"), resource: items.embedded, uncorrelated: inList, times: below };
    errors.push(...rulesAt(items, inside, costs));
  }
  return errors;
}

function costOf(
  { program, message }: CompiledRule,
  at: string,
  sized: SizedSchema,
  times: number,
  costs: RuleCosts,
): FieldError[] {
  const sizes = costSizes(sized);
  const cost = (program?.estimate(sizes).max ?? 0) * times;
  const errors = costs.observe("estimated rule cost", cost, childPath(at, "rule"));
  if (message === undefined) return errors;
  const told = message.estimate(sizes).max;
  return [...errors, ...costs.observe("estimated messageExpression cost", told, childPath(at, "messageExpression"))];
}

/** The rule as upstream shows it: by the names that its fields have inside. */
function shownRule(rule: ValidationRule): object {
  return {
    Rule: rule.rule,
    Message: rule.message ?? "",
    MessageExpression: rule.messageExpression ?? "",
    Reason: rule.reason ?? null,
    FieldPath: rule.fieldPath ?? "",
    OptionalOldSelf: rule.optionalOldSelf ?? null,
  };
}

function issuesOf(compiled: CompiledRule, at: string, uncorrelated: string | undefined): FieldError[] {
  const { rule, issue, messageIssue, usesOld } = compiled;
  const found: FieldError[] = [];
  if (issue !== undefined) found.push(fieldInvalid(childPath(at, "rule"), shownRule(rule), issue));
  if (messageIssue !== undefined)
    found.push(fieldInvalid(childPath(at, "messageExpression"), shownRule(rule), messageIssue));
  if (usesOld && uncorrelated !== undefined) {
    const detail = `oldSelf cannot be used on the uncorrelatable portion of the schema within ${uncorrelated}`;
    found.push(fieldInvalid(childPath(at, "rule"), rule.rule, detail));
  } else if (!usesOld && rule.optionalOldSelf !== undefined) {
    const detail = "may not be set if oldSelf is not used in rule";
    found.push(fieldInvalid(childPath(at, "optionalOldSelf"), rule.optionalOldSelf, detail));
  }
  return found;
}
