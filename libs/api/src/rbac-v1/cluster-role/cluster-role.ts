// ClusterRole: rules for all namespaces, cluster-scoped resources and paths; or the sum of other cluster roles by label.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldRequired, indexPath, validateLabelSelector, validatePathSegmentName } from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import { RBAC } from "../../groups.ts";
import type { ClusterRole } from "../../types.gen.ts";
import { validateRules } from "../rules.ts";

function validate(role: ClusterRole): FieldError[] {
  const errors = validateRules(role.rules, false);
  if (!role.aggregationRule) return errors;
  const path = "aggregationRule.clusterRoleSelectors";
  const selectors = role.aggregationRule.clusterRoleSelectors ?? [];
  if (selectors.length === 0) {
    errors.push(fieldRequired(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"));
  }
  return [
    ...errors,
    ...selectors.flatMap((selector, index) => validateLabelSelector(selector, indexPath(path, index))),
  ];
}

export const clusterRoleKind = defineKind<ClusterRole>({
  group: RBAC,
  version: "v1",
  kind: "ClusterRole",
  resource: "clusterroles",
  namespaced: false,
  schemaName: "io.k8s.api.rbac.v1.ClusterRole",
  validateName: validatePathSegmentName,
  validateCreate: validate,
  validateUpdate: validate,
  strategy: plainStrategy({ allowCreateOnUpdate: true }),
});
