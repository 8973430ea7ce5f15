// What a Deployment needs next: which ReplicaSet to make, resize or remove, and the status that follows. Pure.
// https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
import type { Deployment, DeploymentStatus, ReplicaSet } from "@coxswain/api";
import { deepClone, deepEqual } from "@coxswain/apimachinery";
import { controllerReference } from "../ownership/controller-ref.ts";
import { isRollingUpdate, replicasOf, rolloutLimits, wantedReplicas } from "./limits.ts";
import {
  isScalingEvent,
  newReplicaSetSize,
  planScale,
  planScaleDown,
  planScaleUp,
  type Sizes,
} from "./plan-scaling.ts";
import {
  condition,
  countStatus,
  hasProgressDeadline,
  isComplete,
  pauseCondition,
  rolloutStatus,
  withCondition,
} from "./plan-status.ts";
import {
  DESIRED_REPLICAS,
  findNewReplicaSet,
  MAX_REPLICAS,
  newReplicaSetAnnotations,
  nextRevision,
  planHistoryCleanup,
  REVISION,
} from "./revision.ts";
import { TEMPLATE_HASH_LABEL, templateHash } from "./template-hash.ts";

export interface DeploymentInput {
  readonly deployment: Deployment;
  /** Those that it owns. */
  readonly replicaSets: readonly ReplicaSet[];
  /** True where pods of old ReplicaSets have not ended yet; only Recreate asks. */
  readonly oldPodsRunning: boolean;
  readonly nowMs: number;
}

export interface ReplicaSetChange {
  readonly from: ReplicaSet;
  readonly to: ReplicaSet;
}

export interface DeploymentPlan {
  /** Without a name collision this becomes the new ReplicaSet. */
  readonly create?: ReplicaSet;
  readonly changes: readonly ReplicaSetChange[];
  readonly remove: readonly ReplicaSet[];
  readonly status: DeploymentStatus;
  /** The revision that the Deployment's annotation should name. */
  readonly revision?: string;
}

/** One step. Its status counts on the changes having been made. */
export function planDeployment(input: DeploymentInput): DeploymentPlan {
  const { deployment, replicaSets, nowMs } = input;
  const pause = pauseCondition(deployment);
  const noted = pause === undefined ? deployment : noteCondition(deployment, pause, nowMs);
  const known = findNewReplicaSet(noted, replicaSets);
  const old = replicaSets.filter((rs) => rs !== known);
  if (deployment.metadata?.deletionTimestamp !== undefined) {
    return { changes: [], remove: [], status: countStatus(noted, replicaSets, known, nowMs) };
  }
  const step: Step = { ...input, deployment: noted, known, old, newRs: known && revised(noted, known, old) };
  const paused = deployment.spec?.paused === true;
  if (paused || isScalingEvent(noted, replicaSets)) return planSync(step, paused);
  return isRollingUpdate(noted) ? planRolling(step) : planRecreate(step);
}

interface Step extends DeploymentInput {
  /** The new ReplicaSet as it is, and as its annotations should be. */
  readonly known: ReplicaSet | undefined;
  readonly newRs: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
}

function noteCondition(deployment: Deployment, next: Parameters<typeof withCondition>[1], nowMs: number): Deployment {
  const conditions = withCondition(deployment.status?.conditions ?? [], next, nowMs);
  return { ...deployment, status: { ...deployment.status, conditions } };
}

function revised(deployment: Deployment, rs: ReplicaSet, old: readonly ReplicaSet[]): ReplicaSet {
  const annotations = newReplicaSetAnnotations(deployment, rs.metadata?.annotations ?? {}, nextRevision(old));
  const minReadySeconds = deployment.spec?.minReadySeconds ?? 0;
  const spec =
    (rs.spec?.minReadySeconds ?? 0) === minReadySeconds ? rs.spec : ({ ...rs.spec, minReadySeconds } as typeof rs.spec);
  return { ...rs, metadata: { ...rs.metadata, annotations }, spec };
}

/** The ReplicaSet for the present template. */
function makeReplicaSet(deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet {
  const { name = "", namespace } = deployment.metadata ?? {};
  const template = deepClone(deployment.spec?.template ?? {});
  const hash = templateHash(template, deployment.status?.collisionCount ?? 0);
  template.metadata = { ...template.metadata, labels: { ...template.metadata?.labels, [TEMPLATE_HASH_LABEL]: hash } };
  const selector = deepClone(deployment.spec?.selector ?? {});
  selector.matchLabels = { ...selector.matchLabels, [TEMPLATE_HASH_LABEL]: hash };
  const { minReadySeconds } = deployment.spec ?? {};
  const rs: ReplicaSet = {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: `${name}-${hash}`,
      namespace,
      labels: { ...template.metadata.labels },
      annotations: newReplicaSetAnnotations(deployment, {}, nextRevision(old)),
      ownerReferences: [controllerReference(deployment, "apps/v1", "Deployment")],
    },
    spec: {
      replicas: newReplicaSetSize(deployment, old, 0),
      selector,
      template,
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
    },
  };
  return sized(deployment, rs, replicasOf(rs));
}

