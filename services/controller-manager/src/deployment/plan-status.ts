// A Deployment's status and conditions, with upstream's reasons and messages. Pure.
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from "@coxswain/api";
import { formatTime, parseTime } from "@coxswain/apimachinery";
import { availableOf, replicasOf, rolloutLimits, sumOf, wantedReplicas } from "./limits.ts";

const NO_DEADLINE = 2 ** 31 - 1;

export function hasProgressDeadline(deployment: Deployment): boolean {
  const seconds = deployment.spec?.progressDeadlineSeconds;
  return seconds !== undefined && seconds !== NO_DEADLINE;
}

export function condition(status: DeploymentStatus | undefined, type: string): DeploymentCondition | undefined {
  return status?.conditions?.find((one) => one.type === type);
}

export interface NewCondition {
  readonly type: "Available" | "Progressing" | "ReplicaFailure";
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
}

/** Sets a condition. The same status and reason leave it as it is, so that a message alone never restarts a deadline. */
export function withCondition(
  conditions: readonly DeploymentCondition[],
  next: NewCondition,
  nowMs: number,
): DeploymentCondition[] {
  const known = conditions.find((one) => one.type === next.type);
  if (known?.status === next.status && known.reason === next.reason) return [...conditions];
  const time = formatTime(nowMs);
  const lastTransitionTime = known?.status === next.status ? known.lastTransitionTime : time;
  return [...without(conditions, next.type), { ...next, lastUpdateTime: time, lastTransitionTime }];
}

function without(conditions: readonly DeploymentCondition[], type: string): DeploymentCondition[] {
  return conditions.filter((one) => one.type !== type);
}

/** The counts of the status and its Available condition; the other conditions stay. */
export function countStatus(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  newRs: ReplicaSet | undefined,
  nowMs: number,
): DeploymentStatus {
  const available = sumOf(all, availableOf);
  const wanted = wantedReplicas(deployment);
  const counts: [keyof DeploymentStatus, number][] = [
    ["replicas", sumOf(all, (rs) => rs.status?.replicas ?? 0)],
    ["updatedReplicas", newRs?.status?.replicas ?? 0],
    ["readyReplicas", sumOf(all, (rs) => rs.status?.readyReplicas ?? 0)],
    ["availableReplicas", available],
    ["unavailableReplicas", Math.max(0, sumOf(all, replicasOf) - available)],
  ];
  const enough = available >= wanted - rolloutLimits(deployment).maxUnavailable;
  const conditions = withCondition(
    deployment.status?.conditions ?? [],
    enough
      ? {
          type: "Available",
          status: "True",
          reason: "MinimumReplicasAvailable",
          message: "Deployment has minimum availability.",
        }
      : {
          type: "Available",
          status: "False",
          reason: "MinimumReplicasUnavailable",
          message: "Deployment does not have minimum availability.",
        },
    nowMs,
  );
  const { collisionCount } = deployment.status ?? {};
  // Known only where every ReplicaSet tells.
  const tells = all.every((rs) => rs.status?.terminatingReplicas !== undefined);
  return {
    observedGeneration: deployment.metadata?.generation ?? 0,
    ...(tells ? { terminatingReplicas: sumOf(all, (rs) => rs.status?.terminatingReplicas ?? 0) } : {}),
    ...Object.fromEntries(counts.filter(([, count]) => count > 0)),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    conditions,
  };
}

export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const wanted = wantedReplicas(deployment);
  return (
    (status.updatedReplicas ?? 0) === wanted &&
    (status.replicas ?? 0) === wanted &&
    (status.availableReplicas ?? 0) === wanted &&
    (status.observedGeneration ?? 0) >= (deployment.metadata?.generation ?? 0)
  );
}

function isProgressing(old: DeploymentStatus, now: DeploymentStatus): boolean {
  const outdated = (status: DeploymentStatus): number => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (now.updatedReplicas ?? 0) > (old.updatedReplicas ?? 0) ||
    outdated(now) < outdated(old) ||
    (now.readyReplicas ?? 0) > (old.readyReplicas ?? 0) ||
    (now.availableReplicas ?? 0) > (old.availableReplicas ?? 0)
  );
}

