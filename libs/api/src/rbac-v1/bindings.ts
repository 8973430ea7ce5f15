// What RoleBinding and ClusterRoleBinding have in common: defaults, validation and columns.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  validateDns1123Subdomain,
  validatePathSegmentName,
} from "@coxswain/apimachinery";
import { RBAC } from "../groups.ts";
import type { ColumnDefinition, PrintContext } from "../kind.ts";
import { age, AGE, column, NAME, nameOf, wide } from "../printing.ts";
import { sameValue } from "../same-value.ts";
import type { ClusterRoleBinding, RbacSubject, RoleBinding, RoleRef } from "../types.gen.ts";

type AnyBinding = RoleBinding | ClusterRoleBinding;

export function setBindingDefaults(binding: AnyBinding): void {
  if (binding.roleRef) binding.roleRef.apiGroup ||= RBAC;
  for (const subject of binding.subjects ?? []) {
    if (!subject.apiGroup && (subject.kind === "User" || subject.kind === "Group")) subject.apiGroup = RBAC;
  }
}

function validateSubject(subject: RbacSubject, namespaced: boolean, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!subject.name) errors.push(fieldRequired(childPath(path, "name"), ""));
  const group = subject.apiGroup ?? "";
  switch (subject.kind) {
    case "ServiceAccount":
      for (const message of subject.name ? validateDns1123Subdomain(subject.name) : []) {
        errors.push(fieldInvalid(childPath(path, "name"), subject.name, message));
      }
      if (group !== "") errors.push(fieldNotSupported(childPath(path, "apiGroup"), group, [""]));
      if (!namespaced && !subject.namespace) errors.push(fieldRequired(childPath(path, "namespace"), ""));
      break;
    case "User":
    case "Group":
      if (group !== RBAC) errors.push(fieldNotSupported(childPath(path, "apiGroup"), group, [RBAC]));
      break;
    default:
      errors.push(fieldNotSupported(childPath(path, "kind"), subject.kind ?? "", ["ServiceAccount", "User", "Group"]));
  }
  return errors;
}

function validateRoleRef(ref: Partial<RoleRef>, kinds: readonly string[]): FieldError[] {
  const errors: FieldError[] = [];
  if (ref.apiGroup !== RBAC) errors.push(fieldNotSupported("roleRef.apiGroup", ref.apiGroup ?? "", [RBAC]));
  if (!kinds.includes(ref.kind ?? "")) errors.push(fieldNotSupported("roleRef.kind", ref.kind ?? "", [...kinds]));
  if (!ref.name) errors.push(fieldRequired("roleRef.name", ""));
  else
    for (const message of validatePathSegmentName(ref.name))
      errors.push(fieldInvalid("roleRef.name", ref.name, message));
  return errors;
}

export function validateBinding(binding: AnyBinding, namespaced: boolean): FieldError[] {
  const kinds = namespaced ? ["Role", "ClusterRole"] : ["ClusterRole"];
  return [
    ...validateRoleRef(binding.roleRef ?? {}, kinds),
    ...(binding.subjects ?? []).flatMap((subject, index) =>
      validateSubject(subject, namespaced, indexPath("subjects", index)),
    ),
  ];
}

/** As on create, and the role a binding speaks of never changes. */
export function validateBindingUpdate(binding: AnyBinding, old: AnyBinding, namespaced: boolean): FieldError[] {
  const errors = validateBinding(binding, namespaced);
  if (!sameValue(binding.roleRef, old.roleRef)) {
    errors.push(fieldInvalid("roleRef", binding.roleRef, "cannot change roleRef"));
  }
  return errors;
}

export const BINDING_COLUMNS: readonly ColumnDefinition[] = [
  NAME,
  column("Role", "The role that is granted."),
  AGE,
  wide("Users", "The users it is granted to."),
  wide("Groups", "The groups it is granted to."),
  wide("ServiceAccounts", "The service accounts it is granted to."),
];

export function bindingRow(binding: AnyBinding, context: PrintContext): unknown[] {
  const subjects = binding.subjects ?? [];
  const named = (kind: string) => subjects.filter((s) => s.kind === kind);
  const accounts = named("ServiceAccount").map((s) => (s.namespace ? `${s.namespace}/${s.name}` : s.name));
  return [
    nameOf(binding),
    `${binding.roleRef?.kind}/${binding.roleRef?.name}`,
    age(binding, context),
    named("User")
      .map((s) => s.name)
      .join(", "),
    named("Group")
      .map((s) => s.name)
      .join(", "),
    accounts.join(", "),
  ];
}
