// The Deployment controller: carries out one planned step at a time; each change of a ReplicaSet leads to the next.
// Guarantees: ReplicaSets of another controller are never touched; the status is written only after the step's writes.
import { DEPLOYMENTS, REPLICA_SETS, type Deployment, type ReplicaSet } from "@coxswain/api";
import { isReason, labelSelectorAsSelector } from "@coxswain/apimachinery";
import { createController, settleAll, type ReconcileResult } from "@coxswain/controller-runtime";
import { BY_CONTROLLER, ORPHANS, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { executeClaim } from "../ownership/claim.ts";
import { controllerReference, controls, planClaim } from "../ownership/controller-ref.ts";
import { isPodTerminal } from "../pods/pod-state.ts";
import { isNamespaceTerminating } from "../writes/namespace-terminating.ts";
import { updateStatus } from "../writes/update-status.ts";
import { followDeploymentObjects } from "./event-handlers.ts";
import { replicasOf } from "./limits.ts";
import { planDeployment, type DeploymentPlan, type ReplicaSetChange } from "./plan.ts";
import { deadlineInMs, hasProgressDeadline, withCondition } from "./plan-status.ts";
import { findNewReplicaSet, REVISION } from "./revision.ts";
import { sameTemplate } from "./template-hash.ts";

const WORKERS = 5;

/** How long to wait for a cache that is behind, where no event comes. */
const CACHE_LAG_MS = 200;

export function createDeploymentController(context: ControllerContext): ManagedController {
  const logic = new DeploymentLogic(context);
  const controller = createController(
    { name: "deployment-controller", workers: WORKERS, reconcile: (key) => logic.reconcile(key) },
    context,
  );
  followDeploymentObjects(context.caches, controller);
  return { controller };
}

class DeploymentLogic {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  async reconcile(key: string): Promise<ReconcileResult | void> {
    const { caches, client, env } = this.#context;
    const deployment = caches.deployments.lister.get(key);
    if (deployment === undefined) return;
    const replicaSets = await this.#claim(deployment);
    const nowMs = env.clock.now();
    const oldPodsRunning = this.#oldPodsRunning(deployment, replicaSets);
    const plan = planDeployment({ deployment, replicaSets, oldPodsRunning, nowMs });
    if (plan.create !== undefined) {
      if (!(await this.#isCurrent(deployment, replicaSets))) return { requeueAfterMs: CACHE_LAG_MS };
      await this.#create(deployment, plan.create);
    }
    await settleAll(plan.changes.map((change) => this.#change(deployment, change)));
    await settleAll(plan.remove.map((rs) => this.#remove(rs)));
    await updateStatus(client, DEPLOYMENTS, deployment, (now) => statusFrom(now, plan));
    const requeueAfterMs = deadlineInMs(deployment, plan.status, nowMs);
    return requeueAfterMs === undefined ? undefined : { requeueAfterMs };
  }

  #claim(deployment: Deployment): Promise<ReplicaSet[]> {
    const { caches, client } = this.#context;
    const { lister } = caches.replicaSets;
    const candidates = [
      ...lister.byIndex(BY_CONTROLLER, deployment.metadata?.uid ?? ""),
      ...lister.byIndex(ORPHANS, deployment.metadata?.namespace ?? ""),
    ];
    const plan = planClaim(deployment, labelSelectorAsSelector(deployment.spec?.selector), candidates);
    const ownerReference = controllerReference(deployment, "apps/v1", "Deployment");
    return executeClaim(client, { ref: REPLICA_SETS, owner: deployment, ownerRef: DEPLOYMENTS, ownerReference }, plan);
  }

  #oldPodsRunning(deployment: Deployment, replicaSets: readonly ReplicaSet[]): boolean {
    const newRs = findNewReplicaSet(deployment, replicaSets);
    return replicaSets.some(
      (rs) =>
        rs !== newRs &&
        this.#context.caches.pods.lister
          .byIndex(BY_CONTROLLER, rs.metadata?.uid ?? "")
          .some((pod) => !isPodTerminal(pod)),
    );
  }

  /**
   * True where the cache shows the sizes that the server has. An update that goes by an old size is refused for its version;
   * a create has none, and a new ReplicaSet sized beside sizes of the past would surge too far.
   */
  async #isCurrent(deployment: Deployment, cached: readonly ReplicaSet[]): Promise<boolean> {
    const { items } = await this.#context.client.list<ReplicaSet>(REPLICA_SETS, {
      namespace: deployment.metadata?.namespace,
    });
    const sizes = new Map(cached.map((rs) => [rs.metadata?.uid, replicasOf(rs)]));
    return items.filter((rs) => controls(deployment, rs)).every((rs) => sizes.get(rs.metadata?.uid) === replicasOf(rs));
  }

  async #create(deployment: Deployment, rs: ReplicaSet): Promise<void> {
    const name = rs.metadata?.name ?? "";
    try {
      await this.#context.client.create<ReplicaSet>(REPLICA_SETS, rs);
    } catch (error) {
      if (!isReason(error, "AlreadyExists")) return this.#failCreate(deployment, name, error);
      return this.#resolveCollision(deployment, rs);
    }
    if (replicasOf(rs) > 0)
      this.#event(deployment, "ScalingReplicaSet", `Scaled up replica set ${name} from 0 to ${replicasOf(rs)}`);
  }

  /** The name is taken: by our own earlier write that the cache has not shown yet, or by a hash collision. */
  async #resolveCollision(deployment: Deployment, rs: ReplicaSet): Promise<void> {
    const { client } = this.#context;
    const { namespace, name = "" } = rs.metadata ?? {};
    const live = await client.get<ReplicaSet>(REPLICA_SETS, { namespace, name });
    if (controls(deployment, live) && sameTemplate(live.spec?.template ?? {}, rs.spec?.template ?? {})) return;
    const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
    await updateStatus(client, DEPLOYMENTS, deployment, (now) => ({
      ...now,
      status: { ...now.status, collisionCount },
    }));
    throw new Error(`replica set name ${name} is taken by another; collision count is ${collisionCount} now`);
  }

  async #failCreate(deployment: Deployment, name: string, error: unknown): Promise<never> {
    const { client, env } = this.#context;
    if (isNamespaceTerminating(error)) throw error;
    const text = error instanceof Error ? error.message : String(error);
    const message = `Failed to create new replica set "${name}": ${text}`;
    const failed = { type: "Progressing", status: "False", reason: "ReplicaSetCreateError", message } as const;
    if (hasProgressDeadline(deployment)) {
      await updateStatus(client, DEPLOYMENTS, deployment, (now) => {
        const conditions = withCondition(now.status?.conditions ?? [], failed, env.clock.now());
        return { ...now, status: { ...now.status, conditions } };
      });
    }
    this.#event(deployment, "ReplicaSetCreateError", message, "Warning");
    throw error;
  }

  async #change(deployment: Deployment, { from, to }: ReplicaSetChange): Promise<void> {
    await this.#context.client.update(REPLICA_SETS, to);
    const [before, after] = [replicasOf(from), replicasOf(to)];
    if (before === after) return;
    const how = after > before ? "up" : "down";
    const message = `Scaled ${how} replica set ${to.metadata?.name} from ${before} to ${after}`;
    this.#event(deployment, "ScalingReplicaSet", message);
  }

  async #remove(rs: ReplicaSet): Promise<void> {
    const { namespace, name = "", uid } = rs.metadata ?? {};
    try {
      await this.#context.client.delete(
        REPLICA_SETS,
        { namespace, name },
        {
          propagationPolicy: "Background",
          preconditions: { uid },
        },
      );
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }

  #event(deployment: Deployment, reason: string, message: string, type: "Normal" | "Warning" = "Normal"): void {
    this.#context.recorder.event({ ...deployment, apiVersion: "apps/v1", kind: "Deployment" }, type, reason, message);
  }
}

/** The object with the planned status and revision. */
function statusFrom(now: Deployment, plan: DeploymentPlan): Deployment {
  const annotations =
    plan.revision === undefined
      ? now.metadata?.annotations
      : { ...now.metadata?.annotations, [REVISION]: plan.revision };
  return { ...now, metadata: { ...now.metadata, annotations }, status: plan.status };
}
