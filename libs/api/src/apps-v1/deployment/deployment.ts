// Deployment: keeps a number of pods of one template, and rolls from one template to the next. A change of its
// annotations counts as a new generation too, because controllers act on them.
import { defineKind, setGeneration, specStrategy, subresource } from "../../define-kind.ts";
import { SCALE } from "../../groups.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, containerCells, CONTAINERS, formatSelector, NAME, nameOf, wide } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { Deployment } from "../../types.gen.ts";
import { setPodTemplateDefaults } from "../../core-v1/pod-spec/defaults.ts";
import { podNameWarnings, podTemplateWarnings } from "../../core-v1/pod-spec/warnings.ts";
import { droppingDisabledFields } from "../../core-v1/pod-spec/disabled-fields.ts";
import { validateDeployment, validateDeploymentStatus, validateDeploymentUpdate } from "./validation.ts";

function setDefaults(deployment: Deployment): void {
  const spec = deployment.spec;
  if (!spec) return;
  spec.replicas ??= 1;
  spec.strategy ??= {};
  spec.strategy.type ||= "RollingUpdate";
  if (spec.strategy.type === "RollingUpdate") {
    spec.strategy.rollingUpdate ??= {};
    spec.strategy.rollingUpdate.maxUnavailable ??= "25%";
    spec.strategy.rollingUpdate.maxSurge ??= "25%";
  }
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
  setPodTemplateDefaults(spec.template);
}

function row(deployment: Deployment, context: PrintContext): unknown[] {
  const { spec, status } = deployment;
  return [
    nameOf(deployment),
    `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`,
    status?.updatedReplicas ?? 0,
    status?.availableReplicas ?? 0,
    age(deployment, context),
    ...containerCells(spec?.template?.spec?.containers),
    formatSelector(spec?.selector, ""),
  ];
}

export const deploymentKind = defineKind<Deployment>({
  group: "apps",
  version: "v1",
  kind: "Deployment",
  resource: "deployments",
  shortNames: ["deploy"],
  categories: ["all"],
  namespaced: true,
  schemaName: "io.k8s.api.apps.v1.Deployment",
  hasStatus: true,
  subresources: [subresource("scale", ["get", "patch", "update"], SCALE)],
  scale: {
    replicas: (deployment) => deployment.spec?.replicas ?? 0,
    setReplicas(deployment, replicas) {
      if (deployment.spec) deployment.spec.replicas = replicas;
    },
    statusReplicas: (deployment) => deployment.status?.replicas ?? 0,
    selector: (deployment) => formatSelector(deployment.spec?.selector, ""),
  },
  defaults: setDefaults,
  validateCreate: validateDeployment,
  validateUpdate: validateDeploymentUpdate,
  validateStatusUpdate: validateDeploymentStatus,
  strategy: droppingDisabledFields(
    (deployment) => deployment.spec?.template,
    specStrategy<Deployment>(() => ({}), {
      prepareForUpdate(deployment, old) {
        deployment.status = old.status;
        const annotations = [deployment.metadata?.annotations, old.metadata?.annotations] as const;
        setGeneration(deployment, old, !sameValue(deployment.spec, old.spec) || !sameValue(...annotations));
      },
      prepareForStatusUpdate(deployment, old) {
        deployment.spec = old.spec;
        deployment.metadata = {
          ...deployment.metadata,
          labels: old.metadata?.labels,
          generation: old.metadata?.generation,
        };
      },
      warnings: (deployment, old) => [
        ...podNameWarnings(deployment, old),
        ...podTemplateWarnings(deployment, old, deployment.spec?.template),
      ],
    }),
  ),
  columns: [
    NAME,
    column("Ready", "How many of the desired pods are ready."),
    column("Up-to-date", "How many pods have the newest template."),
    column("Available", "How many pods have been ready for long enough."),
    AGE,
    ...CONTAINERS,
    wide("Selector", "The labels of its pods."),
  ],
  row,
});
