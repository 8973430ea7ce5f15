// What a ReplicaSet must be: a selector that finds its template's pods and never changes.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldRequired } from "@coxswain/apimachinery";
import type { ReplicaSet } from "../../types.gen.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { validateNonNegative } from "../../validation/numbers.ts";
import { validateReplicaCounts, validateSelectorAndTemplate } from "../pod-template.ts";

export function validateReplicaSet(set: ReplicaSet): FieldError[] {
  const { spec } = set;
  if (!spec) return [fieldRequired("spec.selector", ""), fieldRequired("spec.template", "")];
  return [
    ...validateNonNegative(spec.replicas, "spec.replicas"),
    ...validateNonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateSelectorAndTemplate(spec.selector, spec.template, "spec"),
  ];
}

export function validateReplicaSetUpdate(set: ReplicaSet, old: ReplicaSet): FieldError[] {
  return [
    ...validateReplicaSet(set),
    ...validateImmutableField(set.spec?.selector, old.spec?.selector, "spec.selector"),
  ];
}

const COUNTS = [
  "replicas",
  "fullyLabeledReplicas",
  "readyReplicas",
  "availableReplicas",
  "observedGeneration",
  "terminatingReplicas",
] as const;

export function validateReplicaSetStatus(set: ReplicaSet): FieldError[] {
  const status = set.status ?? { replicas: 0 };
  return [
    ...COUNTS.flatMap((name) => validateNonNegative(status[name], `status.${name}`)),
    ...validateReplicaCounts({ ...status }, ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]),
  ];
}
