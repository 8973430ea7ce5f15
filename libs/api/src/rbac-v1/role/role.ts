// Role: rules for the resources of one namespace.
import { validatePathSegmentName } from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import { RBAC } from "../../groups.ts";
import type { Role } from "../../types.gen.ts";
import { validateRules } from "../rules.ts";

export const roleKind = defineKind<Role>({
  group: RBAC,
  version: "v1",
  kind: "Role",
  resource: "roles",
  namespaced: true,
  schemaName: "io.k8s.api.rbac.v1.Role",
  validateName: validatePathSegmentName,
  validateCreate: (role) => validateRules(role.rules, true),
  validateUpdate: (role) => validateRules(role.rules, true),
  strategy: plainStrategy({ allowCreateOnUpdate: true }),
});
