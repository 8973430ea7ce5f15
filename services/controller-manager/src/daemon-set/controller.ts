// The DaemonSet controller: a pod on every node that fits, and updates of them. Guarantees: while the cache has not shown its own
// last writes it neither makes nor takes away pods; a pod that ends again and again is replaced ever more slowly.
import {
  CONTROLLER_REVISIONS,
  DAEMON_SETS,
  PODS,
  type ControllerRevision,
  type DaemonSet,
  type Node,
  type Pod,
} from "@coxswain/api";
import { deepEqual, labelSelectorAsSelector, objectKey, RecentMap } from "@coxswain/apimachinery";
import type { SharedInformer } from "@coxswain/client";
import {
  createController,
  createExpectations,
  type Controller,
  type Expectations,
  type ReconcileResult,
} from "@coxswain/controller-runtime";
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
import { planRevision, REVISION_LABEL, surplusRevisions } from "../revisions/history.ts";
import { removeRevisions, storeRevision } from "../revisions/store.ts";
import { createPods, removePods, type OwnedPodsDeps } from "../writes/owned-pods.ts";
import { updateStatus } from "../writes/update-status.ts";
import { nodeOf, podForNode } from "./daemon-pod.ts";
import { nextAvailableMs, planDaemonSet, planDaemonSetStatus, type DaemonFacts } from "./plan.ts";

const WORKERS = 2;
const FIRST_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 15 * 60_000;
/** Daemons of nodes that fail over and over: those that did last are remembered. */
const MAX_BACKOFFS = 10_000;

const about = (set: DaemonSet): DaemonSet => ({ ...set, apiVersion: "apps/v1", kind: "DaemonSet" });

export function createDaemonSetController(context: ControllerContext): ManagedController {
  const sets = context.informers.informer<DaemonSet>(DAEMON_SETS);
  const revisions = context.informers.informer<ControllerRevision>(CONTROLLER_REVISIONS);
  sets.addIndex(BY_NAMESPACE, (set) => [set.metadata?.namespace ?? ""]);
  revisions.addIndex(BY_CONTROLLER, controllerIndex);
  const expectations = createExpectations(context);
  const logic = new DaemonLogic(context, sets, revisions, expectations);
  const controller = createController(
    { name: "daemonset-controller", workers: WORKERS, reconcile: (key, signal) => logic.reconcile(key, signal) },
    context,
  );
  follow(context, sets, revisions, controller, expectations);
  return { controller };
}

/** What of a node decides whether a daemon runs there. */
const visible = ({ metadata, spec }: Node): unknown => [metadata?.labels, spec?.taints, spec?.unschedulable];

function follow(
  { caches }: ControllerContext,
  sets: SharedInformer<DaemonSet>,
  revisions: SharedInformer<ControllerRevision>,
  controller: Controller,
  expectations: Expectations,
): void {
  sets.addHandler({
    add: (set) => controller.enqueue(objectKey(set)),
    update: (set) => controller.enqueue(objectKey(set)),
    delete: (set) => expectations.forget(set.metadata?.uid ?? ""),
  });
  const enqueueOwner = (object: Pod | ControllerRevision): void => {
    const owner = controllerOf(object);
    const namespace = object.metadata?.namespace ?? "";
    if (owner?.kind === "DaemonSet") controller.enqueue(`${namespace}/${owner.name}`);
    else if (owner === undefined) {
      const candidates = sets.lister.byIndex(BY_NAMESPACE, namespace);
      for (const set of selecting(candidates, object)) controller.enqueue(objectKey(set));
    }
  };
  const removed = (pod: Pod): void => {
    const uid = controllerOf(pod)?.uid;
    if (uid !== undefined) expectations.deletionObserved(uid, pod.metadata?.uid ?? "");
    enqueueOwner(pod);
  };
  caches.pods.addHandler({
    add(pod) {
      const uid = controllerOf(pod)?.uid;
      if (uid !== undefined) expectations.creationObserved(uid);
      if (pod.metadata?.deletionTimestamp === undefined) enqueueOwner(pod);
      else removed(pod);
    },
    update(pod, old) {
      if (pod.metadata?.deletionTimestamp !== undefined) return removed(pod);
      if (!deepEqual(controllerOf(pod), controllerOf(old))) enqueueOwner(old);
      return enqueueOwner(pod);
    },
    delete: removed,
  });
  revisions.addHandler({ delete: enqueueOwner });
  const enqueueAll = (): void => {
    for (const set of sets.lister.list()) controller.enqueue(objectKey(set));
  };
  caches.nodes.addHandler({
    add: enqueueAll,
    update: (node, old) => {
      if (!deepEqual(visible(node), visible(old))) enqueueAll();
    },
    delete: enqueueAll,
  });
}

