// The Endpoints controller: keeps an Endpoints object for every Service that has a selector. Guarantees: while the cache has not
// shown its last write of an object, it does not write that object again; with a Service its Endpoints go.
import { ENDPOINTS, type Endpoints, type Pod, type Service } from "@coxswain/api";
import { compareResourceVersions, isReason, objectKey, selectorFromLabels } from "@coxswain/apimachinery";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import { BY_NAMESPACE, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { followServicePods } from "../endpoint-slice/event-handlers.ts";
import { TriggerTimes, withTriggerTime } from "../endpoint-slice/trigger-times.ts";
import { isNamespaceTerminating } from "../writes/namespace-terminating.ts";
import { MANAGED_BY, MANAGER, planEndpointsObject } from "./plan.ts";

const WORKERS = 5;
const STALE_MS = 1_000;

export function createEndpointsController(context: ControllerContext): ManagedController {
  const { caches, client, informers, recorder } = context;
  const endpoints = informers.informer<Endpoints>(ENDPOINTS);
  /** The version of the last write by this process, by namespace/name. */
  const written = new Map<string, string>();
  const times = new TriggerTimes();

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const service = caches.services.lister.get(key);
    const present = endpoints.lister.get(key);
    if (service === undefined) return present === undefined ? undefined : remove(present);
    if (service.metadata?.deletionTimestamp !== undefined) return undefined;
    if (service.spec?.type === "ExternalName" || service.spec?.selector === undefined) return undefined;
    const version = written.get(key);
    const seen = present?.metadata?.resourceVersion;
    // The cache's next change of the object leads back here; the delay is for the case that none comes.
    if (version !== undefined && seen !== undefined && compareResourceVersions(seen, version) < 0) {
      return { requeueAfterMs: STALE_MS };
    }
    const pods = podsOf(service);
    const changedAt = times.next(service, pods);
    const wanted = planEndpointsObject(service, pods, present);
    if (wanted === undefined) return undefined;
    const annotations = withTriggerTime(wanted.metadata?.annotations, changedAt);
    const { annotations: _before, ...metadata } = wanted.metadata ?? {};
    const stamped = { ...wanted, metadata: { ...metadata, ...(annotations === undefined ? {} : { annotations }) } };
    return store(service, key, stamped, present !== undefined);
  }

  function podsOf(service: Service): Pod[] {
    const selector = selectorFromLabels(service.spec?.selector);
    if (selector.isEmpty) return [];
    const all = caches.pods.lister.byIndex(BY_NAMESPACE, service.metadata?.namespace ?? "");
    return all.filter((pod) => selector.matches(pod.metadata?.labels));
  }

  async function store(
    service: Service,
    key: string,
    wanted: Endpoints,
    exists: boolean,
  ): Promise<ReconcileResult | void> {
    const { namespace } = service.metadata ?? {};
    try {
      const stored = exists
        ? await client.update(ENDPOINTS, wanted)
        : await client.create(ENDPOINTS, wanted, { namespace });
      written.set(key, stored.metadata?.resourceVersion ?? "");
      return undefined;
    } catch (error) {
      if (!exists && isNamespaceTerminating(error)) return undefined;
      // The cache is behind: what it lacks leads back here, and if nothing comes, the delay does.
      if (isReason(error, "Conflict", "AlreadyExists")) return { requeueAfterMs: STALE_MS };
      const reason = exists ? "FailedToUpdateEndpoint" : "FailedToCreateEndpoint";
      const what = exists ? `Failed to update endpoint ${key}` : `Failed to create endpoint for service ${key}`;
      recorder.event(wanted, "Warning", reason, `${what}: ${error instanceof Error ? error.message : String(error)}`);
      throw error;
    }
  }

  async function remove({ metadata = {} }: Endpoints): Promise<void> {
    const { namespace, name = "", uid } = metadata;
    written.delete(`${namespace}/${name}`);
    try {
      await client.delete(ENDPOINTS, { namespace, name }, { preconditions: { uid } });
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }

  const controller = createController({ name: "endpoints-controller", workers: WORKERS, reconcile }, context);
  followServicePods(caches, (key) => controller.enqueue(key));
  caches.services.addHandler({
    delete(service) {
      times.forget(service);
      controller.enqueue(objectKey(service));
    },
  });
  endpoints.addHandler({
    // What is left of a Service that went while nobody led; what others made stays.
    add: (object, isInInitialList) => {
      if (isInInitialList && object.metadata?.labels?.[MANAGED_BY] === MANAGER) controller.enqueue(objectKey(object));
    },
    update: (object) => {
      if (caches.services.lister.get(objectKey(object)) !== undefined) controller.enqueue(objectKey(object));
    },
    delete: (object) => {
      written.delete(objectKey(object));
      if (caches.services.lister.get(objectKey(object)) !== undefined) controller.enqueue(objectKey(object));
    },
  });
  return { controller };
}
