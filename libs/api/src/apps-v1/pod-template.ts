// What Deployment and ReplicaSet ask of a pod template and of the selector that finds its pods.
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
import { inOrder } from "../validation/labels.ts";
import type { LabelSelector, PodTemplateSpec } from "../types.gen.ts";

function isEmpty(selector: LabelSelector): boolean {
  return Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0;
}

function validateTemplate(template: PodTemplateSpec | undefined, matches: boolean, path: string): FieldError[] {
  if (!template) return [fieldRequired(path, "")];
  const errors: FieldError[] = [];
  if (!matches) {
    const labels = template.metadata?.labels;
    errors.push(
      fieldInvalid(
        childPath(path, "metadata", "labels"),
        inOrder(labels),
        "`selector` does not match template `labels`",
      ),
    );
  }
  errors.push(...validatePodTemplate(template, path));
  const restartPolicy = template.spec?.restartPolicy ?? "";
  if (restartPolicy !== "Always") {
    errors.push(fieldNotSupported(childPath(path, "spec", "restartPolicy"), restartPolicy, ["Always"]));
  }
  if (template.spec?.activeDeadlineSeconds !== undefined) {
    const detail = "activeDeadlineSeconds in ReplicaSet is not Supported";
    errors.push(fieldForbidden(childPath(path, "spec", "activeDeadlineSeconds"), detail));
  }
  return errors;
}

/** Errors of `selector` and `template`, which stand under `path`. */
export function validateSelectorAndTemplate(
  selector: LabelSelector | undefined,
  template: PodTemplateSpec | undefined,
  path: string,
): FieldError[] {
  const at = childPath(path, "selector");
  if (!selector) return [fieldRequired(at, ""), ...validateTemplate(template, false, childPath(path, "template"))];
  const errors = validateLabelSelector(selector, at);
  if (errors.length > 0) return [...errors, fieldInvalid(at, selector, "invalid label selector")];
  const empty = isEmpty(selector);
  if (empty) errors.push(fieldInvalid(at, selector, "empty selector is invalid for deployment"));
  const matches = empty || labelSelectorAsSelector(selector).matches(template?.metadata?.labels ?? {});
  return [...errors, ...validateTemplate(template, matches, childPath(path, "template"))];
}

/** Errors where one of the counts of `status` is above its number of replicas, or more are available than ready. */
export function validateReplicaCounts(
  status: Partial<Record<string, unknown>>,
  names: readonly string[],
  ready = "readyReplicas",
): FieldError[] {
  const count = (name: string) => Number(status[name] ?? 0);
  const errors = names
    .filter((name) => count(name) > count("replicas"))
    .map((name) => fieldInvalid(`status.${name}`, count(name), "cannot be greater than status.replicas"));
  if (count("availableReplicas") > count("readyReplicas")) {
    const detail = `cannot be greater than ${ready}`;
    errors.push(fieldInvalid("status.availableReplicas", count("availableReplicas"), detail));
  }
  return errors;
}
