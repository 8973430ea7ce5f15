// HorizontalPodAutoscaler: sets the number of replicas of something by its metrics.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, indexPath } from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { HorizontalPodAutoscaler } from "../../types.gen.ts";
import { validateNonNegative } from "../../validation/numbers.ts";
import { setBehaviorDefaults, validateBehavior } from "./behavior.ts";
import { defaultMetrics, withoutFormAnnotations } from "./form-annotations.ts";
import { validateApiVersion, validateReference } from "./object-reference.ts";
import { formatMetrics, validateMetric } from "./metrics.ts";

type Spec = HorizontalPodAutoscaler["spec"];

function setDefaults(autoscaler: HorizontalPodAutoscaler): void {
  const { metadata, spec } = autoscaler;
  const plain = withoutFormAnnotations(metadata);
  if (plain !== undefined && plain !== metadata) autoscaler.metadata = plain;
  if (!spec) return;
  spec.minReplicas ??= 1;
  if (!spec.metrics?.length) spec.metrics = defaultMetrics();
  if (spec.behavior) setBehaviorDefaults(spec.behavior);
}

/** What is scaled is of a group, as it was before it was looked at, or a ReplicationController. */
function validateTarget(spec: Spec, old: Spec): FieldError[] {
  const [ref, before] = [spec?.scaleTargetRef, old?.scaleTargetRef];
  const same = before !== undefined && before.apiVersion === ref?.apiVersion && before.kind === ref?.kind;
  const rule = same ? "any" : ref?.kind === "ReplicationController" ? "version" : "group";
  return validateReference(ref, rule, "spec.scaleTargetRef");
}

function validate({ spec }: HorizontalPodAutoscaler, old?: HorizontalPodAutoscaler): FieldError[] {
  const errors: FieldError[] = [];
  const { minReplicas, maxReplicas = 0 } = spec ?? {};
  if (minReplicas !== undefined && minReplicas < 1) {
    errors.push(fieldInvalid("spec.minReplicas", minReplicas, "must be greater than or equal to 1"));
  }
  if (maxReplicas < 1) errors.push(fieldInvalid("spec.maxReplicas", maxReplicas, "must be greater than 0"));
  if (minReplicas !== undefined && maxReplicas < minReplicas) {
    errors.push(fieldInvalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to `minReplicas`"));
  }
  // Where one of the metrics was wrong before, none is looked at.
  const known = (old?.spec?.metrics ?? []).some(
    ({ type, object }) =>
      type === "Object" && object && validateApiVersion(object.describedObject, "version", "").length > 0,
  );
  return [
    ...errors,
    ...validateTarget(spec, old?.spec),
    ...(spec?.metrics ?? []).flatMap((metric, index) =>
      validateMetric(metric, known ? "any" : "version", indexPath("spec.metrics", index)),
    ),
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
  validateCreate: (autoscaler) => validate(autoscaler),
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
