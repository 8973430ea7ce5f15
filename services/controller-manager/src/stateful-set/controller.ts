// The StatefulSet controller. Guarantees: a name has one pod at a time, as names are the API's keys and a pod goes for good before
// its successor comes; a pod's claims are there before it is.
import {
  CONTROLLER_REVISIONS,
  PODS,
  STATEFUL_SETS,
  type ControllerRevision,
  type Pod,
  type PodTemplateSpec,
  type StatefulSet,
} from "@coxswain/api";
import { deepEqual, isReason, labelSelectorAsSelector, objectKey } from "@coxswain/apimachinery";
import type { SharedInformer } from "@coxswain/client";
import { createController, type Controller, type ReconcileResult } from "@coxswain/controller-runtime";
import {
  BY_CONTROLLER,
  BY_NAMESPACE,
  controllerIndex,
  ORPHANS,
  type ControllerContext,
  type ManagedController,
} from "../controller-context.ts";
import { executeClaim } from "../ownership/claim.ts";
import { controllerOf, controllerReference, planClaim, selecting } from "../ownership/controller-ref.ts";
import { planRevision, surplusRevisions, templateOf } from "../revisions/history.ts";
import { removeRevisions, storeRevision } from "../revisions/store.ts";
import { isNamespaceTerminating } from "../writes/namespace-terminating.ts";
import { updateStatus } from "../writes/update-status.ts";
import { ensureClaims, settleOwners } from "./claims.ts";
import {
  nextAvailableMs,
  planStatefulSet,
  planStatefulSetStatus,
  type Creation,
  type Removal,
  type StatefulFacts,
} from "./plan.ts";
import { about, ordinalOf, podForOrdinal, podName, revisionOf } from "./stateful-pod.ts";

const WORKERS = 5;
const STRATEGIC = "application/strategic-merge-patch+json";

const nameOf = (object: Pod | StatefulSet | ControllerRevision): string => object.metadata?.name ?? "";

export function createStatefulSetController(context: ControllerContext): ManagedController {
  const sets = context.informers.informer<StatefulSet>(STATEFUL_SETS);
  const revisions = context.informers.informer<ControllerRevision>(CONTROLLER_REVISIONS);
  sets.addIndex(BY_NAMESPACE, (set) => [set.metadata?.namespace ?? ""]);
  revisions.addIndex(BY_CONTROLLER, controllerIndex);
  const logic = new StatefulLogic(context, sets, revisions);
  const controller = createController(
    { name: "statefulset-controller", workers: WORKERS, reconcile: (key) => logic.reconcile(key) },
    context,
  );
  follow(context, sets, controller);
  sets.addHandler({ delete: (set) => logic.forget(set) });
  return { controller };
}

function follow({ caches }: ControllerContext, sets: SharedInformer<StatefulSet>, controller: Controller): void {
  sets.addHandler({
    add: (set) => controller.enqueue(objectKey(set)),
    update: (set) => controller.enqueue(objectKey(set)),
  });
  const enqueueOwner = (pod: Pod): void => {
    const owner = controllerOf(pod);
    const namespace = pod.metadata?.namespace ?? "";
    if (owner?.kind === "StatefulSet") controller.enqueue(`${namespace}/${owner.name}`);
    else if (owner === undefined) {
      const candidates = sets.lister.byIndex(BY_NAMESPACE, namespace);
      for (const set of selecting(candidates, pod)) controller.enqueue(objectKey(set));
    }
  };
  caches.pods.addHandler({
    add: enqueueOwner,
    update(pod, old) {
      if (!deepEqual(controllerOf(pod), controllerOf(old))) enqueueOwner(old);
      enqueueOwner(pod);
    },
    delete: enqueueOwner,
  });
}

const labelsOf = ({ metadata, spec }: StatefulSet): Record<string, string> => ({
  statefulset_namespace: metadata?.namespace ?? "",
  statefulset_name: metadata?.name ?? "",
  pod_management_policy: spec?.podManagementPolicy ?? "OrderedReady",
});

class StatefulLogic {
  readonly #context: ControllerContext;
  readonly #sets: SharedInformer<StatefulSet>;
  readonly #revisions: SharedInformer<ControllerRevision>;
  readonly #maxUnavailable;
  readonly #unavailable;

