// What an autoscaler refers to: the thing that it scales, and things that have metrics.
import type { FieldError } from "@coxswain/apimachinery";
import { childPath, fieldInvalid, validatePathSegmentName } from "@coxswain/apimachinery";
import type { CrossVersionObjectReference } from "../../types.gen.ts";
import { validateRequiredWith } from "../../validation/enums.ts";

/** What an apiVersion must be: a group and version, a version at least, or whatever it is. */
export type VersionRule = "group" | "version" | "any";

export function validateApiVersion(
  ref: Partial<CrossVersionObjectReference> | undefined,
  rule: VersionRule,
  path: string,
): FieldError[] {
  const text = ref?.apiVersion ?? "";
  const at = childPath(path, "apiVersion");
  if (rule === "any") return [];
  if (text.split("/").length > 2) return [fieldInvalid(at, text, `unexpected GroupVersion string: ${text}`)];
  const grouped = text.includes("/") && !text.startsWith("/");
  return rule === "group" && !grouped ? [fieldInvalid(at, text, "apiVersion must specify API group")] : [];
}

export function validateReference(
  ref: Partial<CrossVersionObjectReference> | undefined,
  rule: VersionRule,
  path: string,
): FieldError[] {
  return [
    ...validateRequiredWith(validatePathSegmentName, ref?.kind, childPath(path, "kind")),
    ...validateRequiredWith(validatePathSegmentName, ref?.name, childPath(path, "name")),
    ...validateApiVersion(ref, rule, path),
  ];
}
