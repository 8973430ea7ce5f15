// The EndpointSlice controller: lists the pods behind every Service that has a selector. Guarantees: while the cache has
// not shown the slices that it made or changed, it writes no others.
import { ENDPOINT_SLICES, type EndpointSlice, type Pod, type Service } from "@coxswain/api";
import { compareResourceVersions, isReason, objectKey, selectorFromLabels } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import { createController, createExpectations, settleAll, type ReconcileResult } from "@coxswain/controller-runtime";
import {
  BY_NAMESPACE,
  BY_SERVICE,
  SERVICE_NAME_LABEL,
  type ControllerContext,
  type ManagedController,
} from "../controller-context.ts";
import { controllerOf } from "../ownership/controller-ref.ts";
import { createSlowly, named } from "../writes/create-named.ts";
import { isNamespaceTerminating } from "../writes/namespace-terminating.ts";
import { planEndpoints, type AddressType, type EndpointPlan } from "./endpoints.ts";
import { EndpointSliceMetrics } from "./endpoint-slice-metrics.ts";
import { followEndpoints } from "./event-handlers.ts";
import { fewestSlices, identity, MANAGED_BY, MANAGER, planSlices, type SliceWrites } from "./plan.ts";
import { planTopologyHints, wantsTopologyHints, zoneShares } from "./topology-hints.ts";
import { TriggerTimes, withTriggerTime } from "./trigger-times.ts";

const WORKERS = 5;
const NODE_UNKNOWN_MS = 1_000;
const STALE_MS = 1_000;
const HINTED = "hinted";

/** A look at a Service that has to come again, and as what it counts. */
interface Again extends ReconcileResult {
  readonly counts: "stale" | "error";
}

export interface EndpointSliceOptions {
  /** 100 where unset. */
  readonly maxEndpointsPerSlice?: number;
}

