// The ReplicaSet controller, which runs ReplicationControllers too: keeps as many pods as are asked for. Guarantees:
// - While the cache has not shown its own last writes, it neither makes nor deletes pods.
// - A create whose outcome is unknown counts as made until the cache or the expectation's end tells otherwise.
import { PODS, type Pod, type ReplicaSet } from "@coxswain/api";
import { isReason, labelSelectorAsSelector, StatusError } from "@coxswain/apimachinery";
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
import { deleteForSure } from "../writes/delete-for-sure.ts";
import { createSlowly, named, type CreateOutcome } from "../writes/create-named.ts";
import { isNamespaceTerminating } from "../writes/namespace-terminating.ts";
import { followReplicaSetPods } from "./event-handlers.ts";
import { replicationControllers, type ReplicaKind, replicaSets } from "./replica-kinds.ts";
import { nextAvailableMs, planReplicas, planReplicaSetStatus, podFromTemplate, type ReplicaFailure } from "./plan.ts";

const WORKERS = 5;
const INITIAL_BATCH = 1;

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

  constructor(context: ControllerContext, type: ReplicaKind, expectations: Expectations) {
    this.#context = context;
    this.#type = type;
    this.#expectations = expectations;
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
    const plan = planReplicas(rs, pods, this.#related(rs), this.#context.env.clock.now());
    if (plan.create > 0) return this.#create(rs, plan.create, signal);
    if (plan.remove.length > 0) return this.#remove(rs, plan.remove, signal);
    return {};
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
    const { env, client } = this.#context;
    const uid = rs.metadata?.uid ?? "";
    const template = podFromTemplate(rs, this.#type);
    const pods = Array.from({ length: count }, () => named(env, template));
    this.#expectations.expectCreations(uid, count);
    const outcomes = await createSlowly({ env, client }, PODS, pods, { initialBatch: INITIAL_BATCH, signal });
    let problem: Error | undefined;
    for (const outcome of outcomes) problem = this.#settleCreate(rs, outcome) ?? problem;
    return problem === undefined ? {} : { problem, failure: { reason: "FailedCreate", message: problem.message } };
  }

  /** Lowers the expectation where the pod surely was not made; the error that stands in the way, if any. */
  #settleCreate(rs: ReplicaSet, outcome: CreateOutcome): Error | undefined {
    const { recorder } = this.#context;
    const uid = rs.metadata?.uid ?? "";
    const about = { ...rs, apiVersion: this.#type.apiVersion, kind: this.#type.kind };
    if (outcome.kind === "created") {
      recorder.event(about, "Normal", "SuccessfulCreate", `Created pod: ${outcome.object.metadata?.name}`);
      return undefined;
    }
    if (outcome.kind === "unknown") return undefined;
    if (outcome.kind === "skipped") {
      this.#expectations.creationFailed(uid, NOT_SENT);
      return undefined;
    }
    this.#expectations.creationFailed(uid, outcome.error);
    if (isNamespaceTerminating(outcome.error)) return undefined;
    recorder.event(about, "Warning", "FailedCreate", `Error creating: ${outcome.error.message}`);
    return outcome.error;
  }

  async #remove(rs: ReplicaSet, pods: readonly Pod[], signal: AbortSignal): Promise<Managed> {
    const { env, client, recorder } = this.#context;
    const uid = rs.metadata?.uid ?? "";
    const about = { ...rs, apiVersion: this.#type.apiVersion, kind: this.#type.kind };
    this.#expectations.expectDeletions(
      uid,
      pods.map((pod) => pod.metadata?.uid ?? ""),
    );
    const outcomes = await deleteForSure({ env, client }, PODS, pods, signal);
    let problem: Error | undefined;
    for (const [at, pod] of pods.entries()) {
      const outcome = outcomes[at]!;
      if (outcome.ok) {
        recorder.event(about, "Normal", "SuccessfulDelete", `Deleted pod: ${pod.metadata?.name}`);
        continue;
      }
      this.#expectations.deletionFailed(uid, pod.metadata?.uid ?? "", outcome.error);
      if (isReason(outcome.error, "NotFound", "Conflict")) continue;
      recorder.event(about, "Warning", "FailedDelete", `Error deleting: ${outcome.error.message}`);
      problem = outcome.error;
    }
    return problem === undefined ? {} : { problem, failure: { reason: "FailedDelete", message: problem.message } };
  }
}

interface Managed {
  readonly failure?: ReplicaFailure;
  readonly problem?: Error;
}

const NOT_SENT = new StatusError("Conflict", 409, "not sent, because an earlier create failed");

/** While nothing was tried, the failure of the last try stands. */
function keptFailure(rs: ReplicaSet): ReplicaFailure | undefined {
  const known = rs.status?.conditions?.find((condition) => condition.type === "ReplicaFailure");
  return known === undefined
    ? undefined
    : { reason: known.reason as ReplicaFailure["reason"], message: known.message ?? "" };
}
