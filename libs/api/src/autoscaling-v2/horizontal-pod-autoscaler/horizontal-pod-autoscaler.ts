// HorizontalPodAutoscaler: sets the number of replicas of something by its metrics.
import type { FieldError } from "@coxswain/apimachinery";
import { childPath, fieldInvalid, fieldRequired, indexPath, validatePathSegmentName } from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { CrossVersionObjectReference, HorizontalPodAutoscaler } from "../../types.gen.ts";
import { validateNonNegative } from "../../validation/numbers.ts";
import { setBehaviorDefaults, validateBehavior } from "./behavior.ts";
import { defaultMetrics, withoutFormAnnotations } from "./form-annotations.ts";
import { formatMetrics, validateMetric } from "./metrics.ts";

function setDefaults(autoscaler: HorizontalPodAutoscaler): void {
  const { metadata, spec } = autoscaler;
  const plain = withoutFormAnnotations(metadata);
  if (plain !== undefined && plain !== metadata) autoscaler.metadata = plain;
  if (!spec) return;
  spec.minReplicas ??= 1;
  if (!spec.metrics?.length) spec.metrics = defaultMetrics();
  if (spec.behavior) setBehaviorDefaults(spec.behavior);
}

function validateTargetRef(ref: CrossVersionObjectReference | undefined, path: string): FieldError[] {
  return (["kind", "name"] as const).flatMap((name) => {
    const value = ref?.[name] ?? "";
    const at = childPath(path, name);
    if (value === "") return [fieldRequired(at, "")];
    return validatePathSegmentName(value).map((message) => fieldInvalid(at, value, message));
  });
}

function validate({ spec }: HorizontalPodAutoscaler): FieldError[] {
  const errors: FieldError[] = [];
  const { minReplicas, maxReplicas = 0 } = spec ?? {};
  if (minReplicas !== undefined && minReplicas < 1) {
    errors.push(fieldInvalid("spec.minReplicas", minReplicas, "must be greater than or equal to 1"));
  }
  if (maxReplicas < 1) errors.push(fieldInvalid("spec.maxReplicas", maxReplicas, "must be greater than 0"));
  if (minReplicas !== undefined && maxReplicas < minReplicas) {
    errors.push(fieldInvalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to `minReplicas`"));
  }
  return [
    ...errors,
    ...validateTargetRef(spec?.scaleTargetRef, "spec.scaleTargetRef"),
    ...(spec?.metrics ?? []).flatMap((metric, index) => validateMetric(metric, indexPath("spec.metrics", index))),
    ...validateBehavior(spec?.behavior, "spec.behavior"),
  ];
}

const COLUMNS = [
  NAME,
  column("Reference", "What is scaled."),
  column("Targets", "The metrics, as they are and as they should be."),
  column("MinPods", "The fewest replicas."),
  column("MaxPods", "The most replicas."),
  column("Replicas", "How many replicas there are."),
  AGE,
];

function row(autoscaler: HorizontalPodAutoscaler, context: PrintContext): unknown[] {
  const { spec, status } = autoscaler;
  return [
    nameOf(autoscaler),
    `${spec?.scaleTargetRef?.kind ?? ""}/${spec?.scaleTargetRef?.name ?? ""}`,
    formatMetrics(spec?.metrics, status?.currentMetrics),
    spec?.minReplicas === undefined ? "<unset>" : String(spec.minReplicas),
    spec?.maxReplicas ?? 0,
    status?.currentReplicas ?? 0,
    age(autoscaler, context),
  ];
}

export const horizontalPodAutoscalerKind = defineKind<HorizontalPodAutoscaler>({
  group: "autoscaling",
  version: "v2",
  kind: "HorizontalPodAutoscaler",
  resource: "horizontalpodautoscalers",
  shortNames: ["hpa"],
  categories: ["all"],
  namespaced: true,
  schemaName: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
  hasStatus: true,
  defaults: setDefaults,
  validateCreate: validate,
  validateUpdate: validate,
  validateStatusUpdate: ({ status }) =>
    (["currentReplicas", "desiredReplicas"] as const).flatMap((name) =>
      validateNonNegative(status?.[name], `status.${name}`),
    ),
  strategy: plainStrategy({
    prepareForCreate(autoscaler) {
      autoscaler.status = { desiredReplicas: 0 };
    },
    prepareForUpdate(autoscaler, old) {
      if (old.status === undefined) delete autoscaler.status;
      else autoscaler.status = old.status;
    },
    prepareForStatusUpdate(autoscaler, old) {
      if (old.spec !== undefined) autoscaler.spec = old.spec;
    },
  }),
  columns: COLUMNS,
  row,
});
