// What all workloads ask of a selector and of the pod template that it must find.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  labelSelectorAsSelector,
  validateLabelSelector,
} from "@coxswain/apimachinery";
import { validatePodTemplate } from "../core-v1/pod-spec/validation.ts";
import { inOrder } from "./labels.ts";
import type { LabelSelector, PodTemplateSpec } from "../types.gen.ts";

export function isEmptySelector(selector: LabelSelector): boolean {
  return Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0;
}

/** An error where the labels of the template under `path` are not what the selector looks for; where there is none, nothing is. */
export function validateSelectorMatches(
  selector: LabelSelector | undefined,
  template: PodTemplateSpec | undefined,
  path: string,
): FieldError[] {
  const labels = template?.metadata?.labels;
  if (selector !== undefined && validateLabelSelector(selector, path).length > 0) return [];
  if (labelSelectorAsSelector(selector).matches(labels ?? {})) return [];
  return [
    fieldInvalid(childPath(path, "metadata", "labels"), inOrder(labels), "`selector` does not match template `labels`"),
  ];
}

/** Errors of a spec with selector and template whose pods run for good; `kind` is the owner's. */
export function validateLastingWorkload(
  spec: { selector?: LabelSelector; template?: PodTemplateSpec },
  path: string,
  kind: "DaemonSet" | "StatefulSet",
  checkTemplate: (template: PodTemplateSpec, path: string) => FieldError[] = validatePodTemplate,
): FieldError[] {
  const { selector, template } = spec;
  const at = childPath(path, "template");
  const errors: FieldError[] = [];
  if (selector === undefined) {
    // Upstream misses a DaemonSet's selector only in that its template does not match it.
    if (kind === "StatefulSet") errors.push(fieldRequired(childPath(path, "selector"), ""));
    errors.push(...validateSelectorMatches(selector, template, at));
  } else {
    errors.push(...validateLabelSelector(selector, childPath(path, "selector")));
    if (isEmptySelector(selector))
      errors.push(
        fieldInvalid(childPath(path, "selector"), selector, `empty selector is invalid for ${kind.toLowerCase()}`),
      );
    else errors.push(...validateSelectorMatches(selector, template, at));
  }
  if (template === undefined) return [...errors, fieldRequired(at, "")];
  errors.push(...checkTemplate(template, at));
  return [...errors, ...validateRunsForGood(template, kind, at)];
}

export function validateRunsForGood(template: PodTemplateSpec, kind: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const policy = template.spec?.restartPolicy ?? "";
  if (policy !== "Always") {
    errors.push(fieldNotSupported(childPath(path, "spec", "restartPolicy"), policy, ["Always"]));
  }
  if (template.spec?.activeDeadlineSeconds !== undefined) {
    const detail = `activeDeadlineSeconds in ${kind} is not Supported`;
    errors.push(fieldForbidden(childPath(path, "spec", "activeDeadlineSeconds"), detail));
  }
  return errors;
}
