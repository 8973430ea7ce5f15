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
import type { ResourceClient } from "@coxswain/client";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { namespacedCustomResources } from "../custom-resources/custom-resources.ts";
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

export function createNamespaceController(context: ControllerContext): ManagedController {
  const { caches, client, env, informers } = context;
  const services = informers.informer<APIService>(API_SERVICES);
  const refs = namespacedKinds();
  async function reconcile(name: string): Promise<ReconcileResult | void> {
    const namespace = caches.namespaces.lister.get(name);
    if (namespace?.metadata?.deletionTimestamp === undefined) return undefined;
    if (!(namespace.spec?.finalizers ?? []).includes(NAMESPACE_FINALIZER)) return undefined;
    // Asked for each time: an object of a definition that this process has not heard of must not be left behind.
    const custom = await namespacedCustomResources(client);
    const undiscovered = services.lister.list().filter(isAway).map(versionOf);
    const report = { undiscovered, ...(await deleteContent(client, name, [...refs, ...custom])) };
    const nowMs = env.clock.now();
    const stored = await updateStatus(client, NAMESPACES, namespace, (now) => planNamespaceStatus(now, report, nowMs));
    if (stored === undefined) return undefined;
    const [failure] = report.errors;
    if (failure !== undefined) throw failure;
    const unknown = discoveryFailure(undiscovered);
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

/** Served by another api-server that does not answer. */
function isAway({ spec, status }: APIService): boolean {
  const available = status?.conditions?.find(({ type }) => type === "Available");
  return spec?.service !== undefined && spec.service !== null && available?.status === "False";
}

const versionOf = ({ spec }: APIService): string => `${spec?.group ?? ""}/${spec?.version ?? ""}`;

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

async function deleteContent(
  client: ResourceClient,
  namespace: string,
  refs: readonly ResourceRef[],
): Promise<ContentReport> {
  const isPods = (ref: ResourceRef): boolean => ref.group === PODS.group && ref.resource === PODS.resource;
  const pods = await deleteAll(client, namespace, refs.filter(isPods));
  if (pods.errors.length > 0 || pods.remaining.some(({ count }) => count > 0)) return pods;
  return deleteAll(
    client,
    namespace,
    refs.filter((ref) => !isPods(ref)),
  );
}

async function deleteAll(
  client: ResourceClient,
  namespace: string,
  refs: readonly ResourceRef[],
): Promise<ContentReport> {
  const remaining: Remainder[] = [];
  const errors: Error[] = [];
  await Promise.all(
    refs.map(async (ref) => {
      try {
        if ((await count(client, ref, namespace)).count === 0) return;
        await client.deleteCollection(ref, { namespace }, { propagationPolicy: "Background" });
        remaining.push(await count(client, ref, namespace));
      } catch (error) {
        // A definition went in the meantime, and took its objects along.
        if (isReason(error, "NotFound")) return;
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
    for (const finalizer of page.items.flatMap((item) => item.metadata?.finalizers ?? [])) {
      finalizers.set(finalizer, (finalizers.get(finalizer) ?? 0) + 1);
    }
    more = page.metadata.continue;
  } while (more !== undefined && more !== "");
  return { groupResource: groupResource(ref), count: total, finalizers };
}
