// ClusterRoleBinding: grants a cluster role everywhere.
import { validatePathSegmentName } from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import { RBAC } from "../../groups.ts";
import type { ClusterRoleBinding } from "../../types.gen.ts";
import {
  BINDING_COLUMNS,
  bindingRow,
  setBindingDefaults,
  validateBinding,
  validateBindingUpdate,
} from "../bindings.ts";

export const clusterRoleBindingKind = defineKind<ClusterRoleBinding>({
  group: RBAC,
  version: "v1",
  kind: "ClusterRoleBinding",
  resource: "clusterrolebindings",
  namespaced: false,
  schemaName: "io.k8s.api.rbac.v1.ClusterRoleBinding",
  validateName: validatePathSegmentName,
  defaults: setBindingDefaults,
  validateCreate: (binding) => validateBinding(binding, false),
  validateUpdate: (binding, old) => validateBindingUpdate(binding, old, false),
  columns: BINDING_COLUMNS,
  row: bindingRow,
  strategy: plainStrategy({ allowCreateOnUpdate: true }),
});
