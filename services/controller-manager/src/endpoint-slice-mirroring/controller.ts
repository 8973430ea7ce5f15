// The EndpointSliceMirroring controller: shows Endpoints that were written by hand, for Services without a selector, to those
// who read EndpointSlices only. Guarantees: while the cache has not shown the slices that it made, it makes no others; slices of
// others are never touched.
import { ENDPOINT_SLICES, ENDPOINTS, type Endpoints, type EndpointSlice, type Service } from "@coxswain/api";
import { deepEqual, isReason, objectKey } from "@coxswain/apimachinery";
import { createController, createExpectations, settleAll, type ReconcileResult } from "@coxswain/controller-runtime";
import {
  BY_SERVICE,
  SERVICE_NAME_LABEL,
  type ControllerContext,
  type ManagedController,
} from "../controller-context.ts";
import { MANAGED_BY } from "../endpoint-slice/plan.ts";
import { controllerOf } from "../ownership/controller-ref.ts";
import { createSlowly, named } from "../writes/create-named.ts";
import { isNamespaceTerminating } from "../writes/namespace-terminating.ts";
import { MirroringMetrics } from "./mirroring-metrics.ts";
import { isMirrored, MIRROR_MANAGER, planMirror, type MirrorPlan } from "./plan.ts";

const WORKERS = 5;

export interface MirroringOptions {
  /** 1,000 where unset. */
  readonly mirroringMaxEndpointsPerSubset?: number;
}

export function createMirroringController(
  context: ControllerContext,
  options: MirroringOptions = {},
): ManagedController {
  const { caches, client, env, informers, recorder } = context;
  const endpoints = informers.informer<Endpoints>(ENDPOINTS);
  const expectations = createExpectations(context);
  const max = options.mirroringMaxEndpointsPerSubset ?? 1_000;

  const metrics = new MirroringMetrics(context.metrics, env.clock);

  const reconcile = (key: string, signal: AbortSignal): Promise<ReconcileResult | void> =>
    metrics.timed(() => sync(key, signal));

  async function sync(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const present = caches.endpointSlices.lister.byIndex(BY_SERVICE, key).filter(isMirror);
    const object = endpoints.lister.get(key);
    const service = caches.services.lister.get(key);
    if (object === undefined || service === undefined || !isMirrored(object) || hasSelector(service)) {
      metrics.forget(key);
      await settleAll(present.map((slice) => remove(slice)));
      return undefined;
    }
    const uid = object.metadata?.uid ?? "";
    if (!expectations.satisfied(uid)) return { requeueAfterMs: expectations.expiresInMs(uid) + 1 };
    const plan = planMirror(object, present, max);
    tell(object, plan);
    metrics.planned(key, plan);
    await settleAll([
      create(object, plan.create, signal),
      ...plan.update.map((slice) => update(slice)),
      ...plan.remove.map((slice) => remove(slice)),
    ]);
    return undefined;
  }

  function tell(object: Endpoints, { invalid, skipped }: MirrorPlan): void {
    const about = { ...object, apiVersion: "v1", kind: "Endpoints" };
    if (invalid > 0) {
      const message = `Skipped ${invalid} invalid IP addresses when mirroring to EndpointSlices`;
      recorder.event(about, "Warning", "InvalidIPAddress", message);
    }
    if (skipped > invalid) {
      const limit = `A max of ${max} addresses can be mirrored to EndpointSlices per Endpoints subset.`;
      recorder.event(about, "Warning", "TooManyAddressesToMirror", `${limit} ${skipped} addresses were skipped`);
    }
  }

  async function create(object: Endpoints, slices: readonly EndpointSlice[], signal: AbortSignal): Promise<void> {
    if (object.metadata?.deletionTimestamp !== undefined || slices.length === 0) return;
    const uid = object.metadata?.uid ?? "";
    expectations.expectCreations(uid, slices.length);
    const objects = slices.map((slice) => named(env, slice));
    const initialBatch = slices.length;
    const outcomes = await createSlowly({ env, client }, ENDPOINT_SLICES, objects, { initialBatch, signal });
    for (const outcome of outcomes) {
      if (outcome.kind === "created") metrics.wrote("create");
      if (outcome.kind !== "failed") continue;
      expectations.creationFailed(uid, outcome.error);
      if (!isNamespaceTerminating(outcome.error)) throw outcome.error;
    }
  }

  async function update(slice: EndpointSlice): Promise<void> {
    try {
      await client.update(ENDPOINT_SLICES, slice);
      metrics.wrote("update");
    } catch (error) {
      // The cache is behind; its next change leads back here.
      if (!isReason(error, "Conflict", "NotFound")) throw error;
    }
  }

  async function remove(slice: EndpointSlice): Promise<void> {
    const { namespace, name = "", uid } = slice.metadata ?? {};
    try {
      await client.delete(ENDPOINT_SLICES, { namespace, name }, { preconditions: { uid } });
      metrics.wrote("delete");
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }

  const controller = createController(
    { name: "endpointslice-mirroring-controller", workers: WORKERS, reconcile },
    context,
  );
  endpoints.addHandler({
    add: (object) => controller.enqueue(objectKey(object)),
    update: (object) => controller.enqueue(objectKey(object)),
    delete(object) {
      expectations.forget(object.metadata?.uid ?? "");
      controller.enqueue(objectKey(object));
    },
  });
  caches.services.addHandler({
    add: (service) => controller.enqueue(objectKey(service)),
    update(service, old) {
      if (hasSelector(service) !== hasSelector(old)) controller.enqueue(objectKey(service));
    },
    delete: (service) => controller.enqueue(objectKey(service)),
  });
  const enqueueOf = (slice: EndpointSlice): void => {
    if (isMirror(slice)) controller.enqueue(`${slice.metadata?.namespace ?? ""}/${serviceOf(slice)}`);
  };
  caches.endpointSlices.addHandler({
    add(slice) {
      const owner = isMirror(slice) ? controllerOf(slice) : undefined;
      if (owner !== undefined) expectations.creationObserved(owner.uid);
      enqueueOf(slice);
    },
    update(slice, old) {
      if (deepEqual(slice, old)) return;
      enqueueOf(slice);
      enqueueOf(old);
    },
    delete: enqueueOf,
  });
  return { controller };
}

const hasSelector = (service: Service): boolean => service.spec?.selector !== undefined;
const serviceOf = (slice: EndpointSlice): string => slice.metadata?.labels?.[SERVICE_NAME_LABEL] ?? "";
const isMirror = ({ metadata }: EndpointSlice): boolean => metadata?.labels?.[MANAGED_BY] === MIRROR_MANAGER;
