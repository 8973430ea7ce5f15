// The one message for fields that never change.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid } from "@coxswain/apimachinery";
import { sameValue } from "../same-value.ts";

/** An error where `value` differs from what it was. `field` is a path as in spec.clusterIPs[0]. */
export function validateImmutableField(value: unknown, old: unknown, field: string): FieldError[] {
  return sameValue(value, old) ? [] : [fieldInvalid(field, value ?? null, "field is immutable")];
}
