// What the access reviews have in common: they ask about a resource or about a path, never both, and carry no metadata.
import type { FieldError, ObjectMeta } from "@coxswain/apimachinery";
import { fieldInvalid, fieldRequired } from "@coxswain/apimachinery";
import { sameValue } from "../same-value.ts";
import type { SelfSubjectAccessReviewSpec, SubjectAccessReviewSpec } from "../types.gen.ts";

interface SelectorAttributes {
  rawSelector?: string;
  requirements?: unknown[];
}

function validateSelector(selector: SelectorAttributes | undefined, path: string): FieldError[] {
  if (!selector) return [];
  const raw = selector.rawSelector ?? "";
  const requirements = selector.requirements?.length ?? 0;
  if (raw !== "" && requirements > 0) {
    return [fieldInvalid(`${path}.rawSelector`, raw, "may not specified at the same time as requirements")];
  }
  if (raw === "" && requirements === 0) {
    const detail = `when ${path} is specified, requirements or rawSelector is required`;
    return [fieldRequired(`${path}.requirements`, detail)];
  }
  return [];
}

export function validateAttributes(spec: SelfSubjectAccessReviewSpec): FieldError[] {
  const errors: FieldError[] = [];
  const { resourceAttributes, nonResourceAttributes } = spec;
  if (resourceAttributes && nonResourceAttributes) {
    const detail = "cannot be specified in combination with resourceAttributes";
    errors.push(fieldInvalid("spec.nonResourceAttributes", nonResourceAttributes, detail));
  }
  if (!resourceAttributes && !nonResourceAttributes) {
    const detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
    errors.push(fieldInvalid("spec.resourceAttributes", null, detail));
  }
  return [
    ...errors,
    ...validateSelector(resourceAttributes?.fieldSelector, "spec.resourceAttributes.fieldSelector"),
    ...validateSelector(resourceAttributes?.labelSelector, "spec.resourceAttributes.labelSelector"),
  ];
}

export function validateSubject(spec: SubjectAccessReviewSpec): FieldError[] {
  return spec.user || spec.groups?.length
    ? []
    : [fieldInvalid("spec.user", spec.user ?? "", "at least one of user or group must be specified")];
}

/** Reviews are not objects: their metadata must be empty, `allowed` fields aside. */
export function validateEmptyMeta(meta: ObjectMeta | undefined, detail: string, ...allowed: string[]): FieldError[] {
  const rest = Object.entries(meta ?? {}).filter(([name]) => name !== "managedFields" && !allowed.includes(name));
  return sameValue(Object.fromEntries(rest), {}) ? [] : [fieldInvalid("metadata", meta, detail)];
}
