// Field errors: what validation returns. Wording and order follow upstream's field package, because users read them.
// Paths are plain strings: spec.containers[0].image, metadata.labels[app].
import { quote } from "./quote.ts";

export type FieldErrorType =
  | "FieldValueRequired"
  | "FieldValueInvalid"
  | "FieldValueNotSupported"
  | "FieldValueDuplicate"
  | "FieldValueForbidden"
  | "FieldValueNotFound"
  | "FieldValueTooLong"
  | "FieldValueTooMany"
  | "FieldValueTypeInvalid"
  | "InternalError";

export interface FieldError {
  readonly type: FieldErrorType;
  /** As in spec.containers[0].image. */
  readonly field: string;
  /** All that follows the field, as in `Required value` or `Invalid value: "x": must be …`. */
  readonly detail: string;
}

/** `parent.name`; just `name` at the root (parent ""). */
export function childPath(parent: string, ...names: string[]): string {
  const tail = names.length === 1 ? names[0]! : names.join(".");
  return parent === "" ? tail : `${parent}.${tail}`;
}

/** `parent[3]`. */
export function indexPath(parent: string, index: number): string {
  return `${parent}[${index}]`;
}

/** `parent[key]`. */
export function keyPath(parent: string, key: string): string {
  return `${parent}[${key}]`;
}

export function fieldRequired(field: string, detail = ""): FieldError {
  return { type: "FieldValueRequired", field, detail: body("Required value", detail) };
}

/** Of an error that shows no value. */
export const OMITTED = Symbol("omitted");

export function fieldInvalid(field: string, value: unknown, detail: string): FieldError {
  if (value === OMITTED) return { type: "FieldValueInvalid", field, detail: body("Invalid value", detail) };
  return { type: "FieldValueInvalid", field, detail: body(`Invalid value: ${renderValue(value)}`, detail) };
}

/** The value has the wrong JSON type. */
export function fieldTypeInvalid(field: string, value: unknown, detail: string): FieldError {
  return { type: "FieldValueTypeInvalid", field, detail: body(`Invalid value: ${renderValue(value)}`, detail) };
}

/** `supported` is shown in the order given; upstream mostly sorts it. */
export function fieldNotSupported(field: string, value: unknown, supported: readonly string[]): FieldError {
  const values = supported.map((each) => quote(each)).join(", ");
  const detail = supported.length === 0 ? "" : `supported values: ${values}`;
  return { type: "FieldValueNotSupported", field, detail: body(`Unsupported value: ${renderValue(value)}`, detail) };
}

export function fieldDuplicate(field: string, value: unknown): FieldError {
  return { type: "FieldValueDuplicate", field, detail: `Duplicate value: ${renderValue(value)}` };
}

export function fieldForbidden(field: string, detail: string): FieldError {
  return { type: "FieldValueForbidden", field, detail: body("Forbidden", detail) };
}

export function fieldNotFound(field: string, value: unknown, detail = ""): FieldError {
  return { type: "FieldValueNotFound", field, detail: body(`Not found: ${renderValue(value)}`, detail) };
}

/** The value, which is not shown, exceeds `maxBytes` bytes; negative: no limit is named. */
export function fieldTooLong(field: string, maxBytes: number): FieldError {
  const detail =
    maxBytes < 0 ? "value is too long" : `may not be more than ${maxBytes} ${maxBytes === 1 ? "byte" : "bytes"}`;
  return { type: "FieldValueTooLong", field, detail: body("Too long", detail) };
}

/** A list has `actual` items (negative: not shown) where at most `max` (negative: not named) may be. */
export function fieldTooMany(field: string, actual: number, max: number): FieldError {
  const detail = max < 0 ? "has too many items" : `must have at most ${max} ${max === 1 ? "item" : "items"}`;
  return { type: "FieldValueTooMany", field, detail: body(actual < 0 ? "Too many" : `Too many: ${actual}`, detail) };
}

/** `field: detail`, as users see it. */
export function fieldErrorText(error: FieldError): string {
  return `${error.field}: ${error.detail}`;
}

/** All distinct errors in upstream's aggregate form: one as it is, several as `[a, b]`; "" for none. */
export function fieldErrorsText(errors: readonly FieldError[]): string {
  return aggregateText([...new Set(errors.map((error) => fieldErrorText(error)))]);
}

/** Several messages as upstream puts errors together: one as it is, several as `[a, b]`; "" for none. */
export function aggregateText(texts: readonly string[]): string {
  return texts.length < 2 ? (texts[0] ?? "") : `[${texts.join(", ")}]`;
}

function body(head: string, detail: string): string {
  return detail === "" ? head : `${head}: ${detail}`;
}

/** Strings quoted, all else as JSON; what is absent is null. */
function renderValue(value: unknown): string {
  if (value === undefined || value === null) return "null";
  if (typeof value === "string") return quote(value);
  if (typeof value === "bigint") return value.toString();
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