  constructor(
    context: ControllerContext,
    sets: SharedInformer<StatefulSet>,
    revisions: SharedInformer<ControllerRevision>,
  ) {
    this.#context = context;
    this.#sets = sets;
    this.#revisions = revisions;
    const labels = ["statefulset_namespace", "statefulset_name", "pod_management_policy"];
    const gauge = (suffix: string, help: string) =>
      context.metrics.gauge(`statefulset_controller_statefulset_${suffix}`, help, labels);
    this.#maxUnavailable = gauge("max_unavailable", "Pods that may be missing while a StatefulSet is updated.");
    this.#unavailable = gauge("unavailable_replicas", "Pods of a StatefulSet that are missing or not available.");
  }

  forget(set: StatefulSet): void {
    this.#maxUnavailable.remove(labelsOf(set));
    this.#unavailable.remove(labelsOf(set));
  }

  async reconcile(key: string): Promise<ReconcileResult | void> {
    const { env } = this.#context;
    const set = this.#sets.lister.get(key);
    if (set === undefined) return undefined;
    if (set.metadata?.deletionTimestamp !== undefined) return await this.#countDown(set);
    const history = this.#revisions.lister.byIndex(BY_CONTROLLER, set.metadata?.uid ?? "");
    const update = await this.#update(set, history);
    // The collision count is in the status now: the cache's next change leads back here.
    if (update === undefined) return undefined;
    const current = history.find((one) => nameOf(one) === set.status?.currentRevision) ?? update;
    const facts: StatefulFacts = {
      pods: await this.#claim(set),
      currentRevision: nameOf(current),
      updateRevision: nameOf(update),
      nowMs: env.clock.now(),
    };
    let problem: unknown;
    try {
      await this.#manage(set, facts, [update, current]);
    } catch (error) {
      problem = error;
    }
    await this.#storeStatus(set, facts);
    if (problem !== undefined) throw problem;
    await this.#forgetRevisions(set, history, facts);
    const waitMs = nextAvailableMs(set, facts);
    return waitMs === undefined ? undefined : { requeueAfterMs: waitMs + 1 };
  }