interface Backoff {
  readonly delayMs: number;
  readonly untilMs: number;
}

class DaemonLogic {
  readonly #context: ControllerContext;
  readonly #sets: SharedInformer<DaemonSet>;
  readonly #revisions: SharedInformer<ControllerRevision>;
  readonly #expectations: Expectations;
  /** By DaemonSet, revision and node: how long a pod that has ended is left there. */
  readonly #backoff = new RecentMap<string, Backoff>(MAX_BACKOFFS);

  constructor(
    context: ControllerContext,
    sets: SharedInformer<DaemonSet>,
    revisions: SharedInformer<ControllerRevision>,
    expectations: Expectations,
  ) {
    this.#context = context;
    this.#sets = sets;
    this.#revisions = revisions;
    this.#expectations = expectations;
  }

  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const { caches, client, env } = this.#context;
    const set = this.#sets.lister.get(key);
    if (set === undefined || set.metadata?.deletionTimestamp !== undefined) return undefined;
    const uid = set.metadata?.uid ?? "";
    const history = this.#revisions.lister.byIndex(BY_CONTROLLER, uid);
    const current = await this.#current(set, history);
    // The collision count is in the status now: the cache's next change leads back here.
    if (current === undefined) return undefined;
    const hash = current.metadata?.labels?.[REVISION_LABEL] ?? "";
    const pods = await this.#claim(set);
    const facts: DaemonFacts = { nodes: caches.nodes.lister.list(), pods, hash, nowMs: env.clock.now() };
    let waitMs: number | undefined;
    let problem: Error | undefined;
    const satisfied = this.#expectations.satisfied(uid);
    if (satisfied) ({ waitMs, problem } = await this.#manage(set, facts, signal));
    await updateStatus(client, DAEMON_SETS, set, (now) => {
      // A generation of which nothing was done yet has not been observed.
      const generation = satisfied ? set.metadata?.generation : now.status?.observedGeneration;
      return { ...now, status: planDaemonSetStatus({ ...now, metadata: { ...now.metadata, generation } }, facts) };
    });
    await this.#forgetRevisions(set, history, pods, hash);
    if (problem !== undefined) throw problem;
    const waits = [nextAvailableMs(set, facts), this.#expectations.expiresInMs(uid) || undefined, waitMs];
    const next = waits.filter((ms) => ms !== undefined);
    return next.length === 0 ? undefined : { requeueAfterMs: Math.min(...next) + 1 };
  }

  /** The revision of the template; undefined where its name is taken by another. */
  async #current(set: DaemonSet, history: readonly ControllerRevision[]): Promise<ControllerRevision | undefined> {
    const { client } = this.#context;
    const collisionCount = set.status?.collisionCount ?? 0;
    const owner = {
      object: set,
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      template: set.spec?.template ?? {},
      collisionCount,
    };
    const stored = await storeRevision(client, planRevision(owner, history));
    if (stored !== undefined) return stored;
    const status = { ...set.status!, collisionCount: collisionCount + 1 };
    await client.update(DAEMON_SETS, { ...set, status }, { subresource: "status" });
    return undefined;
  }

