// Rules must compile, and may speak of the old value only where it can be found.
import { childPath, fieldInvalid, indexPath, keyPath, type FieldError } from "@coxswain/apimachinery";
import { compileRulesAt } from "./cel-rules.ts";
import type { StructuralSchema } from "./schema.ts";

/** Errors of the rules of a structural schema, place by place. */
export function validateRules(schema: StructuralSchema, path: string): FieldError[] {
  return rulesAt(schema, path, true, undefined);
}

function rulesAt(
  schema: StructuralSchema,
  path: string,
  resource: boolean,
  /** The outermost place below which old values cannot be found. */
  uncorrelated: string | undefined,
): FieldError[] {
  const errors = compileRulesAt(schema, resource).flatMap((compiled, index) => {
    const at = indexPath(childPath(path, "x-kubernetes-validations"), index);
    const { rule, issue, messageIssue, usesOld } = compiled;
    const found: FieldError[] = [];
    if (issue !== undefined) found.push(fieldInvalid(childPath(at, "rule"), rule, issue));
    if (messageIssue !== undefined) found.push(fieldInvalid(childPath(at, "messageExpression"), rule, messageIssue));
    if (usesOld && uncorrelated !== undefined) {
      const detail = `oldSelf cannot be used on the uncorrelatable portion of the schema within ${uncorrelated}`;
      found.push(fieldInvalid(childPath(at, "rule"), rule.rule, detail));
    } else if (!usesOld && rule.optionalOldSelf !== undefined) {
      const detail = "may not be set if oldSelf is not used in rule";
      found.push(fieldInvalid(childPath(at, "optionalOldSelf"), rule.optionalOldSelf, detail));
    }
    return found;
  });
  const inMap = uncorrelated ?? (schema.mapType === "atomic" ? path : undefined);
  for (const [name, property] of schema.properties) {
    errors.push(...rulesAt(property, keyPath(childPath(path, "properties"), name), property.embedded, inMap));
  }
  const { additional, items } = schema;
  if (additional !== undefined && additional !== true) {
    errors.push(...rulesAt(additional, childPath(path, "additionalProperties"), false, uncorrelated));
  }
  const inList = uncorrelated ?? (schema.listType === "map" ? undefined : path);
  if (items !== undefined) errors.push(...rulesAt(items, childPath(path, "items"), items.embedded, inList));
  return errors;
}
