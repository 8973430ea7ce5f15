// The selector that a Job gets from its UID, so that it never takes over the pods of another.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldRequired, labelSelectorAsSelector, validateLabelSelector } from "@coxswain/apimachinery";
import { inOrder } from "../../validation/labels.ts";
import type { Job } from "../../types.gen.ts";

const LEGACY_UID = "controller-uid";
const LEGACY_NAME = "job-name";
const UID = "batch.kubernetes.io/controller-uid";
const NAME = "batch.kubernetes.io/job-name";

/** Sets labels and selector, in place, unless the user manages them. What the user set stays, for validation to refuse. */
export function generateSelector(job: Job): void {
  const { spec, metadata } = job;
  if (!spec?.template || spec.manualSelector === true) return;
  const { uid = "", name = "" } = metadata ?? {};
  const wanted = { [LEGACY_UID]: uid, [LEGACY_NAME]: name, [UID]: uid, [NAME]: name };
  const template = (spec.template.metadata ??= {});
  template.labels ??= {};
  for (const [key, label] of Object.entries(wanted)) template.labels[key] ??= label;
  spec.selector ??= {};
  spec.selector.matchLabels = { [UID]: uid, ...spec.selector.matchLabels };
}

/** Errors where a generated selector, or the labels that it needs, are not those of this Job. */
export function validateGeneratedSelector(job: Job): FieldError[] {
  const { spec, metadata } = job;
  if (!spec?.selector || spec.manualSelector === true) return [];
  const uid = metadata?.uid ?? "";
  const name = metadata?.name ?? "";
  const errors = uid === "" ? [fieldRequired("metadata.uid", "")] : [];
  const labels = spec.template?.metadata?.labels ?? {};
  const expected: Record<string, string> = { [LEGACY_UID]: uid, [LEGACY_NAME]: name, [UID]: uid, [NAME]: name };
  for (const [key, value] of Object.entries(expected)) {
    const path = `spec.template.metadata.labels[${key}]`;
    const found = labels[key] ?? "";
    if (found === "") errors.push(fieldRequired(path, `must be '${value}'`));
    else if (found !== value) errors.push(fieldInvalid(path, inOrder(labels), `must be '${value}'`));
  }
  const broken = validateLabelSelector(spec.selector, "spec.selector").length > 0;
  if (!broken && !labelSelectorAsSelector(spec.selector).matches(expected)) {
    errors.push(fieldInvalid("spec.selector", spec.selector, "`selector` not auto-generated"));
  }
  return errors;
}
