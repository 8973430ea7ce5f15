// How pods are written: status and class of service belong to the system, the spec counts generations, and deletion
// waits for the node that runs the pod.
import { formatTime } from "@coxswain/apimachinery";
import { metaOf, setGeneration } from "../../define-kind.ts";
import type { GracefulDeletion, Strategy, StrategyContext } from "../../kind.ts";
import { sameValue } from "../../same-value.ts";
import type { LabelSelector, Pod, PodAffinityTerm, PodCondition } from "../../types.gen.ts";
import { syncAppArmor } from "../pod-spec/app-armor.ts";
import { withoutDisabledFields } from "../pod-spec/disabled-fields.ts";
import { podWarnings } from "../pod-spec/warnings.ts";
import { qosClass } from "./qos.ts";

function withLabels(selector: LabelSelector, pod: Pod, keys: readonly string[], operator: string): void {
  for (const key of keys) {
    const value = pod.metadata?.labels?.[key];
    if (value === undefined) continue;
    selector.matchExpressions = [...(selector.matchExpressions ?? []), { key, operator, values: [value] }];
  }
}

function affinityTerms(pod: Pod): PodAffinityTerm[] {
  const { podAffinity, podAntiAffinity } = pod.spec?.affinity ?? {};
  return [podAffinity, podAntiAffinity].flatMap((affinity) => [
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).flatMap((term) => term.podAffinityTerm ?? []),
  ]);
}

/** Turns matchLabelKeys into the values that this pod has, so that the scheduler need not look at the pod again. */
function resolveLabelKeys(pod: Pod): void {
  for (const term of affinityTerms(pod)) {
    if (!term.labelSelector) continue;
    withLabels(term.labelSelector, pod, term.matchLabelKeys ?? [], "In");
    withLabels(term.labelSelector, pod, term.mismatchLabelKeys ?? [], "NotIn");
  }
  for (const constraint of pod.spec?.topologySpreadConstraints ?? []) {
    if (constraint.labelSelector) withLabels(constraint.labelSelector, pod, constraint.matchLabelKeys ?? [], "In");
  }
}

const GATED: PodCondition = {
  type: "PodScheduled",
  status: "False",
  reason: "SchedulingGated",
  message: "Scheduling is blocked due to non-empty scheduling gates",
};

function prepareForCreate(pod: Pod, { nowMs }: StrategyContext): void {
  if (pod.spec) pod.spec = withoutDisabledFields(pod.spec);
  syncAppArmor(pod);
  metaOf(pod).generation = 1;
  pod.status = { phase: "Pending", qosClass: pod.spec ? qosClass(pod.spec) : "BestEffort" };
  if ((pod.spec?.schedulingGates?.length ?? 0) > 0) {
    pod.status.conditions = [{ ...GATED, lastTransitionTime: formatTime(nowMs) }];
  }
  resolveLabelKeys(pod);
}

/** Old kubelets drop observedGeneration: what was known stays known. Conditions of one type are matched in order. */
function keepObservedGenerations(pod: Pod, old: Pod): void {
  if (pod.status === old.status) return;
  const status = (pod.status ??= {});
  status.observedGeneration ||= old.status?.observedGeneration;
  if (!status.observedGeneration) delete status.observedGeneration;
  const known = [...(old.status?.conditions ?? [])];
  for (const condition of status.conditions ?? []) {
    const index = known.findIndex((candidate) => candidate.type === condition.type);
    if (index < 0) continue;
    const [before] = known.splice(index, 1);
    if (!condition.observedGeneration && before?.observedGeneration) {
      condition.observedGeneration = before.observedGeneration;
    }
  }
}

/** Fields that the declarations which types are made from do not have. */
type WideStatus = NonNullable<Pod["status"]> & { resources?: unknown; allocatedResources?: unknown };
const STATUS_LISTS = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] as const;

/** What features that are off in v1.35 would write: DRAExtendedResource, InPlacePodLevelResourcesVerticalScaling, ResourceHealthStatus. */
function dropDisabledStatus({ status: given }: Pod, { status: before }: Pod): void {
  const status: WideStatus = given ?? {};
  const old: WideStatus = before ?? {};
  if (old.resources === undefined && old.allocatedResources === undefined) {
    delete status.resources;
    delete status.allocatedResources;
  }
  if (old.extendedResourceClaimStatus === undefined) delete status.extendedResourceClaimStatus;
  for (const list of STATUS_LISTS) {
    const statuses = status[list];
    if (!statuses?.some((one) => one.allocatedResourcesStatus !== undefined)) continue;
    status[list] = statuses.map((one) => {
      const kept = { ...one };
      delete kept.allocatedResourcesStatus;
      return kept;
    });
  }
}

function prepareForStatusUpdate(pod: Pod, old: Pod): void {
  pod.spec = old.spec;
  const meta = metaOf(pod);
  meta.ownerReferences = old.metadata?.ownerReferences;
  meta.generation = old.metadata?.generation;
  meta.deletionTimestamp = old.metadata?.deletionTimestamp;
  pod.status ??= {};
  if (old.status?.qosClass) pod.status.qosClass ||= old.status.qosClass;
  keepObservedGenerations(pod, old);
  dropDisabledStatus(pod, old);
}

/** The grace of a deletion: none for a pod that no node runs, or that is over. */
function gracefulDelete(pod: Pod, requestedSeconds: number | undefined): GracefulDeletion {
  const { phase } = pod.status ?? {};
  if (!pod.spec?.nodeName || phase === "Failed" || phase === "Succeeded") return { gracePeriodSeconds: 0 };
  const seconds = requestedSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 0;
  return { gracePeriodSeconds: seconds < 0 ? 1 : seconds };
}

/** The ephemeralcontainers subresource takes over spec.ephemeralContainers and nothing else. */
export function prepareEphemeralContainersUpdate(pod: Pod, old: Pod): void {
  const added = pod.spec?.ephemeralContainers;
  pod.spec = { ...old.spec, containers: old.spec?.containers ?? [], ephemeralContainers: added };
  pod.status = old.status;
  pod.metadata = { ...old.metadata, resourceVersion: pod.metadata?.resourceVersion };
  setGeneration(pod, old, !sameValue(pod.spec, old.spec));
}

export const podStrategy: Strategy<Pod> = {
  prepareForCreate,
  prepareForUpdate(pod, old) {
    if (pod.spec) pod.spec = withoutDisabledFields(pod.spec, old.spec);
    pod.status = old.status;
    setGeneration(pod, old, !sameValue(pod.spec, old.spec));
  },
  prepareForStatusUpdate,
  allowCreateOnUpdate: false,
  allowUnconditionalUpdate: true,
  gracefulDelete,
  defaultPropagation: "Background",
  // People rarely update pods themselves, so only creation warns.
  warnings: (pod, old) => (old ? [] : podWarnings(pod)),
};
