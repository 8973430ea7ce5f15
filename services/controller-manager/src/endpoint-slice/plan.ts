// From wanted endpoints and present slices to the fewest writes. Pure. Guarantees: an endpoint that stays, stays in its
// slice; slices that need no change are not written; no slice holds more than `maxEndpoints`.
import type { Endpoint, EndpointSlice, Service } from "@coxswain/api";
import { deepEqual } from "@coxswain/apimachinery";
import { SERVICE_NAME_LABEL } from "../controller-context.ts";
import { controllerReference } from "../ownership/controller-ref.ts";
import { portsKey, type AddressType, type PortGroup } from "./endpoints.ts";

export const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
export const MANAGER = "endpointslice-controller.k8s.io";
const HEADLESS = "service.kubernetes.io/headless";

export interface SliceWrites {
  readonly create: EndpointSlice[];
  readonly update: EndpointSlice[];
  readonly remove: EndpointSlice[];
}

export interface SlicePlan extends SliceWrites {
  /** Endpoints that no slice had, and those that slices with the same ports have no more. */
  added: number;
  removed: number;
}

/** As few slices as do for these endpoints; one where there are none. */
export function fewestSlices(groups: ReadonlyMap<string, PortGroup>, maxEndpoints: number): number {
  const counts = [...groups.values()].map(({ endpoints }) => Math.ceil(endpoints.length / maxEndpoints));
  return Math.max(
    1,
    counts.reduce((sum, count) => sum + count, 0),
  );
}

/** What identifies an endpoint across changes of its conditions. */
export function identity(endpoint: Endpoint): string {
  return `${endpoint.targetRef?.uid ?? ""} ${endpoint.addresses.join(",")}`;
}

/** The labels of a slice: the Service's, and by whom and for what it was made. */
export function sliceLabels(service: Service): Record<string, string> {
  const labels: Record<string, string> = { ...service.metadata?.labels };
  delete labels[HEADLESS];
  if (service.spec?.clusterIP === "None") labels[HEADLESS] = "";
  return { ...labels, [SERVICE_NAME_LABEL]: service.metadata?.name ?? "", [MANAGED_BY]: MANAGER };
}

function makeSlice(service: Service, type: AddressType, group: PortGroup, endpoints: Endpoint[]): EndpointSlice {
  const { name = "", namespace } = service.metadata ?? {};
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: `${name}-`,
      namespace,
      labels: sliceLabels(service),
      ownerReferences: [controllerReference(service, "v1", "Service")],
    },
    addressType: type,
    endpoints,
    ports: [...group.ports],
  };
}

interface Draft {
  readonly slice: EndpointSlice;
  endpoints: Endpoint[];
  changed: boolean;
}

/** What is left of a slice: endpoints that are still wanted, in their present state. */
function draftOf(slice: EndpointSlice, wanted: Map<string, Endpoint>, labels: Record<string, string>): Draft {
  const endpoints = (slice.endpoints ?? []).flatMap((endpoint) => {
    const next = wanted.get(identity(endpoint));
    if (next === undefined) return [];
    wanted.delete(identity(endpoint));
    return [next];
  });
  const changed = !deepEqual(endpoints, slice.endpoints ?? []) || !deepEqual(slice.metadata?.labels, labels);
  return { slice, endpoints, changed };
}

/** Puts the endpoints that have no slice yet into `drafts`: first where a write is due anyway, the fullest first. */
function fill(drafts: readonly Draft[], wanted: Map<string, Endpoint>, maxEndpoints: number): Endpoint[] {
  const rest = [...wanted.values()];
  const room = (draft: Draft): number => maxEndpoints - draft.endpoints.length;
  const due = drafts.filter((draft) => draft.changed).toSorted((a, b) => room(a) - room(b));
  for (const draft of due) draft.endpoints.push(...rest.splice(0, Math.max(0, room(draft))));
  if (rest.length === 0 || rest.length >= maxEndpoints) return rest;
  // One slice that takes all of the rest is better than a new one.
  const roomy = drafts
    .filter((draft) => !draft.changed && room(draft) >= rest.length)
    .toSorted((a, b) => room(a) - room(b))[0];
  if (roomy === undefined) return rest;
  roomy.endpoints.push(...rest.splice(0));
  roomy.changed = true;
  return rest;
}

/** The writes for one address type. `present` are the Service's slices of that type. */
export function planSlices(
  service: Service,
  type: AddressType,
  groups: ReadonlyMap<string, PortGroup>,
  present: readonly EndpointSlice[],
  maxEndpoints: number,
): SlicePlan {
  const plan: SlicePlan = { create: [], update: [], remove: [], added: 0, removed: 0 };
  const labels = sliceLabels(service);
  const filled = [...groups].filter(([, group]) => group.endpoints.length > 0);
  const placeholder: [string, PortGroup] = ["", { ports: [], endpoints: [] }];
  const wantedGroups = new Map(filled.length > 0 ? filled : [placeholder]);
  for (const slice of present) if (!wantedGroups.has(portsKey(slice.ports))) plan.remove.push(slice);
  for (const [key, group] of wantedGroups) {
    const wanted = new Map(group.endpoints.map((endpoint) => [identity(endpoint), endpoint]));
    const mine = present.filter((slice) => portsKey(slice.ports) === key);
    const drafts = mine.map((slice) => draftOf(slice, wanted, labels));
    plan.added += wanted.size;
    for (const { slice, endpoints } of drafts) plan.removed += (slice.endpoints?.length ?? 0) - endpoints.length;
    const rest = fill(drafts, wanted, maxEndpoints);
    for (let at = 0; at < rest.length; at += maxEndpoints) {
      plan.create.push(makeSlice(service, type, group, rest.slice(at, at + maxEndpoints)));
    }
    settle(plan, drafts, labels, group.endpoints.length === 0);
    if (group.endpoints.length === 0 && mine.length === 0) plan.create.push(makeSlice(service, type, group, []));
  }
  return plan;
}

/** Empty slices go, except one where there is nothing at all; changed ones are written. */
function settle(plan: SlicePlan, drafts: readonly Draft[], labels: Record<string, string>, keepOne: boolean): void {
  for (const [at, { slice, endpoints, changed }] of drafts.entries()) {
    if (endpoints.length === 0 && !(keepOne && at === 0)) plan.remove.push(slice);
    else if (changed) plan.update.push({ ...slice, metadata: { ...slice.metadata, labels }, endpoints });
  }
}
