// Empties a namespace that is being deleted, then lets it go. Guarantees:
// - The finalizer `kubernetes` goes only after a list of every namespaced kind came back empty.
// - Pods go first; the rest follows when they are gone, so that what they use outlives them.
// - It stays while a group of another api-server does not answer: nobody knows what that holds of it.
import {
  allKinds,
  API_SERVICES,
  NAMESPACE_FINALIZER,
  NAMESPACES,
  PODS,
  type APIService,
  type KindDefinition,
  type Namespace,
} from "@coxswain/api";
import { groupResource, isReason, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { AggregatedClient, ResourceClient } from "@coxswain/client";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { namespacedCustomResources } from "../custom-resources/custom-resources.ts";
import { isAway, RemoteDiscoverer, type RemoteResource } from "../remote-resources/discover.ts";
import { isGone, RemoteObjects } from "../remote-resources/remote-objects.ts";
import { updateStatus } from "../writes/update-status.ts";
import { discoveryFailure, planNamespaceStatus, type ContentReport, type Remainder } from "./plan.ts";

const WORKERS = 10;
const LOOK_AGAIN_MS = 1_000;
const PAGE = 500;

/** The kinds whose objects live in namespaces and can be deleted. */
export function namespacedKinds(kinds: readonly KindDefinition[] = allKinds()): ResourceRef[] {
  return kinds
    .filter(
      (kind) =>
        kind.namespaced &&
        kind.stored &&
        kind.form === undefined &&
        kind.verbs.includes("list") &&
        kind.verbs.includes("delete"),
    )
    .map(({ group, version, resource }) => ({ group, version, resource }));
}

/** Without `remotes` nothing is deleted of what other api-servers serve. */
export function createNamespaceController(context: ControllerContext, remotes?: AggregatedClient): ManagedController {
  const { caches, client, env, informers } = context;
  const services = informers.informer<APIService>(API_SERVICES);
  const discoverer = new RemoteDiscoverer(remotes, informers);
  const refs = namespacedKinds();
  async function reconcile(name: string): Promise<ReconcileResult | void> {
    const namespace = caches.namespaces.lister.get(name);
    if (namespace?.metadata?.deletionTimestamp === undefined) return undefined;
    if (!(namespace.spec?.finalizers ?? []).includes(NAMESPACE_FINALIZER)) return undefined;
    // Asked for each time: an object of a definition that this process has not heard of must not be left behind.
    const custom = await namespacedCustomResources(client);
    const { resources, failed } = await discoverer.discover();
    const own = [...refs, ...custom].map((ref) => ownContent(client, ref, name));
    const others =
      remotes === undefined ? [] : resources.filter(isContent).map((each) => remoteContent(remotes, each, name));
    const report = { undiscovered: failed, ...(await deleteContent([...own, ...others])) };
    const nowMs = env.clock.now();
    const stored = await updateStatus(client, NAMESPACES, namespace, (now) => planNamespaceStatus(now, report, nowMs));
    if (stored === undefined) return undefined;
    const [failure] = report.errors;
    if (failure !== undefined) throw failure;
    const unknown = discoveryFailure(failed);
    if (unknown !== undefined) throw new Error(unknown);
    if (report.remaining.some(({ count }) => count > 0)) return { requeueAfterMs: LOOK_AGAIN_MS };
    await finalize(client, stored);
    return undefined;
  }
  const controller = createController({ name: "namespace-controller", workers: WORKERS, reconcile }, context);
  const enqueue = (namespace: Namespace): void => {
    if (namespace.metadata?.deletionTimestamp !== undefined) controller.enqueue(namespace.metadata.name ?? "");
  };
  caches.namespaces.addHandler({ add: enqueue, update: enqueue });
  const enqueueAll = (): void => {
    for (const namespace of caches.namespaces.lister.list()) enqueue(namespace);
  };
  services.addHandler({
    update(service, old) {
      if (isAway(service) !== isAway(old)) enqueueAll();
    },
    delete: enqueueAll,
  });
  return { controller };
}

async function finalize(client: ResourceClient, namespace: Namespace): Promise<void> {
  const finalizers = (namespace.spec?.finalizers ?? []).filter((one) => one !== NAMESPACE_FINALIZER);
  try {
    await client.update(
      NAMESPACES,
      { ...namespace, spec: { ...namespace.spec, finalizers } },
      {
        subresource: "finalize",
      },
    );
  } catch (error) {
    if (!isReason(error, "NotFound")) throw error;
  }
}

/** The objects of one resource in the namespace. */
interface Content {
  readonly ref: ResourceRef;
  count(): Promise<Remainder>;
  clear(): Promise<void>;
  /** True for an error that says that there is no such resource any more. */
  vanished(error: unknown): boolean;
}

function ownContent(client: ResourceClient, ref: ResourceRef, namespace: string): Content {
  return {
    ref,
    count: () => count(client, ref, namespace),
    clear: () => client.deleteCollection(ref, { namespace }, { propagationPolicy: "Background" }),
    // A definition went in the meantime, and took its objects along.
    vanished: (error) => isReason(error, "NotFound"),
  };
}

const isContent = ({ namespaced, verbs }: RemoteResource): boolean =>
  namespaced && verbs.includes("list") && (verbs.includes("delete") || verbs.includes("deletecollection"));

function remoteContent(remotes: AggregatedClient, { ref, verbs }: RemoteResource, namespace: string): Content {
  const objects = new RemoteObjects(remotes);
  const options = { propagationPolicy: "Background" } as const;
  async function deleteEach(): Promise<void> {
    for (const { metadata } of await objects.list(ref, namespace)) {
      try {
        await objects.delete(ref, { namespace, name: metadata?.name ?? "" }, options);
      } catch (error) {
        if (!isGone(error)) throw error;
      }
    }
  }
  return {
    ref,
    count: async () => remainderOf(ref, await objects.list(ref, namespace)),
    clear: () =>
      verbs.includes("deletecollection") ? objects.deleteCollection(ref, namespace, options) : deleteEach(),
    // Another api-server's word that it serves nothing does not say that there is nothing.
    vanished: () => false,
  };
}

async function deleteContent(contents: readonly Content[]): Promise<ContentReport> {
  const isPods = ({ ref }: Content): boolean => ref.group === PODS.group && ref.resource === PODS.resource;
  const pods = await deleteAll(contents.filter(isPods));
  if (pods.errors.length > 0 || pods.remaining.some((each) => each.count > 0)) return pods;
  return deleteAll(contents.filter((each) => !isPods(each)));
}

async function deleteAll(contents: readonly Content[]): Promise<ContentReport> {
  const remaining: Remainder[] = [];
  const errors: Error[] = [];
  await Promise.all(
    contents.map(async (content) => {
      try {
        if ((await content.count()).count === 0) return;
        await content.clear();
        remaining.push(await content.count());
      } catch (error) {
        if (content.vanished(error)) return;
        errors.push(error instanceof Error ? error : new Error(String(error)));
      }
    }),
  );
  return { remaining, errors };
}

async function count(client: ResourceClient, ref: ResourceRef, namespace: string): Promise<Remainder> {
  const finalizers = new Map<string, number>();
  let total = 0;
  let more: string | undefined;
  do {
    const page = await client.list<KubeObject>(ref, { namespace, limit: PAGE, ...(more ? { continue: more } : {}) });
    total += page.items.length;
    noteFinalizers(finalizers, page.items);
    more = page.metadata.continue;
  } while (more !== undefined && more !== "");
  return { groupResource: groupResource(ref), count: total, finalizers };
}

function noteFinalizers(counts: Map<string, number>, objects: readonly KubeObject[]): void {
  for (const finalizer of objects.flatMap(({ metadata }) => metadata?.finalizers ?? [])) {
    counts.set(finalizer, (counts.get(finalizer) ?? 0) + 1);
  }
}

function remainderOf(ref: ResourceRef, objects: readonly KubeObject[]): Remainder {
  const finalizers = new Map<string, number>();
  noteFinalizers(finalizers, objects);
  return { groupResource: groupResource(ref), count: objects.length, finalizers };
}
