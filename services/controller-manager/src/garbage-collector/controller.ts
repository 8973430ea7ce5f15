// The garbage collector: deletes what has lost all its owners, and lets owners go that wait for their dependents.
// Guarantees: absence of an owner is verified at the api-server before anything is deleted for it; every write is bound to
// the UID and the version that were judged, so that a deletion may be decided on by the cache; a reference across namespaces deletes nothing; owners that another api-server
// serves, and that cannot be asked for now, are not taken for gone, and hold up nothing else.
import { allKinds, API_SERVICES, kindForGvk, type APIService } from "@coxswain/api";
import {
  apiVersionOf,
  isReason,
  parseApiVersion,
  RecentMap,
  type GroupVersionKind,
  type KubeObject,
  type OwnerReference,
  type ResourceRef,
} from "@coxswain/apimachinery";
import type { AggregatedClient, BatchOutcome, InformerFactory } from "@coxswain/client";
import { createController, settleAll, type Controller } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { CustomInformers } from "../custom-resources/custom-resources.ts";
import { isGone, type RemoteObjects } from "../remote-resources/remote-objects.ts";
import { RemotePoll } from "../remote-resources/remote-poll.ts";
import { FOREGROUND, hasWork, nodeOf, ORPHAN, OwnershipGraph, waitsForDependents, type GraphNode } from "./graph.ts";
import { blockingDependents, planGarbage, type GarbagePlan, type OwnerState } from "./plan.ts";

/** As many deletions as the store takes in one transaction: what an owner leaves behind goes at the pace of answers. */
const WORKERS = 128;
const MAX_ABSENT = 5_000;
const MERGE = "application/merge-patch+json";

/** Everything that can own or be owned. Events come and go by themselves. */
export function collectedKinds(): ResourceRef[] {
  return allKinds()
    .filter(
      // Other forms of a kind are the same objects.
      (kind) =>
        kind.stored &&
        kind.form === undefined &&
        ["list", "watch", "delete"].every((verb) => (kind.verbs as string[]).includes(verb)),
    )
    .filter((kind) => kind.kind !== "Event")
    .map(({ group, version, resource }) => ({ group, version, resource }));
}

const isStable = ({ version }: ResourceRef): boolean => /^v\d+$/.test(version);

/** Kinds that are served where somebody has turned them on: from when their version is registered on, until it no longer is. */
function followOptional(informers: InformerFactory, follow: (ref: ResourceRef) => void): void {
  const optional = collectedKinds().filter((ref) => !isStable(ref));
  const of = (service: APIService): ResourceRef[] =>
    optional.filter(({ group, version }) => service.metadata?.name === `${version}.${group}`);
  informers.informer<APIService>(API_SERVICES).addHandler({
    add(service) {
      for (const ref of of(service)) {
        follow(ref);
        informers.startLate(ref);
      }
    },
    update: () => {},
    delete(service) {
      for (const ref of of(service)) informers.remove(ref);
    },
  });
}

/** Without `remotes` the objects of other api-servers are neither owners nor owned. */
export function createGarbageCollector(context: ControllerContext, remotes?: AggregatedClient): ManagedController {
  const graph = new OwnershipGraph();
  const custom = new CustomInformers(context.informers, (informer) => follow(informer.ref));
  const errors = context.metrics.counter(
    "garbagecollector_controller_resources_sync_error_total",
    "Looks that did not see all resources.",
  );
  const poll =
    remotes === undefined
      ? undefined
      : new RemotePoll(remotes, context.informers, context, {
          seen: (ref, object) => enqueueAll(graph.upsert(nodeOf(ref, object))),
          gone: (uid) => enqueueAll(graph.remove(uid)),
          missed: () => errors.inc(),
        });
  const collector = new Collector(context, graph, { custom, remote: poll }, (uid) => controller.enqueue(uid));
  const controller: Controller = createController(
    { name: "garbage-collector-controller", workers: WORKERS, reconcile: (uid) => collector.reconcile(uid) },
    context,
  );
  const enqueueAll = (uids: readonly string[]): void => {
    for (const uid of uids) controller.enqueue(uid);
  };
  const follow = (ref: ResourceRef): void => {
    context.informers.informer<KubeObject>(ref).addHandler({
      add: (object) => enqueueAll(graph.upsert(nodeOf(ref, object))),
      update: (object) => enqueueAll(graph.upsert(nodeOf(ref, object))),
      delete: (object) => enqueueAll(graph.remove(object.metadata?.uid ?? "")),
    });
  };
  for (const ref of collectedKinds()) if (isStable(ref)) follow(ref);
  followOptional(context.informers, follow);
  if (poll === undefined) return { controller };
  return {
    controller,
    prepare: async (signal) => {
      // It goes on beside the controller, as long as this process leads.
      void poll.run(signal);
    },
  };
}