  async #forgetRevisions(
    set: DaemonSet,
    history: readonly ControllerRevision[],
    pods: readonly Pod[],
    hash: string,
  ): Promise<void> {
    const used = new Set([hash, ...pods.map((pod) => pod.metadata?.labels?.[REVISION_LABEL])]);
    const inUse = (revision: ControllerRevision): boolean => used.has(revision.metadata?.labels?.[REVISION_LABEL]);
    await removeRevisions(this.#context.client, surplusRevisions(history, inUse, set.spec?.revisionHistoryLimit ?? 10));
  }

  #claim(set: DaemonSet): Promise<Pod[]> {
    const { caches, client } = this.#context;
    const { lister } = caches.pods;
    const candidates = [
      ...lister.byIndex(BY_CONTROLLER, set.metadata?.uid ?? ""),
      ...lister.byIndex(ORPHANS, set.metadata?.namespace ?? ""),
    ];
    const plan = planClaim(set, labelSelectorAsSelector(set.spec?.selector), candidates);
    const ownerReference = controllerReference(set, "apps/v1", "DaemonSet");
    return executeClaim(client, { ref: PODS, owner: set, ownerRef: DAEMON_SETS, ownerReference }, plan);
  }

  async #manage(
    set: DaemonSet,
    facts: DaemonFacts,
    signal: AbortSignal,
  ): Promise<{ waitMs: number | undefined; problem: Error | undefined }> {
    const plan = planDaemonSet(set, facts);
    const waits: number[] = [];
    const held = new Set<Pod>();
    for (const pod of plan.ended) {
      const leftMs = this.#holdBack(set, pod, facts);
      if (leftMs > 0) {
        held.add(pod);
        waits.push(leftMs);
      } else this.#tellEnded(set, pod);
    }
    const problem =
      (await this.#remove(
        set,
        plan.remove.filter((pod) => !held.has(pod)),
        signal,
      )) ?? (await this.#create(set, plan.create, facts.hash, signal));
    return { waitMs: waits.length === 0 ? undefined : Math.min(...waits), problem };
  }

  /** Ms that an ended pod is still left where it is. Each time it is twice as long. */
  #holdBack(set: DaemonSet, pod: Pod, { nowMs, hash }: DaemonFacts): number {
    if (pod.status?.phase !== "Failed") return 0;
    const key = `${set.metadata?.uid ?? ""}/${hash}/${nodeOf(pod) ?? ""}`;
    const known = this.#backoff.get(key);
    if (known !== undefined && known.untilMs > nowMs) return known.untilMs - nowMs;
    // Long after the last time it begins anew.
    const fresh = known === undefined || nowMs - known.untilMs > 2 * MAX_BACKOFF_MS;
    const delayMs = fresh ? FIRST_BACKOFF_MS : Math.min(known.delayMs * 2, MAX_BACKOFF_MS);
    this.#backoff.set(key, { delayMs, untilMs: nowMs + delayMs });
    return 0;
  }

  #tellEnded(set: DaemonSet, pod: Pod): void {
    const { recorder } = this.#context;
    const failed = pod.status?.phase === "Failed";
    const what = failed ? "failed" : "succeeded";
    const message = `Found ${what} daemon pod ${objectKey(pod)} on node ${nodeOf(pod) ?? ""}, will try to ${failed ? "kill" : "delete"} it`;
    recorder.event(
      about(set),
      failed ? "Warning" : "Normal",
      failed ? "FailedDaemonPod" : "SucceededDaemonPod",
      message,
    );
  }

  async #create(
    set: DaemonSet,
    nodes: readonly string[],
    hash: string,
    signal: AbortSignal,
  ): Promise<Error | undefined> {
    if (nodes.length === 0) return undefined;
    const pods = nodes.map((node) => podForNode(set, node, hash));
    return (await createPods(this.#writes(), about(set), pods, signal)).problem;
  }

  async #remove(set: DaemonSet, pods: readonly Pod[], signal: AbortSignal): Promise<Error | undefined> {
    if (pods.length === 0) return undefined;
    return (await removePods(this.#writes(), about(set), pods, signal)).problem;
  }

  #writes(): OwnedPodsDeps {
    return { ...this.#context, expectations: this.#expectations };
  }
}
