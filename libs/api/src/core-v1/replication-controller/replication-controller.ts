// ReplicationController: the ReplicaSet of old, with a selector of plain labels.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldRequired } from "@coxswain/apimachinery";
import { defineKind, metaOf, specStrategy, subresource } from "../../define-kind.ts";
import { SCALE } from "../../groups.ts";
import { age, AGE, column, containerCells, CONTAINERS, formatLabels, NAME, nameOf, wide } from "../../printing.ts";
import type { ReplicationController } from "../../types.gen.ts";
import { inOrder } from "../../validation/labels.ts";
import { validateNonNegative } from "../../validation/numbers.ts";
import { validateRunsForGood } from "../../validation/workload-template.ts";
import { validateReplicaCounts } from "../../apps-v1/pod-template.ts";
import { setPodTemplateDefaults } from "../pod-spec/defaults.ts";
import { validatePodTemplate } from "../pod-spec/validation.ts";
import { droppingDisabledFields } from "../pod-spec/disabled-fields.ts";
import { podNameWarnings, podTemplateWarnings } from "../pod-spec/warnings.ts";

function setDefaults(controller: ReplicationController): void {
  const { spec } = controller;
  if (!spec) return;
  const labels = spec.template?.metadata?.labels;
  if (labels) {
    if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
    if (Object.keys(controller.metadata?.labels ?? {}).length === 0) metaOf(controller).labels = { ...labels };
  }
  spec.replicas ??= 1;
  setPodTemplateDefaults(spec.template);
}

function validate({ spec }: ReplicationController): FieldError[] {
  const errors = [
    ...validateNonNegative(spec?.minReadySeconds, "spec.minReadySeconds"),
    ...validateNonNegative(spec?.replicas, "spec.replicas"),
  ];
  const selector = Object.entries(spec?.selector ?? {});
  if (selector.length === 0) errors.push(fieldRequired("spec.selector", ""));
  const template = spec?.template;
  if (!template) return [...errors, fieldRequired("spec.template", "")];
  const labels = template.metadata?.labels ?? {};
  if (selector.some(([key, value]) => labels[key] !== value)) {
    errors.push(
      fieldInvalid(
        "spec.template.metadata.labels",
        inOrder(template.metadata?.labels),
        "`selector` does not match template `labels`",
      ),
    );
  }
  errors.push(...validatePodTemplate(template, "spec.template"));
  return [...errors, ...validateRunsForGood(template, "ReplicationController", "spec.template")];
}

const COUNTS = [
  "replicas",
  "fullyLabeledReplicas",
  "readyReplicas",
  "availableReplicas",
  "observedGeneration",
] as const;

export const replicationControllerKind = defineKind<ReplicationController>({
  group: "",
  version: "v1",
  kind: "ReplicationController",
  resource: "replicationcontrollers",
  shortNames: ["rc"],
  categories: ["all"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.ReplicationController",
  hasStatus: true,
  subresources: [subresource("scale", ["get", "patch", "update"], SCALE)],
  scale: {
    replicas: (controller) => controller.spec?.replicas ?? 0,
    setReplicas(controller, replicas) {
      if (controller.spec) controller.spec.replicas = replicas;
    },
    statusReplicas: (controller) => controller.status?.replicas ?? 0,
    selector: (controller) =>
      Object.entries(controller.spec?.selector ?? {})
        .map(([key, value]) => `${key}=${value}`)
        .toSorted()
        .join(","),
  },
  defaults: setDefaults,
  validateCreate: validate,
  validateUpdate: validate,
  validateStatusUpdate: ({ status = { replicas: 0 } }) => [
    ...COUNTS.flatMap((name) => validateNonNegative(status[name], `status.${name}`)),
    ...validateReplicaCounts({ ...status }, ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]),
  ],
  strategy: droppingDisabledFields(
    (controller) => controller.spec?.template,
    specStrategy<ReplicationController>(() => ({ replicas: 0 }), {
      defaultPropagation: "Orphan",
      warnings: (controller, old) => [
        ...podNameWarnings(controller, old),
        ...podTemplateWarnings(controller, old, controller.spec?.template),
      ],
    }),
  ),
  columns: [
    NAME,
    column("Desired", "How many pods there should be.", "integer"),
    column("Current", "How many pods there are.", "integer"),
    column("Ready", "How many of them are ready.", "integer"),
    AGE,
    ...CONTAINERS,
    wide("Selector", "The labels of its pods."),
  ],
  row: (controller, context) => [
    nameOf(controller),
    controller.spec?.replicas ?? 0,
    controller.status?.replicas ?? 0,
    controller.status?.readyReplicas ?? 0,
    age(controller, context),
    ...containerCells(controller.spec?.template?.spec?.containers),
    formatLabels(controller.spec?.selector),
  ],
  selectableFields: (controller) => ({ "status.replicas": String(controller.status?.replicas ?? 0) }),
});