/** The resources that are not built in. */
interface MoreResources {
  readonly custom: CustomInformers;
  readonly remote: RemotePoll | undefined;
}

class Collector {
  readonly #context: ControllerContext;
  readonly #graph: OwnershipGraph;
  readonly #more: MoreResources;
  readonly #enqueue: (uid: string) => void;
  /** References to what is gone for good. One that names the wrong object says nothing of others with its UID. */
  readonly #absent = new RecentMap<string, true>(MAX_ABSENT);
  /** Owners that are being asked for, as all that they left behind want to know it at once. */
  readonly #asked = new Map<string, Promise<OwnerState>>();

  constructor(context: ControllerContext, graph: OwnershipGraph, more: MoreResources, enqueue: (uid: string) => void) {
    this.#context = context;
    this.#graph = graph;
    this.#more = more;
    this.#enqueue = enqueue;
  }

  async reconcile(uid: string): Promise<void> {
    const known = this.#graph.get(uid);
    if (known === undefined) return;
    // A deletion is never taken back: what is on its way is left alone until it is gone.
    if (known.deleting && !hasWork(known)) return;
    if (await this.#deleteAsKnown(known)) return;
    const object = await this.#live(known.ref, known.namespace, known.name);
    if (object?.metadata?.uid !== uid) return;
    const live = nodeOf(known.ref, object);
    if (live.deleting) {
      if (live.finalizers.includes(ORPHAN)) await this.#orphanDependents(live, object);
      else if (waitsForDependents(live)) await this.#awaitDependents(live, object);
      return;
    }
    const plan = await this.#plan(live);
    if (plan.do === "drop owners") await this.#dropOwners(live, object, plan.uids);
    if (plan.do !== "delete") return;
    const judged = plan.unblock === true ? await this.#unblockOwners(live, object) : object;
    if (judged !== undefined) await this.#delete(live, judged.metadata?.resourceVersion, plan.propagationPolicy);
  }

  async #plan(node: GraphNode): Promise<GarbagePlan> {
    const states = node.owners.map(async (reference) => ({ reference, state: await this.#stateOf(node, reference) }));
    return planGarbage(node, await settleAll(states), this.#graph.dependentsOf(node.uid));
  }

  /**
   * Deletes what is garbage as the cache has it; false where it is not that simple, or the object has changed since. What an
   * owner leaves behind is many objects of which nobody writes any: reading each once more would cost as much as deleting it.
   */
  async #deleteAsKnown(known: GraphNode): Promise<boolean> {
    if (known.deleting || this.#remoteOf(known.ref) !== undefined) return false;
    const plan = await this.#plan(known);
    if (plan.do !== "delete" || plan.unblock === true) return false;
    try {
      await this.#delete(known, known.version, plan.propagationPolicy);
      return true;
    } catch (error) {
      if (!isReason(error, "Conflict")) throw error;
      return false;
    }
  }

  async #live(ref: ResourceRef, namespace: string, name: string): Promise<KubeObject | undefined> {
    const target = { ...(namespace === "" ? {} : { namespace }), name };
    const remote = this.#remoteOf(ref);
    try {
      return await (remote === undefined ? this.#context.client.get(ref, target) : remote.get(ref, target));
    } catch (error) {
      if (remote === undefined ? isReason(error, "NotFound") : isGone(error)) return undefined;
      throw error;
    }
  }

  /** Set for what another api-server serves. */
  #remoteOf(ref: ResourceRef): RemoteObjects | undefined {
    const { remote } = this.#more;
    return remote?.of(ref) === undefined ? undefined : remote.objects;
  }

  async #stateOf(live: GraphNode, reference: OwnerReference): Promise<OwnerState> {
    const kind = this.#ownerKind({ ...parseApiVersion(reference.apiVersion), kind: reference.kind });
    if (kind === undefined) return "unknown";
    if (kind.namespaced && live.namespace === "") return this.#refuse(live, reference);
    const namespace = kind.namespaced ? live.namespace : "";
    const cached = this.#graph.get(reference.uid);
    const elsewhere = cached !== undefined && cached.namespace !== namespace;
    if (elsewhere) return this.#refuse(live, reference);
    if (cached !== undefined && cached.name === reference.name && !cached.deleting) return "solid";
    const { ref } = kind;
    const key = [ref.group, ref.resource, namespace, reference.name, reference.uid].join("/");
    if (this.#absent.get(key) === true) return "absent";
    let asked = this.#asked.get(key);
    if (asked === undefined) {
      asked = this.#ask(ref, namespace, reference, key).finally(() => this.#asked.delete(key));
      this.#asked.set(key, asked);
    }
    return asked;
  }

  async #ask(ref: ResourceRef, namespace: string, { name, uid }: OwnerReference, key: string): Promise<OwnerState> {
    const owner = await this.#live(ref, namespace, name);
    if (owner?.metadata?.uid === uid) return waitsForDependents(nodeOf(ref, owner)) ? "waiting" : "solid";
    this.#absent.set(key, true);
    return "absent";
  }

  #ownerKind(gvk: GroupVersionKind): { readonly ref: ResourceRef; readonly namespaced: boolean } | undefined {
    const kind = kindForGvk(gvk);
    if (kind === undefined) return this.#more.custom.find(gvk) ?? this.#more.remote?.find(gvk);
    const { group, version, resource, namespaced } = kind;
    return kind.stored ? { ref: { group, version, resource }, namespaced } : undefined;
  }

  #refuse(live: GraphNode, { kind, name, uid }: OwnerReference): OwnerState {
    const where = live.namespace === "" ? "" : ` in namespace "${live.namespace}"`;
    const message = `ownerRef [kind: ${kind}, name: ${name}, uid: ${uid}] does not exist${where}`;
    const object = kindOf(live, this.#more);
    if (object !== undefined) this.#context.recorder.event(object, "Warning", "OwnerRefInvalidNamespace", message);
    return "unknown";
  }

  async #awaitDependents(live: GraphNode, object: KubeObject): Promise<void> {
    const blocking = blockingDependents(live, this.#graph.dependentsOf(live.uid));
    if (blocking.length === 0) return this.#removeFinalizer(live, object, FOREGROUND);
    for (const dependent of blocking) if (!dependent.deleting) this.#enqueue(dependent.uid);
    return undefined;
  }

  async #orphanDependents(live: GraphNode, object: KubeObject): Promise<void> {
    const dependents = this.#graph.dependentsOf(live.uid);
    await settleAll(
      dependents.map(async (dependent) => {
        const found = await this.#live(dependent.ref, dependent.namespace, dependent.name);
        if (found?.metadata?.uid === dependent.uid) await this.#dropOwners(dependent, found, [live.uid]);
      }),
    );
    await this.#removeFinalizer(live, object, ORPHAN);
  }

