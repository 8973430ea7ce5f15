// Values that must be one of a few, and lists whose names must be unique.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldNotSupported, fieldRequired } from "@coxswain/apimachinery";

/** Required, and one of `supported`. */
export function validateEnum(value: string | undefined, supported: readonly string[], path: string): FieldError[] {
  return value ? validateOptionalEnum(value, supported, path) : [fieldRequired(path, "")];
}

/** One of `supported`, where it is there at all. */
export function validateOptionalEnum(
  value: string | undefined,
  supported: readonly string[],
  path: string,
): FieldError[] {
  return value === undefined || supported.includes(value) ? [] : [fieldNotSupported(path, value, supported)];
}

/** The messages of `check` as errors of one field. A value that is absent though it is required is empty, as in Go. */
export function validateWith(check: (text: string) => string[], value: string | undefined, path: string): FieldError[] {
  const text = value ?? "";
  return check(text).map((message) => fieldInvalid(path, text, message));
}

/** Required, and free of messages from `check`. */
export function validateRequiredWith(
  check: (text: string) => string[],
  value: string | undefined,
  path: string,
): FieldError[] {
  return value ? validateWith(check, value, path) : [fieldRequired(path, "")];
}
