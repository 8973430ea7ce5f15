// StatefulSet: pods with names and volumes of their own, made and replaced in order.
import { validateDns1123Label } from "@coxswain/apimachinery";
import { defineKind, specStrategy, subresource } from "../../define-kind.ts";
import { SCALE } from "../../groups.ts";
import { age, AGE, column, containerCells, CONTAINERS, formatSelector, NAME, nameOf } from "../../printing.ts";
import type { StatefulSet } from "../../types.gen.ts";
import { setClaimDefaults } from "../../core-v1/persistent-volume-claim/defaults.ts";
import { setPodTemplateDefaults } from "../../core-v1/pod-spec/defaults.ts";
import { claimSpecWarnings } from "../../core-v1/persistent-volume-claim/warnings.ts";
import { podTemplateWarnings } from "../../core-v1/pod-spec/warnings.ts";
import { droppingDisabledFields } from "../../core-v1/pod-spec/disabled-fields.ts";
import { validateNewStatefulSet, validateStatefulSetStatus, validateStatefulSetUpdate } from "./validation.ts";

function setDefaults({ spec }: StatefulSet): void {
  if (!spec) return;
  spec.podManagementPolicy ||= "OrderedReady";
  spec.updateStrategy ??= {};
  // Upstream's own: who names the type and no more gets no more.
  if (!spec.updateStrategy.type) {
    spec.updateStrategy.type = "RollingUpdate";
    spec.updateStrategy.rollingUpdate ??= {};
  }
  if (spec.updateStrategy.type === "RollingUpdate" && spec.updateStrategy.rollingUpdate) {
    spec.updateStrategy.rollingUpdate.partition ??= 0;
    spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
  }
  spec.persistentVolumeClaimRetentionPolicy ??= {};
  spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= "Retain";
  spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= "Retain";
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  setPodTemplateDefaults(spec.template);
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion = "v1";
    claim.kind = "PersistentVolumeClaim";
    setClaimDefaults(claim);
  }
}

function warnings(set: StatefulSet, old: StatefulSet | undefined): string[] {
  const { template, volumeClaimTemplates = [], revisionHistoryLimit = 0 } = set.spec ?? {};
  const found = podTemplateWarnings(set, old, template);
  for (const [index, claim] of volumeClaimTemplates.entries()) {
    // Upstream's own path, once there is an old set.
    const path = `spec.volumeClaimTemplates[${index}]${old === undefined ? "" : ".Spec"}`;
    found.push(...claimSpecWarnings(claim.spec, path));
  }
  if (revisionHistoryLimit < 0) {
    found.push(
      "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended",
    );
  }
  return found;
}

export const statefulSetKind = defineKind<StatefulSet>({
  group: "apps",
  version: "v1",
  kind: "StatefulSet",
  resource: "statefulsets",
  shortNames: ["sts"],
  categories: ["all"],
  namespaced: true,
  schemaName: "io.k8s.api.apps.v1.StatefulSet",
  validateName: (name) => validateDns1123Label(name),
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
  defaults: setDefaults,
  validateCreate: validateNewStatefulSet,
  validateUpdate: validateStatefulSetUpdate,
  validateStatusUpdate: validateStatefulSetStatus,
  strategy: droppingDisabledFields(
    (set) => set.spec?.template,
    specStrategy<StatefulSet>(() => ({ replicas: 0, availableReplicas: 0 }), {
      warnings,
    }),
  ),
  columns: [NAME, column("Ready", "How many of the desired pods are ready."), AGE, ...CONTAINERS],
  row: (set, context) => [
    nameOf(set),
    `${set.status?.readyReplicas ?? 0}/${set.spec?.replicas ?? 0}`,
    age(set, context),
    ...containerCells(set.spec?.template?.spec?.containers),
  ],
});