  async #dropOwners(node: GraphNode, object: KubeObject, uids: readonly string[]): Promise<void> {
    const before = object.metadata?.ownerReferences ?? [];
    const ownerReferences = before.filter((reference) => !uids.includes(reference.uid));
    if (ownerReferences.length === before.length) return;
    await this.#patch(node, object, { ownerReferences });
  }

  /** The object as it is then; undefined where it is gone. */
  async #unblockOwners(node: GraphNode, object: KubeObject): Promise<KubeObject | undefined> {
    const before = object.metadata?.ownerReferences ?? [];
    const ownerReferences = before.map((reference) => ({ ...reference, blockOwnerDeletion: false }));
    return this.#patch(node, object, { ownerReferences });
  }

  async #removeFinalizer(node: GraphNode, object: KubeObject, finalizer: string): Promise<void> {
    await this.#patch(node, object, { finalizers: node.finalizers.filter((one) => one !== finalizer) });
  }

  async #patch(node: GraphNode, object: KubeObject, change: object): Promise<KubeObject | undefined> {
    const { uid, resourceVersion } = object.metadata ?? {};
    const patch = { metadata: { uid, resourceVersion, ...change } };
    const remote = this.#remoteOf(node.ref);
    try {
      if (remote !== undefined) return await remote.patch(node.ref, targetOf(node), patch);
      return await this.#context.client.patch(node.ref, targetOf(node), MERGE, patch);
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
      return undefined;
    }
  }

  async #delete(
    { ref, uid, ...node }: GraphNode,
    resourceVersion: string | undefined,
    propagationPolicy: "Background" | "Foreground" | "Orphan",
  ): Promise<void> {
    const options = { propagationPolicy, preconditions: { uid, resourceVersion } };
    const target = targetOf(node);
    const remote = this.#remoteOf(ref);
    try {
      if (remote !== undefined) await remote.delete(ref, target, options);
      else await settle(this.#context.client.batch([{ op: "delete", ref, target, options }]));
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }
}

/** Throws what stood in the way; the answer itself is not read. */
async function settle(outcomes: Promise<readonly BatchOutcome<KubeObject>[]>): Promise<void> {
  for (const outcome of await outcomes) if (!outcome.ok) throw outcome.error;
}

function targetOf({ namespace, name }: Pick<GraphNode, "namespace" | "name">): { namespace?: string; name: string } {
  return namespace === "" ? { name } : { namespace, name };
}

/** Enough of the object for an event about it. */
function kindOf({ ref, namespace, name, uid }: GraphNode, { custom, remote }: MoreResources): KubeObject | undefined {
  const known = allKinds().find((one) => one.group === ref.group && one.resource === ref.resource);
  const kind = known?.kind ?? custom.of(ref)?.kind ?? remote?.of(ref)?.kind;
  if (kind === undefined) return undefined;
  return { apiVersion: apiVersionOf(ref), kind, metadata: { name, uid, ...(namespace === "" ? {} : { namespace }) } };
}
