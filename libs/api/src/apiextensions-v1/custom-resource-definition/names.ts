// The names of a custom resource: what the spec must have, and what any name may look like.
import {
  childPath,
  fieldInvalid,
  fieldRequired,
  indexPath,
  validateDns1035Label,
  type FieldError,
} from "@coxswain/apimachinery";
import type { CrdNames } from "../types.ts";

/** Names of the spec: the four that identify the resource are required. */
export function validateSpecNames(names: CrdNames): FieldError[] {
  const required = (["plural", "singular", "kind", "listKind"] as const)
    .filter((name) => !names[name])
    .map((name) => fieldRequired(childPath("spec.names", name), ""));
  return [...required, ...validateNames(names, "spec.names")];
}

/** Names of spec or status; what is absent is fine. */
export function validateNames(names: Partial<CrdNames>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const check = (at: string, value: string | undefined, mixedCase: boolean): void => {
    if (!value) return;
    const messages = validateDns1035Label(mixedCase ? value.toLowerCase() : value);
    if (messages.length === 0) return;
    const prefix = mixedCase ? "may have mixed case, but should otherwise match: " : "";
    errors.push(fieldInvalid(at, value, prefix + messages.join(",")));
  };
  check(childPath(path, "plural"), names.plural, false);
  check(childPath(path, "singular"), names.singular, false);
  check(childPath(path, "kind"), names.kind, true);
  check(childPath(path, "listKind"), names.listKind, true);
  names.shortNames?.forEach((name, index) => check(indexPath(childPath(path, "shortNames"), index), name, false));
  if (names.kind && names.kind === names.listKind) {
    errors.push(fieldInvalid(childPath(path, "listKind"), names.listKind, "kind and listKind may not be the same"));
  }
  names.categories?.forEach((name, index) => check(indexPath(childPath(path, "categories"), index), name, false));
  return errors;
}
