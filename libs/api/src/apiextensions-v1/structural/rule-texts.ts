// The form of x-kubernetes-validations: what rules, messages, reasons and paths may look like. Whether the expressions mean
// something is checked elsewhere.
import {
  childPath,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  type FieldError,
} from "@coxswain/apimachinery";
import type { JsonSchemaProps, ValidationRule } from "../types.ts";
import { resolveFieldPath } from "./field-path.ts";

const REASONS = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

const hasNewlines = (text: string): boolean => /[\n\r]/.test(text);

export function validateRuleTexts(props: JsonSchemaProps, path: string): FieldError[] {
  return (props["x-kubernetes-validations"] ?? []).flatMap((rule, index) => {
    const at = indexPath(childPath(path, "x-kubernetes-validations"), index);
    return [...validateMessage(rule, at), ...validateReasonAndPath(props, rule, at)];
  });
}

function validateMessage(rule: ValidationRule, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const text = (rule.rule ?? "").trim();
  const message = (rule.message ?? "").trim();
  const messageAt = childPath(at, "message");
  if (text === "") errors.push(fieldRequired(childPath(at, "rule"), "rule is not specified"));
  else if (rule.message && message === "") {
    errors.push(fieldInvalid(messageAt, rule.message, "must be non-empty if specified"));
  } else if (hasNewlines(message)) errors.push(fieldInvalid(messageAt, rule.message, "must not contain line breaks"));
  else if (hasNewlines(text) && message === "") {
    errors.push(fieldRequired(messageAt, "message must be specified if rule contains line breaks"));
  }
  if (rule.messageExpression && rule.messageExpression.trim() === "") {
    const detail = "messageExpression must be non-empty if specified";
    errors.push(fieldRequired(childPath(at, "messageExpression"), detail));
  }
  return errors;
}

function validateReasonAndPath(props: JsonSchemaProps, rule: ValidationRule, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (rule.reason !== undefined && !REASONS.includes(rule.reason)) {
    errors.push(fieldNotSupported(childPath(at, "reason"), rule.reason, REASONS));
  }
  const { fieldPath } = rule;
  if (!fieldPath) return errors;
  const pathAt = childPath(at, "fieldPath");
  if (fieldPath.trim() === "") errors.push(fieldInvalid(pathAt, fieldPath, "must be non-empty if specified"));
  if (hasNewlines(fieldPath)) errors.push(fieldInvalid(pathAt, fieldPath, "must not contain line breaks"));
  if ("error" in resolveFieldPath(fieldPath, props, true)) {
    errors.push(fieldInvalid(pathAt, fieldPath, "must be a valid path"));
  }
  return errors;
}
