// The ReplicaSet controller, which runs ReplicationControllers too: keeps as many pods as are asked for. Guarantees:
// - While the cache has not shown its own last writes, it neither makes nor deletes pods.
// - A create whose outcome is unknown counts as made until the cache or the expectation's end tells otherwise.
import { PODS, type Pod, type ReplicaSet } from "@coxswain/api";
import { labelSelectorAsSelector } from "@coxswain/apimachinery";
import {
  createController,
  createExpectations,
  type Expectations,
  type ReconcileResult,
} from "@coxswain/controller-runtime";
import { BY_CONTROLLER, ORPHANS, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { executeClaim } from "../ownership/claim.ts";
import { controllerReference, planClaim } from "../ownership/controller-ref.ts";
import { isPodActive, isPodTerminating } from "../pods/pod-state.ts";
import { createPods, removePods, type OwnedPodsDeps, type PodWrites } from "../writes/owned-pods.ts";
import { followReplicaSetPods } from "./event-handlers.ts";
import { replicationControllers, type ReplicaKind, replicaSets } from "./replica-kinds.ts";
import {
  ageRatios,
  nextAvailableMs,
  planReplicas,
  planReplicaSetStatus,
  podFromTemplate,
  type ReplicaFailure,
} from "./plan.ts";

const WORKERS = 5;
const AGE_RATIO_BUCKETS = [0.25, 0.5, 1, 2, 4, 8];

export function createReplicaSetController(context: ControllerContext): ManagedController {
  return createFor(context, replicaSets(context));
}

export function createReplicationControllerController(context: ControllerContext): ManagedController {
  return createFor(context, replicationControllers(context));
}

function createFor(context: ControllerContext, type: ReplicaKind): ManagedController {
  const expectations = createExpectations(context);
  const logic = new ReplicaSetLogic(context, type, expectations);
  const controller = createController(
    { name: type.controllerName, workers: WORKERS, reconcile: (key, signal) => logic.reconcile(key, signal) },
    context,
  );
  followReplicaSetPods(context.caches, type, controller, expectations);
  return { controller };
}

class ReplicaSetLogic {
  readonly #context: ControllerContext;
  readonly #type: ReplicaKind;
  readonly #expectations: Expectations;
  readonly #ageRatio;

  constructor(context: ControllerContext, type: ReplicaKind, expectations: Expectations) {
    this.#context = context;
    this.#type = type;
    this.#expectations = expectations;
    this.#ageRatio = context.metrics.histogram(
      "replicaset_controller_sorting_deletion_age_ratio",
      "How many times as old as the youngest ready pod those are that go.",
      AGE_RATIO_BUCKETS,
    );
  }

  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { env } = this.#context;
    const rs = this.#type.get(key);
    if (rs === undefined) return;
    const uid = rs.metadata?.uid ?? "";
    const satisfied = this.#expectations.satisfied(uid);
    const claimed = await this.#claim(rs);
    const owned = claimed.filter(isPodActive);
    let failure: ReplicaFailure | undefined;
    let problem: Error | undefined;
    if (satisfied && rs.metadata?.deletionTimestamp === undefined) {
      ({ failure, problem } = await this.#manage(rs, owned, signal));
    } else failure = keptFailure(rs);
    const nowMs = env.clock.now();
    await this.#type.writeStatus(key, (now) =>
      planReplicaSetStatus(
        { ...now, metadata: { ...now.metadata, generation: rs.metadata?.generation } },
        owned,
        failure,
        nowMs,
        this.#type.kind === "ReplicaSet" ? claimed.filter(isPodTerminating).length : undefined,
      ),
    );
    if (problem !== undefined) throw problem;
    const waits = [nextAvailableMs(rs, owned, nowMs), this.#expectations.expiresInMs(uid) || undefined];
    const next = waits.filter((ms) => ms !== undefined);
    return next.length === 0 ? undefined : { requeueAfterMs: Math.min(...next) + 1 };
  }

  #claim(rs: ReplicaSet): Promise<Pod[]> {
    const { caches, client } = this.#context;
    const { lister } = caches.pods;
    const candidates = [
      ...lister.byIndex(BY_CONTROLLER, rs.metadata?.uid ?? ""),
      ...lister.byIndex(ORPHANS, rs.metadata?.namespace ?? ""),
    ];
    const plan = planClaim(rs, labelSelectorAsSelector(rs.spec?.selector), candidates, isPodActive);
    const { apiVersion, kind, ref } = this.#type;
    const ownerReference = controllerReference(rs, apiVersion, kind);
    return executeClaim(client, { ref: PODS, owner: rs, ownerRef: ref, ownerReference }, plan);
  }

  async #manage(rs: ReplicaSet, pods: readonly Pod[], signal: AbortSignal): Promise<Managed> {
    const nowMs = this.#context.env.clock.now();
    const plan = planReplicas(rs, pods, () => this.#related(rs), nowMs);
    if (plan.create > 0) return this.#create(rs, plan.create, signal);
    if (plan.remove.length === 0) return {};
    // Where all go nothing was chosen.
    const chosen = plan.remove.length < pods.length ? plan.remove : [];
    for (const ratio of ageRatios(pods, chosen, nowMs)) this.#ageRatio.observe(ratio);
    return this.#remove(rs, plan.remove, signal);
  }

  /** The active pods of all ReplicaSets of the same Deployment. */
  #related(rs: ReplicaSet): Pod[] {
    const { pods } = this.#context.caches;
    return this.#type
      .siblings(rs)
      .flatMap((sibling) => pods.lister.byIndex(BY_CONTROLLER, sibling.metadata?.uid ?? ""))
      .filter(isPodActive);
  }

  async #create(rs: ReplicaSet, count: number, signal: AbortSignal): Promise<Managed> {
    const pods = Array.from({ length: count }, () => podFromTemplate(rs, this.#type));
    return managed("FailedCreate", await createPods(this.#writes(), this.#about(rs), pods, signal));
  }

  async #remove(rs: ReplicaSet, pods: readonly Pod[], signal: AbortSignal): Promise<Managed> {
    return managed("FailedDelete", await removePods(this.#writes(), this.#about(rs), pods, signal));
  }

  #about(rs: ReplicaSet): ReplicaSet {
    return { ...rs, apiVersion: this.#type.apiVersion, kind: this.#type.kind };
  }

  #writes(): OwnedPodsDeps {
    return { ...this.#context, expectations: this.#expectations };
  }
}

interface Managed {
  readonly failure?: ReplicaFailure;
  readonly problem?: Error;
}

function managed(reason: ReplicaFailure["reason"], { problem }: PodWrites): Managed {
  return problem === undefined ? {} : { problem, failure: { reason, message: problem.message } };
}

/** While nothing was tried, the failure of the last try stands. */
function keptFailure(rs: ReplicaSet): ReplicaFailure | undefined {
  const known = rs.status?.conditions?.find((condition) => condition.type === "ReplicaFailure");
  return known === undefined
    ? undefined
    : { reason: known.reason as ReplicaFailure["reason"], message: known.message ?? "" };
}