function hasTimedOut(deployment: Deployment, status: DeploymentStatus, nowMs: number): boolean {
  const progressing = condition(status, "Progressing");
  if (progressing === undefined || progressing.reason === "NewReplicaSetAvailable") return false;
  if (progressing.reason === "ProgressDeadlineExceeded") return true;
  const from = parseTime(progressing.lastUpdateTime) ?? nowMs;
  return from + (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000 < nowMs;
}

function progressCondition(
  deployment: Deployment,
  status: DeploymentStatus,
  newRs: ReplicaSet | undefined,
  nowMs: number,
): NewCondition | undefined {
  const subject =
    newRs === undefined ? `Deployment "${deployment.metadata?.name}"` : `ReplicaSet "${newRs.metadata?.name}"`;
  if (isComplete(deployment, status)) {
    const message = `${subject} has successfully progressed.`;
    return { type: "Progressing", status: "True", reason: "NewReplicaSetAvailable", message };
  }
  if (isProgressing(deployment.status ?? {}, status)) {
    return { type: "Progressing", status: "True", reason: "ReplicaSetUpdated", message: `${subject} is progressing.` };
  }
  if (hasTimedOut(deployment, status, nowMs)) {
    const message = `${subject} has timed out progressing.`;
    return { type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded", message };
  }
  return undefined;
}

/** Progress restarts the deadline even where the reason stays the same. */
function renewed(conditions: readonly DeploymentCondition[], next: NewCondition, nowMs: number): DeploymentCondition[] {
  if (next.reason !== "ReplicaSetUpdated") return withCondition(conditions, next, nowMs);
  const known = conditions.find((one) => one.type === next.type);
  const time = formatTime(nowMs);
  const lastTransitionTime = known?.status === next.status ? known.lastTransitionTime : time;
  return [...without(conditions, next.type), { ...next, lastUpdateTime: time, lastTransitionTime }];
}

function replicaFailure(all: readonly ReplicaSet[], newRs: ReplicaSet | undefined): NewCondition | undefined {
  const failureOf = (rs: ReplicaSet | undefined) =>
    rs?.status?.conditions?.find((one) => one.type === "ReplicaFailure" && one.status === "True");
  const failure = failureOf(newRs) ?? all.map(failureOf).find((one) => one !== undefined);
  if (failure === undefined) return undefined;
  return { type: "ReplicaFailure", status: "True", reason: failure.reason ?? "", message: failure.message ?? "" };
}

/** The status while a rollout goes on: counts, progress, and failures of ReplicaSets. */
export function rolloutStatus(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  newRs: ReplicaSet | undefined,
  nowMs: number,
): DeploymentStatus {
  const status = countStatus(deployment, all, newRs, nowMs);
  let conditions = status.conditions ?? [];
  if (!hasProgressDeadline(deployment)) conditions = without(conditions, "Progressing");
  const current = condition(deployment.status, "Progressing");
  const settled =
    (status.replicas ?? 0) === (status.updatedReplicas ?? 0) && current?.reason === "NewReplicaSetAvailable";
  if (hasProgressDeadline(deployment) && !settled) {
    const progress = progressCondition(deployment, status, newRs, nowMs);
    if (progress !== undefined) conditions = renewed(conditions, progress, nowMs);
  }
  const failure = replicaFailure(all, newRs);
  conditions =
    failure === undefined ? without(conditions, "ReplicaFailure") : withCondition(conditions, failure, nowMs);
  return { ...status, conditions };
}

/** Ms until the rollout would time out; undefined where it cannot. Look again then. */
export function deadlineInMs(deployment: Deployment, status: DeploymentStatus, nowMs: number): number | undefined {
  const progressing = condition(status, "Progressing");
  if (!hasProgressDeadline(deployment) || progressing === undefined) return undefined;
  if (isComplete(deployment, status) || progressing.reason === "ProgressDeadlineExceeded") return undefined;
  const from = parseTime(progressing.lastUpdateTime) ?? nowMs;
  // A second more: times in conditions are cut to seconds.
  return Math.max(0, from + (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000 - nowMs) + 1000;
}

/** Notes pausing and resuming, which stop and restart the deadline. */
export function pauseCondition(deployment: Deployment): NewCondition | undefined {
  if (!hasProgressDeadline(deployment)) return undefined;
  const reason = condition(deployment.status, "Progressing")?.reason;
  if (reason === "ProgressDeadlineExceeded") return undefined;
  if (deployment.spec?.paused === true && reason !== "DeploymentPaused") {
    return { type: "Progressing", status: "Unknown", reason: "DeploymentPaused", message: "Deployment is paused" };
  }
  if (deployment.spec?.paused !== true && reason === "DeploymentPaused") {
    return { type: "Progressing", status: "Unknown", reason: "DeploymentResumed", message: "Deployment is resumed" };
  }
  return undefined;
}
