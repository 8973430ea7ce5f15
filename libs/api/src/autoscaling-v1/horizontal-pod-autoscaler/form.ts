// The two forms of a HorizontalPodAutoscaler. v1 knows the utilization of CPU alone; what else v2 has travels in annotations, so
// that a v1 client that reads an object and writes it back loses nothing. Their keys and texts are upstream's.
// https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v1/
import type { ObjectMeta } from "@coxswain/apimachinery";
import { horizontalPodAutoscalerKind } from "../../autoscaling-v2/horizontal-pod-autoscaler/horizontal-pod-autoscaler.ts";
import {
  defaultMetrics,
  FORM_ANNOTATIONS,
  withoutFormAnnotations,
} from "../../autoscaling-v2/horizontal-pod-autoscaler/form-annotations.ts";
import type { ServedForm } from "../../kind.ts";
import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerCondition,
  HorizontalPodAutoscalerStatus,
  HorizontalPodAutoscalerStatusV1,
  HorizontalPodAutoscalerV1,
  MetricSpec,
} from "../../types.gen.ts";
import { behaviorOf, behaviorText } from "./behavior-text.ts";
import { flatSpecs, flatStatuses, listOf, nestedSpecs, nestedStatuses } from "./flat-metrics.ts";

const CONDITION_TYPE = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerCondition";

const cpuUtilization = ({ type, resource }: MetricSpec): number | undefined =>
  type === "Resource" && resource?.name === "cpu" ? resource.target?.averageUtilization : undefined;

function statusToV1(status: HorizontalPodAutoscalerStatus): HorizontalPodAutoscalerStatusV1 {
  const { conditions: _conditions, currentMetrics = [], ...rest } = status;
  const made = { ...rest, currentReplicas: rest.currentReplicas ?? 0, desiredReplicas: rest.desiredReplicas ?? 0 };
  const utilization = currentMetrics
    .filter(({ type, resource }) => type === "Resource" && resource?.name === "cpu")
    .findLast(({ resource }) => resource?.current?.averageUtilization !== undefined);
  const percentage = utilization?.resource?.current.averageUtilization;
  return percentage === undefined ? made : { ...made, currentCPUUtilizationPercentage: percentage };
}

/** What v1 has no fields for. */
function annotationsOf({ spec, status }: HorizontalPodAutoscaler): Record<string, string> {
  const made: Record<string, string> = {};
  const others = (spec?.metrics ?? []).filter((metric) => cpuUtilization(metric) === undefined);
  if (others.length > 0) made[FORM_ANNOTATIONS.metrics] = flatSpecs(others);
  if (status?.currentMetrics?.length) made[FORM_ANNOTATIONS.currentMetrics] = flatStatuses(status.currentMetrics);
  if (status?.conditions?.length) made[FORM_ANNOTATIONS.conditions] = JSON.stringify(status.conditions);
  if (spec?.behavior !== undefined) made[FORM_ANNOTATIONS.behavior] = behaviorText(spec.behavior);
  return made;
}

function withAnnotations(metadata: ObjectMeta | undefined, added: Record<string, string>): ObjectMeta | undefined {
  const plain = withoutFormAnnotations(metadata);
  if (Object.keys(added).length === 0) return plain;
  return { ...plain, annotations: { ...plain?.annotations, ...added } };
}

function toV1(stored: HorizontalPodAutoscaler): HorizontalPodAutoscalerV1 {
  const { spec, status, metadata: _metadata, ...rest } = stored;
  const metadata = withAnnotations(stored.metadata, annotationsOf(stored));
  const made: HorizontalPodAutoscalerV1 = metadata === undefined ? rest : { ...rest, metadata };
  if (spec !== undefined) {
    const { metrics = [], behavior: _behavior, ...others } = spec;
    const utilization = metrics.map(cpuUtilization).find((each) => each !== undefined);
    made.spec = utilization === undefined ? others : { ...others, targetCPUUtilizationPercentage: utilization };
  }
  if (status !== undefined) made.status = statusToV1(status);
  return made;
}

function statusToV2(
  status: HorizontalPodAutoscalerStatusV1 | undefined,
  annotations: Readonly<Record<string, string>>,
): HorizontalPodAutoscalerStatus | undefined {
  const conditions = listOf(annotations[FORM_ANNOTATIONS.conditions], CONDITION_TYPE, (condition) => condition) as
    | HorizontalPodAutoscalerCondition[]
    | undefined;
  const metrics = nestedStatuses(annotations[FORM_ANNOTATIONS.currentMetrics]);
  if (status === undefined && conditions === undefined && metrics === undefined) return undefined;
  const { currentCPUUtilizationPercentage: percentage, currentReplicas, ...rest } = status ?? { desiredReplicas: 0 };
  const made: HorizontalPodAutoscalerStatus = { ...rest };
  if (currentReplicas) made.currentReplicas = currentReplicas;
  // The annotation says more than the percentage.
  if (metrics?.length) made.currentMetrics = metrics;
  else if (percentage !== undefined) {
    made.currentMetrics = [
      { type: "Resource", resource: { name: "cpu", current: { averageUtilization: percentage } } },
    ];
  }
  if (conditions?.length) made.conditions = conditions;
  return made;
}

function toV2(object: HorizontalPodAutoscalerV1): HorizontalPodAutoscaler {
  const { spec, status, metadata, ...rest } = object;
  const annotations = metadata?.annotations ?? {};
  const made: HorizontalPodAutoscaler = { ...rest };
  const plain = withoutFormAnnotations(metadata);
  if (plain !== undefined) made.metadata = plain;
  if (spec !== undefined) {
    const { targetCPUUtilizationPercentage: percentage, ...others } = spec;
    const metrics = nestedSpecs(annotations[FORM_ANNOTATIONS.metrics]) ?? [];
    if (percentage !== undefined) metrics.push(...defaultMetrics(percentage));
    made.spec = { ...others, metrics: metrics.length > 0 ? metrics : defaultMetrics() };
    const behavior = behaviorOf(annotations[FORM_ANNOTATIONS.behavior]);
    if (behavior !== undefined) made.spec.behavior = behavior;
  }
  const statusV2 = statusToV2(status, annotations);
  if (statusV2 !== undefined) made.status = statusV2;
  return made;
}

export const autoscalerForm: ServedForm<HorizontalPodAutoscalerV1> = {
  of: horizontalPodAutoscalerKind,
  toStored: (object) => toV2(object),
  fromStored: (object) => toV1(object),
};
