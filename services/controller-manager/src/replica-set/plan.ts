// What a ReplicaSet needs: pods to make or to delete, and its status. Pure.
import type { Pod, ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from "@coxswain/api";
import { deepClone, formatTime, parseTime, selectorFromLabels } from "@coxswain/apimachinery";
import { controllerReference } from "../ownership/controller-ref.ts";
import { availableInMs, isPodReady } from "../pods/pod-state.ts";
import { choosePodsToDelete } from "../pods/deletion-order.ts";

/** At most so many pods are made or deleted in one go. */
export const BURST_REPLICAS = 500;

export interface ReplicaPlan {
  readonly create: number;
  readonly remove: Pod[];
}

/** `pods` are the active pods that the ReplicaSet owns, `related` those of its whole Deployment: asked for where some go. */
export function planReplicas(
  rs: ReplicaSet,
  pods: readonly Pod[],
  related: () => readonly Pod[],
  nowMs: number,
): ReplicaPlan {
  const surplus = pods.length - (rs.spec?.replicas ?? 1);
  if (surplus <= 0) return { create: Math.min(-surplus, BURST_REPLICAS), remove: [] };
  return { create: 0, remove: choosePodsToDelete(pods, related(), Math.min(surplus, BURST_REPLICAS), nowMs) };
}

/**
 * How old each ready pod of the chosen ones is, measured by the youngest ready one, in whole times. Tells how evenly the ages are
 * spread that a smaller number of replicas takes away.
 */
export function ageRatios(pods: readonly Pod[], chosen: readonly Pod[], nowMs: number): number[] {
  const age = ({ metadata }: Pod): number => nowMs - (parseTime(metadata?.creationTimestamp) ?? nowMs);
  const youngest = Math.min(...pods.filter(isPodReady).map(age));
  return youngest <= 0 ? [] : chosen.filter(isPodReady).map((pod) => Math.floor(age(pod) / youngest));
}

/** A pod from the template; it still lacks a name. */
export function podFromTemplate(
  rs: ReplicaSet,
  { apiVersion, kind }: { readonly apiVersion: string; readonly kind: string },
): Pod {
  const template = rs.spec?.template ?? {};
  const { labels, annotations, finalizers } = deepClone(template.metadata ?? {});
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      generateName: `${rs.metadata?.name ?? ""}-`,
      namespace: rs.metadata?.namespace,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [controllerReference(rs, apiVersion, kind)],
    },
    spec: deepClone(template.spec),
  };
}

export interface ReplicaFailure {
  readonly reason: "FailedCreate" | "FailedDelete";
  readonly message: string;
}

function conditionsAfter(
  before: readonly ReplicaSetCondition[],
  failure: ReplicaFailure | undefined,
  nowMs: number,
): ReplicaSetCondition[] {
  const others = before.filter((condition) => condition.type !== "ReplicaFailure");
  const known = before.find((condition) => condition.type === "ReplicaFailure");
  if (failure === undefined) return others;
  if (known !== undefined) return [...before];
  return [...others, { type: "ReplicaFailure", status: "True", lastTransitionTime: formatTime(nowMs), ...failure }];
}

/**
 * The status that the pods give. `failure` is what hindered the last attempt to make or delete some, `terminating` how many others
 * are on their way out; undefined for kinds that do not tell.
 */
export function planReplicaSetStatus(
  rs: ReplicaSet,
  pods: readonly Pod[],
  failure: ReplicaFailure | undefined,
  nowMs: number,
  terminating?: number,
): ReplicaSetStatus {
  const template = selectorFromLabels(rs.spec?.template?.metadata?.labels);
  const minReadySeconds = rs.spec?.minReadySeconds ?? 0;
  const count = (test: (pod: Pod) => boolean): number => pods.filter(test).length;
  const positive = (name: string, value: number): object => (value === 0 ? {} : { [name]: value });
  const conditions = conditionsAfter(rs.status?.conditions ?? [], failure, nowMs);
  return {
    replicas: pods.length,
    ...positive(
      "fullyLabeledReplicas",
      count((pod) => template.matches(pod.metadata?.labels)),
    ),
    ...positive("readyReplicas", count(isPodReady)),
    ...positive(
      "availableReplicas",
      count((pod) => availableInMs(pod, minReadySeconds, nowMs) === 0),
    ),
    ...(terminating === undefined ? {} : { terminatingReplicas: terminating }),
    observedGeneration: rs.metadata?.generation ?? 0,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

/** Ms until the next ready pod becomes available by minReadySeconds; undefined where none is waiting. */
export function nextAvailableMs(rs: ReplicaSet, pods: readonly Pod[], nowMs: number): number | undefined {
  const minReadySeconds = rs.spec?.minReadySeconds ?? 0;
  if (minReadySeconds === 0) return undefined;
  const waits = pods.map((pod) => availableInMs(pod, minReadySeconds, nowMs) ?? 0).filter((ms) => ms > 0);
  return waits.length === 0 ? undefined : Math.min(...waits);
}
