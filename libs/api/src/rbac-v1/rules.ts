// What the rules of Role and ClusterRole have in common.
import type { FieldError } from "@coxswain/apimachinery";
import { childPath, fieldInvalid, fieldRequired, indexPath } from "@coxswain/apimachinery";
import type { PolicyRule } from "../types.gen.ts";

const some = (list: readonly string[] | undefined) => (list?.length ?? 0) > 0;

function validateRule(rule: PolicyRule, namespaced: boolean, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!some(rule.verbs)) errors.push(fieldRequired(childPath(path, "verbs"), "verbs must contain at least one value"));
  if (some(rule.nonResourceURLs)) {
    const at = childPath(path, "nonResourceURLs");
    if (namespaced) {
      errors.push(fieldInvalid(at, rule.nonResourceURLs, "namespaced rules cannot apply to non-resource URLs"));
    }
    if (some(rule.apiGroups) || some(rule.resources) || some(rule.resourceNames)) {
      const detail = "rules cannot apply to both regular resources and non-resource URLs";
      errors.push(fieldInvalid(at, rule.nonResourceURLs, detail));
    }
    return errors;
  }
  if (!some(rule.apiGroups)) {
    errors.push(fieldRequired(childPath(path, "apiGroups"), "resource rules must supply at least one api group"));
  }
  if (!some(rule.resources)) {
    errors.push(fieldRequired(childPath(path, "resources"), "resource rules must supply at least one resource"));
  }
  return errors;
}

export function validateRules(rules: readonly PolicyRule[] | undefined, namespaced: boolean): FieldError[] {
  return (rules ?? []).flatMap((rule, index) => validateRule(rule, namespaced, indexPath("rules", index)));
}
