// Field errors: what validation returns. Wording and order follow upstream's field package, because users read them.

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
