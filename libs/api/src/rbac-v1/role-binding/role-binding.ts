// RoleBinding: grants a role within one namespace.
import { validatePathSegmentName } from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import { RBAC } from "../../groups.ts";
import type { RoleBinding } from "../../types.gen.ts";
import {
  BINDING_COLUMNS,
  bindingRow,
  setBindingDefaults,
  validateBinding,
  validateBindingUpdate,
} from "../bindings.ts";

export const roleBindingKind = defineKind<RoleBinding>({
  group: RBAC,
  version: "v1",
  kind: "RoleBinding",
  resource: "rolebindings",
  namespaced: true,
  schemaName: "io.k8s.api.rbac.v1.RoleBinding",
  validateName: validatePathSegmentName,
  defaults: setBindingDefaults,
  validateCreate: (binding) => validateBinding(binding, true),
  validateUpdate: (binding, old) => validateBindingUpdate(binding, old, true),
  columns: BINDING_COLUMNS,
  row: bindingRow,
  strategy: plainStrategy({ allowCreateOnUpdate: true }),
});
