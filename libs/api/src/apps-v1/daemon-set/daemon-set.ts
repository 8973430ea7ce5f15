// DaemonSet: a pod on every node that fits. An annotation counts the versions of its template, as old clients expect.
import { defineKind, metaOf, setGeneration, specStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import {
  age,
  AGE,
  column,
  containerCells,
  CONTAINERS,
  formatLabels,
  formatSelector,
  NAME,
  nameOf,
  wide,
} from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { DaemonSet } from "../../types.gen.ts";
import { setPodTemplateDefaults } from "../../core-v1/pod-spec/defaults.ts";
import { podTemplateWarnings } from "../../core-v1/pod-spec/warnings.ts";
import { droppingDisabledFields } from "../../core-v1/pod-spec/disabled-fields.ts";
import { setTemplateGeneration, templateGeneration } from "./template-generation.ts";
import { validateDaemonSet, validateDaemonSetStatus, validateDaemonSetUpdate } from "./validation.ts";

function setDefaults({ spec }: DaemonSet): void {
  if (!spec) return;
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ||= "RollingUpdate";
  if (spec.updateStrategy.type === "RollingUpdate") {
    spec.updateStrategy.rollingUpdate ??= {};
    spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
    spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
  }
  spec.revisionHistoryLimit ??= 10;
  setPodTemplateDefaults(spec.template);
}

function row(set: DaemonSet, context: PrintContext): unknown[] {
  const { spec, status } = set;
  return [
    nameOf(set),
    status?.desiredNumberScheduled ?? 0,
    status?.currentNumberScheduled ?? 0,
    status?.numberReady ?? 0,
    status?.updatedNumberScheduled ?? 0,
    status?.numberAvailable ?? 0,
    formatLabels(spec?.template?.spec?.nodeSelector),
    age(set, context),
    ...containerCells(spec?.template?.spec?.containers),
    formatSelector(spec?.selector),
  ];
}

const EMPTY_STATUS = { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 };

export const daemonSetKind = defineKind<DaemonSet>({
  group: "apps",
  version: "v1",
  kind: "DaemonSet",
  resource: "daemonsets",
  shortNames: ["ds"],
  categories: ["all"],
  namespaced: true,
  schemaName: "io.k8s.api.apps.v1.DaemonSet",
  hasStatus: true,
  defaults: setDefaults,
  validateCreate: validateDaemonSet,
  validateUpdate: validateDaemonSetUpdate,
  validateStatusUpdate: validateDaemonSetStatus,
  strategy: droppingDisabledFields(
    (set) => set.spec?.template,
    specStrategy<DaemonSet>(() => ({ ...EMPTY_STATUS }), {
      prepareForCreate(set) {
        set.status = { ...EMPTY_STATUS };
        metaOf(set).generation = 1;
        setTemplateGeneration(set, Math.max(templateGeneration(set), 1));
      },
      prepareForUpdate(set, old) {
        set.status = old.status;
        const changed = !sameValue(set.spec?.template, old.spec?.template);
        setTemplateGeneration(set, templateGeneration(old) + (changed ? 1 : 0));
        setGeneration(set, old, !sameValue(set.spec, old.spec));
      },
      prepareForStatusUpdate(set, old) {
        set.spec = old.spec;
        metaOf(set).generation = old.metadata?.generation;
        // The annotation speaks of the spec.
        setTemplateGeneration(set, templateGeneration(old));
      },
      warnings: (set, old) => podTemplateWarnings(set, old, set.spec?.template),
    }),
  ),
  columns: [
    NAME,
    column("Desired", "How many nodes should run the pod.", "integer"),
    column("Current", "How many nodes run it.", "integer"),
    column("Ready", "How many of these are ready.", "integer"),
    column("Up-to-date", "How many have the newest template.", "integer"),
    column("Available", "How many have been ready for long enough.", "integer"),
    column("Node Selector", "The labels of nodes that it goes to."),
    AGE,
    ...CONTAINERS,
    wide("Selector", "The labels of its pods."),
  ],
  row,
});
