// The annotations in which the v1 form of an autoscaler holds what it has no fields for. They belong to that form alone: v2 has
// the fields, and never stores them.
import type { ObjectMeta } from "@coxswain/apimachinery";
import type { MetricSpec } from "../../types.gen.ts";

const PREFIX = "autoscaling.alpha.kubernetes.io";

export const FORM_ANNOTATIONS = {
  metrics: `${PREFIX}/metrics`,
  currentMetrics: `${PREFIX}/current-metrics`,
  conditions: `${PREFIX}/conditions`,
  behavior: `${PREFIX}/behavior`,
  // Of a form that is no longer served.
  scaleUpTolerance: `${PREFIX}/scale-up-tolerance`,
  scaleDownTolerance: `${PREFIX}/scale-down-tolerance`,
} as const;

const KEYS: readonly string[] = Object.values(FORM_ANNOTATIONS);

/** The metadata without those annotations; the same where it has none of them. */
export function withoutFormAnnotations(metadata: ObjectMeta | undefined): ObjectMeta | undefined {
  const annotations = metadata?.annotations;
  if (annotations === undefined || !KEYS.some((key) => Object.hasOwn(annotations, key))) return metadata;
  const kept = Object.entries(annotations).filter(([key]) => !KEYS.includes(key));
  const { annotations: _annotations, ...rest } = metadata!;
  return kept.length === 0 ? rest : { ...rest, annotations: Object.fromEntries(kept) };
}

/** Upstream's, where nothing is said of metrics. */
const DEFAULT_UTILIZATION = 80;

export function defaultMetrics(averageUtilization = DEFAULT_UTILIZATION): MetricSpec[] {
  return [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization } } }];
}