/** With this many replicas, and the annotations by which proportional scaling knows what was before. */
function sized(deployment: Deployment, rs: ReplicaSet, replicas: number): ReplicaSet {
  const wanted = wantedReplicas(deployment);
  const annotations = {
    ...rs.metadata?.annotations,
    [DESIRED_REPLICAS]: String(wanted),
    [MAX_REPLICAS]: String(wanted + rolloutLimits(deployment).maxSurge),
  };
  return { ...rs, metadata: { ...rs.metadata, annotations }, spec: { ...rs.spec, replicas } as ReplicaSet["spec"] };
}

function finish(step: Step, newRs: ReplicaSet | undefined, sizes: Sizes, options: FinishOptions): DeploymentPlan {
  const { deployment, known, old, nowMs } = step;
  const resize = (rs: ReplicaSet): ReplicaSet => {
    const size = sizes.get(rs.metadata?.name ?? "");
    return size === undefined ? rs : sized(deployment, rs, size);
  };
  const after = newRs === undefined ? undefined : resize(newRs);
  const oldAfter = old.map(resize);
  const changes = [
    ...(known === undefined || after === undefined ? [] : [{ from: known, to: after }]),
    ...old.map((from, at) => ({ from, to: oldAfter[at]! })),
  ].filter(({ from, to }) => !deepEqual(from, to));
  const all = after === undefined ? oldAfter : [...oldAfter, after];
  const current = noteNewReplicaSet(step, after);
  const status = options.rollout ? rolloutStatus(current, all, after, nowMs) : countStatus(current, all, after, nowMs);
  const revision = after?.metadata?.annotations?.[REVISION];
  return {
    ...(known === undefined && after !== undefined ? { create: after } : {}),
    changes,
    remove: options.cleanup ? planHistoryCleanup(deployment, old) : [],
    status,
    ...(revision === undefined ? {} : { revision }),
  };
}

interface FinishOptions {
  readonly rollout: boolean;
  readonly cleanup: boolean;
}

/** A rollout begins its deadline when its ReplicaSet is made or found. */
function noteNewReplicaSet({ deployment, known, nowMs }: Step, newRs: ReplicaSet | undefined): Deployment {
  if (newRs === undefined || !hasProgressDeadline(deployment)) return deployment;
  const name = newRs.metadata?.name;
  const progress = { type: "Progressing", status: "True" } as const;
  if (known === undefined) {
    const message = `Created new replica set "${name}"`;
    return noteCondition(deployment, { ...progress, reason: "NewReplicaSetCreated", message }, nowMs);
  }
  if (condition(deployment.status, "Progressing") !== undefined) return deployment;
  const message = `Found new replica set "${name}"`;
  return noteCondition(deployment, { ...progress, reason: "FoundNewReplicaSet", message }, nowMs);
}

/** Scaled or paused: sizes only, no rollout. */
function planSync(step: Step, paused: boolean): DeploymentPlan {
  const { deployment, newRs, old } = step;
  const active = [...old, ...(newRs === undefined ? [] : [newRs])].filter((rs) => replicasOf(rs) > 0);
  // Also those that keep their size note what they were sized for, or every step would look like a scaling.
  const kept = active.map((rs): [string, number] => [rs.metadata?.name ?? "", replicasOf(rs)]);
  const sizes: Sizes = new Map([...kept, ...planScale(deployment, newRs, old)]);
  return finish(step, newRs, sizes, { rollout: false, cleanup: paused });
}

function planRolling(step: Step): DeploymentPlan {
  const { deployment, old } = step;
  const newRs = step.newRs ?? makeReplicaSet(deployment, old);
  const up = step.newRs === undefined ? new Map<string, number>() : planScaleUp(deployment, newRs, old);
  const sizes = up.size > 0 ? up : planScaleDown(deployment, newRs, old);
  const cleanup = sizes.size === 0 && isComplete(deployment, deployment.status ?? {});
  return finish(step, newRs, sizes, { rollout: true, cleanup });
}

function planRecreate(step: Step): DeploymentPlan {
  const { deployment, old, newRs, oldPodsRunning } = step;
  const active = old.filter((rs) => replicasOf(rs) > 0);
  if (active.length > 0) {
    const down: Sizes = new Map(active.map((rs) => [rs.metadata?.name ?? "", 0]));
    return finish(step, newRs, down, { rollout: true, cleanup: false });
  }
  if (oldPodsRunning) return finish(step, newRs, new Map(), { rollout: true, cleanup: false });
  const made = newRs ?? makeReplicaSet(deployment, old);
  const sizes: Sizes = planScale({ ...deployment }, made, []);
  const cleanup = sizes.size === 0 && isComplete(deployment, deployment.status ?? {});
  return finish(step, made, newRs === undefined ? new Map() : sizes, { rollout: true, cleanup });
}