export function createEndpointSliceController(
  context: ControllerContext,
  options: EndpointSliceOptions = {},
): ManagedController {
  const { caches, env, client, recorder } = context;
  const expectations = createExpectations(context);
  /** The version of each slice's last change by this process, by UID. */
  const written = new Map<string, string>();
  const times = new TriggerTimes();
  /** By Service and address type: that its endpoints have hints by zones, or why not. */
  const hinting = new Map<string, string>();
  const maxEndpoints = options.maxEndpointsPerSlice ?? 100;

  const metrics = new EndpointSliceMetrics(context.metrics);

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    try {
      const again = await sync(key, signal);
      metrics.synced(again?.counts ?? "success");
      return again;
    } catch (error) {
      metrics.synced("error");
      throw error;
    }
  }

  async function sync(key: string, signal: AbortSignal): Promise<Again | undefined> {
    const service = caches.services.lister.get(key);
    const uid = service?.metadata?.uid ?? "";
    if (service === undefined || service.metadata?.deletionTimestamp !== undefined) return undefined;
    if (service.spec?.type === "ExternalName" || service.spec?.selector === undefined) return undefined;
    if (!expectations.satisfied(uid)) return { counts: "stale", requeueAfterMs: expectations.expiresInMs(uid) + 1 };
    const pods = podsOf(service);
    const present = caches.endpointSlices.lister.byIndex(BY_SERVICE, key).filter(isOurs);
    // The cache's next change of the slice leads back here; the delay is for the case that none comes.
    if (present.some(isStale)) return { counts: "stale", requeueAfterMs: STALE_MS };
    const changedAt = times.next(service, pods);
    const stamped = (slice: EndpointSlice): EndpointSlice => {
      const { annotations: before, ...metadata } = slice.metadata ?? {};
      const annotations = withTriggerTime(before, changedAt);
      return { ...slice, metadata: { ...metadata, ...(annotations === undefined ? {} : { annotations }) } };
    };
    let incomplete = false;
    const types: readonly string[] = addressTypes(service);
    const others = present.filter((slice) => !types.includes(slice.addressType) || controllerOf(slice)?.uid !== uid);
    // Of a family that the Service has no more, or of an earlier Service of the name.
    if (others.length > 0) await execute(service, { create: [], update: [], remove: others }, signal);
    const size = { endpoints: 0, slices: 0, desired: 0 };
    for (const type of addressTypes(service)) {
      const wanted = planEndpoints(service, pods, type, (name) => caches.nodes.lister.get(name));
      incomplete ||= wanted.incomplete;
      const same = present.filter((slice) => slice.addressType === type && !others.includes(slice));
      const groups = withHints(service, type, wanted.groups, same);
      const plan = planSlices(service, type, groups, same, maxEndpoints);
      const { create, update: change, remove } = plan;
      metrics.planned(plan);
      for (const group of groups.values()) size.endpoints += group.endpoints.length;
      size.slices += same.length + create.length - remove.length;
      size.desired += fewestSlices(groups, maxEndpoints);
      await execute(service, { create: create.map(stamped), update: change.map(stamped), remove }, signal);
      metrics.executed(service, plan);
    }
    if (caches.services.lister.get(key) !== undefined) metrics.measured(service, size);
    return incomplete ? { counts: "error", requeueAfterMs: NODE_UNKNOWN_MS } : undefined;
  }

  /** Hints by shares of zones, where the Service asks for them; an event says when they come and why they go. */
  function withHints(
    service: Service,
    type: AddressType,
    groups: EndpointPlan["groups"],
    present: readonly EndpointSlice[],
  ): EndpointPlan["groups"] {
    const key = `${objectKey(service)} ${type}`;
    const before = hinting.get(key);
    const tell = (now: string | undefined, normal: boolean, message: string): void => {
      if (now === undefined) hinting.delete(key);
      else hinting.set(key, now);
      if (now === before) return;
      const reason = normal ? "TopologyAwareHintsEnabled" : "TopologyAwareHintsDisabled";
      const about = { ...service, apiVersion: "v1", kind: "Service" };
      recorder.event(about, normal ? "Normal" : "Warning", reason, `${message}, addressType: ${type}`);
    };
    if (!wantsTopologyHints(service)) {
      if (before === HINTED) tell(undefined, false, "Topology Aware Hints has been disabled");
      else hinting.delete(key);
      return groups;
    }
    const zones = new Map<string, string>();
    for (const endpoint of present.flatMap(({ endpoints }) => endpoints ?? [])) {
      const zone = endpoint.hints?.forZones?.[0]?.name;
      if (zone !== undefined) zones.set(identity(endpoint), zone);
    }
    const plan = planTopologyHints(groups, zoneShares(caches.nodes.lister.list()), (one) => zones.get(identity(one)));
    if (plan.problem === undefined) tell(HINTED, true, "Topology Aware Hints has been enabled");
    else tell(plan.problem, false, plan.problem);
    return plan.problem === undefined ? plan.groups : groups;
  }

  function isStale(slice: EndpointSlice): boolean {
    const version = written.get(slice.metadata?.uid ?? "");
    return version !== undefined && compareResourceVersions(slice.metadata?.resourceVersion ?? "", version) < 0;
  }

  async function update(slice: EndpointSlice): Promise<void> {
    const stored = await client.update(ENDPOINT_SLICES, slice);
    written.set(stored.metadata?.uid ?? "", stored.metadata?.resourceVersion ?? "");
    metrics.wrote("update");
  }

  async function remove(slice: EndpointSlice): Promise<undefined> {
    if (await removeSlice(client, slice)) metrics.wrote("delete");
    return undefined;
  }

  function podsOf(service: Service): Pod[] {
    const selector = selectorFromLabels(service.spec?.selector);
    if (selector.isEmpty) return [];
    const all = caches.pods.lister.byIndex(BY_NAMESPACE, service.metadata?.namespace ?? "");
    return all.filter((pod) => selector.matches(pod.metadata?.labels));
  }

  async function execute(service: Service, plan: SliceWrites, signal: AbortSignal): Promise<void> {
    try {
      await settleAll([
        createSlices(service, plan.create, signal),
        ...plan.update.map((slice) => update(slice)),
        ...plan.remove.map((slice) => remove(slice)),
      ]);
    } catch (error) {
      const about = { ...service, apiVersion: "v1", kind: "Service" };
      const text = error instanceof Error ? error.message : String(error);
      if (!isReason(error, "Conflict")) {
        const message = `Error updating Endpoint Slices for Service ${objectKey(service)}: ${text}`;
        recorder.event(about, "Warning", "FailedToUpdateEndpointSlices", message);
      }
      throw error;
    }
  }

  async function createSlices(service: Service, slices: readonly EndpointSlice[], signal: AbortSignal): Promise<void> {
    const uid = service.metadata?.uid ?? "";
    expectations.expectCreations(uid, slices.length);
    const objects = slices.map((slice) => named(env, slice));
    const initialBatch = Math.max(1, slices.length);
    const outcomes = await createSlowly({ env, client }, ENDPOINT_SLICES, objects, { initialBatch, signal });
    let problem: Error | undefined;
    for (const outcome of outcomes) {
      if (outcome.kind === "created") metrics.wrote("create");
      if (outcome.kind !== "failed") continue;
      expectations.creationFailed(uid, outcome.error);
      if (!isNamespaceTerminating(outcome.error)) problem = outcome.error;
    }
    if (problem !== undefined) throw problem;
  }

  const controller = createController({ name: "endpointslice-controller", workers: WORKERS, reconcile }, context);
  followEndpoints(caches, controller, expectations);
  caches.services.addHandler({
    delete: (service) => {
      times.forget(service);
      metrics.forget(service);
      for (const type of ["IPv4", "IPv6"]) hinting.delete(`${objectKey(service)} ${type}`);
    },
  });
  caches.endpointSlices.addHandler({ delete: (slice) => void written.delete(slice.metadata?.uid ?? "") });
  return { controller };
}

/** Slices that others made for the Service are theirs. */
export function isOurs(slice: EndpointSlice): boolean {
  const { labels = {}, deletionTimestamp } = slice.metadata ?? {};
  return labels[MANAGED_BY] === MANAGER && labels[SERVICE_NAME_LABEL] !== undefined && deletionTimestamp === undefined;
}

function addressTypes(service: Service): AddressType[] {
  const families = (service.spec?.ipFamilies ?? []).filter((family) => family === "IPv4" || family === "IPv6");
  return families.length === 0 ? ["IPv4"] : families;
}

/** False where it was gone, or is another one by now. */
async function removeSlice(client: ResourceClient, slice: EndpointSlice): Promise<boolean> {
  const { namespace, name = "", uid } = slice.metadata ?? {};
  try {
    await client.delete(ENDPOINT_SLICES, { namespace, name }, { preconditions: { uid } });
    return true;
  } catch (error) {
    if (!isReason(error, "NotFound", "Conflict")) throw error;
    return false;
  }
}