  /** Of one that is being deleted the pods that are left are counted, and nothing else is done. */
  async #countDown(set: StatefulSet): Promise<undefined> {
    const { caches, env } = this.#context;
    const { currentRevision = "", updateRevision = "" } = set.status ?? {};
    const pods = caches.pods.lister.byIndex(BY_CONTROLLER, set.metadata?.uid ?? "");
    await this.#storeStatus(set, { pods, currentRevision, updateRevision, nowMs: env.clock.now() });
  }

  async #storeStatus(set: StatefulSet, facts: StatefulFacts): Promise<void> {
    const { generation } = set.metadata ?? {};
    await updateStatus(this.#context.client, STATEFUL_SETS, set, (now) => ({
      ...now,
      status: planStatefulSetStatus({ ...now, metadata: { ...now.metadata, generation } }, facts),
    }));
  }

  /** The revision of the template; undefined where its name is taken by another. */
  async #update(set: StatefulSet, history: readonly ControllerRevision[]): Promise<ControllerRevision | undefined> {
    const { client } = this.#context;
    const collisionCount = set.status?.collisionCount ?? 0;
    const template = set.spec?.template ?? {};
    const owner = { object: set, apiVersion: "apps/v1", kind: "StatefulSet", template, collisionCount };
    const stored = await storeRevision(client, planRevision(owner, history));
    if (stored !== undefined) return stored;
    const status = { ...set.status!, collisionCount: collisionCount + 1 };
    await client.update(STATEFUL_SETS, { ...set, status }, { subresource: "status" });
    return undefined;
  }

  #claim(set: StatefulSet): Promise<Pod[]> {
    const { caches, client } = this.#context;
    const { lister } = caches.pods;
    const candidates = [
      ...lister.byIndex(BY_CONTROLLER, set.metadata?.uid ?? ""),
      ...lister.byIndex(ORPHANS, set.metadata?.namespace ?? ""),
    ];
    const isMember = (pod: Pod): boolean => ordinalOf(set, pod) !== undefined;
    const plan = planClaim(set, labelSelectorAsSelector(set.spec?.selector), candidates, isMember);
    const ownerReference = controllerReference(set, "apps/v1", "StatefulSet");
    return executeClaim(client, { ref: PODS, owner: set, ownerRef: STATEFUL_SETS, ownerReference }, plan);
  }

  async #manage(set: StatefulSet, facts: StatefulFacts, revisions: readonly ControllerRevision[]): Promise<void> {
    const plan = planStatefulSet(set, facts);
    if (this.#sets.lister.get(objectKey(set)) !== undefined) {
      this.#maxUnavailable.set(plan.maxUnavailable, labelsOf(set));
      this.#unavailable.set(plan.unavailable, labelsOf(set));
    }
    const { client, recorder } = this.#context;
    for (const { pod, labels } of plan.relabel) await this.#relabel(pod, labels);
    if ((set.spec?.volumeClaimTemplates ?? []).length > 0) {
      for (const ordinal of plan.claims) await ensureClaims(client, recorder, set, ordinal);
      await this.#settleOwners(set, facts, plan.condemned);
    }
    for (const creation of plan.create) await this.#create(set, creation, revisions);
    for (const removal of plan.remove) await this.#remove(set, removal);
  }

  async #settleOwners(set: StatefulSet, { pods }: StatefulFacts, condemned: readonly Pod[]): Promise<void> {
    const { client, recorder } = this.#context;
    for (const pod of pods) {
      const ordinal = ordinalOf(set, pod);
      if (ordinal === undefined) continue;
      await settleOwners(client, recorder, ordinal, { set, pod, condemned: condemned.includes(pod) });
    }
  }

  async #relabel(pod: Pod, labels: Readonly<Record<string, string>>): Promise<void> {
    const { namespace, name = "", uid } = pod.metadata ?? {};
    await this.#context.client.patch(PODS, { namespace, name }, STRATEGIC, { metadata: { uid, labels } });
  }

  async #create(
    set: StatefulSet,
    { ordinal, revision }: Creation,
    revisions: readonly ControllerRevision[],
  ): Promise<void> {
    const { client, recorder } = this.#context;
    const found = revisions.find((one) => nameOf(one) === revision);
    const template: PodTemplateSpec = (found === undefined ? undefined : templateOf(found)) ?? set.spec?.template ?? {};
    const what = `Pod ${podName(set, ordinal)} in StatefulSet ${nameOf(set)}`;
    try {
      await client.create<Pod>(PODS, podForOrdinal(set, ordinal, template, revision));
      recorder.event(about(set), "Normal", "SuccessfulCreate", `create ${what} successful`);
    } catch (error) {
      // The cache has not shown it yet, or it is somebody else's: the next look tells.
      if (isReason(error, "AlreadyExists") || isNamespaceTerminating(error)) return;
      const text = error instanceof Error ? error.message : String(error);
      recorder.event(about(set), "Warning", "FailedCreate", `create ${what} failed error: ${text}`);
      throw error;
    }
  }

  async #remove(set: StatefulSet, { pod, ended }: Removal): Promise<void> {
    const { client, recorder } = this.#context;
    const { namespace, name = "", uid } = pod.metadata ?? {};
    const whole = `StatefulSet ${objectKey(set)}`;
    if (ended === "Failed") {
      recorder.event(about(set), "Warning", "RecreatingFailedPod", `${whole} is recreating failed Pod ${name}`);
    } else if (ended === "Succeeded") {
      recorder.event(about(set), "Normal", "RecreatingTerminatedPod", `${whole} is recreating terminated Pod ${name}`);
    }
    const what = `Pod ${name} in StatefulSet ${nameOf(set)}`;
    try {
      await client.delete(PODS, { namespace, name }, { preconditions: { uid } });
      recorder.event(about(set), "Normal", "SuccessfulDelete", `delete ${what} successful`);
    } catch (error) {
      if (isReason(error, "NotFound", "Conflict")) return;
      const text = error instanceof Error ? error.message : String(error);
      recorder.event(about(set), "Warning", "FailedDelete", `delete ${what} failed error: ${text}`);
      throw error;
    }
  }

  async #forgetRevisions(
    set: StatefulSet,
    history: readonly ControllerRevision[],
    { pods, currentRevision, updateRevision }: StatefulFacts,
  ): Promise<void> {
    const used = new Set([currentRevision, updateRevision, ...pods.map(revisionOf)]);
    const inUse = (revision: ControllerRevision): boolean => used.has(nameOf(revision));
    await removeRevisions(this.#context.client, surplusRevisions(history, inUse, set.spec?.revisionHistoryLimit ?? 10));
  }
}
