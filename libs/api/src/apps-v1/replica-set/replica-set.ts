// ReplicaSet: keeps a number of pods of one template.
import { defineKind, specStrategy, subresource } from "../../define-kind.ts";
import { SCALE } from "../../groups.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, containerCells, CONTAINERS, formatSelector, NAME, nameOf, wide } from "../../printing.ts";
import type { ReplicaSet } from "../../types.gen.ts";
import { setPodTemplateDefaults } from "../../core-v1/pod-spec/defaults.ts";
import { podNameWarnings, podTemplateWarnings } from "../../core-v1/pod-spec/warnings.ts";
import { droppingDisabledFields } from "../../core-v1/pod-spec/disabled-fields.ts";
import { validateReplicaSet, validateReplicaSetStatus, validateReplicaSetUpdate } from "./validation.ts";

function row(set: ReplicaSet, context: PrintContext): unknown[] {
  return [
    nameOf(set),
    set.spec?.replicas ?? 0,
    set.status?.replicas ?? 0,
    set.status?.readyReplicas ?? 0,
    age(set, context),
    ...containerCells(set.spec?.template?.spec?.containers),
    formatSelector(set.spec?.selector),
  ];
}

export const replicaSetKind = defineKind<ReplicaSet>({
  group: "apps",
  version: "v1",
  kind: "ReplicaSet",
  resource: "replicasets",
  shortNames: ["rs"],
  categories: ["all"],
  namespaced: true,
  schemaName: "io.k8s.api.apps.v1.ReplicaSet",
  hasStatus: true,
  subresources: [subresource("scale", ["get", "patch", "update"], SCALE)],
  scale: {
    replicas: (set) => set.spec?.replicas ?? 0,
    setReplicas(set, replicas) {
      if (set.spec) set.spec.replicas = replicas;
    },
    statusReplicas: (set) => set.status?.replicas ?? 0,
    selector: (set) => formatSelector(set.spec?.selector, ""),
  },
  defaults(set) {
    if (!set.spec) return;
    set.spec.replicas ??= 1;
    setPodTemplateDefaults(set.spec.template);
  },
  validateCreate: validateReplicaSet,
  validateUpdate: validateReplicaSetUpdate,
  validateStatusUpdate: validateReplicaSetStatus,
  strategy: droppingDisabledFields(
    (set) => set.spec?.template,
    specStrategy<ReplicaSet>(() => ({ replicas: 0 }), {
      warnings: (set, old) => [...podNameWarnings(set, old), ...podTemplateWarnings(set, old, set.spec?.template)],
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
  row,
  selectableFields: (set) => ({ "status.replicas": String(set.status?.replicas ?? 0) }),
});
