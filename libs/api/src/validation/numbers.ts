// Numbers and number-or-percentage values, with upstream's messages.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, validatePercent, validatePortName, validatePortNumber } from "@coxswain/apimachinery";

/** An error where a number is there and below zero. */
export function validateNonNegative(value: number | undefined, path: string): FieldError[] {
  return value !== undefined && value < 0 ? [fieldInvalid(path, value, "must be greater than or equal to 0")] : [];
}

export function validatePositive(value: number | undefined, path: string): FieldError[] {
  return value !== undefined && value <= 0 ? [fieldInvalid(path, value, "must be greater than zero")] : [];
}

/** A count, or a percentage as in "25%". */
export function validateCountOrPercent(value: number | string | undefined, path: string): FieldError[] {
  if (typeof value === "string") return validatePercent(value).map((message) => fieldInvalid(path, value, message));
  return validateNonNegative(value, path);
}

/** The number in a count or a percentage; 0 for text that is neither. */
export function countOrPercentNumber(value: number | string | undefined): number {
  if (typeof value === "string") return /^\d+%$/.test(value) ? Number(value.slice(0, -1)) : 0;
  return value ?? 0;
}

export function validatePort(port: number | undefined, path: string): FieldError[] {
  return validatePortNumber(port ?? 0).map((message) => fieldInvalid(path, port ?? 0, message));
}

/** A port number, or the name of a container's port. */
export function validatePortNumberOrName(port: number | string | undefined, path: string): FieldError[] {
  if (typeof port !== "string") return validatePort(port, path);
  return validatePortName(port).map((message) => fieldInvalid(path, port, message));
}
