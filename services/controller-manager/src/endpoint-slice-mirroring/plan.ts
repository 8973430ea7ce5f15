// From an Endpoints object that somebody wrote by hand to EndpointSlices that say the same, one for each subset and address
// family. Pure. Guarantees: no slice holds more than `max` endpoints; what cannot be an address is left out and counted; slices
// that say the right thing are not written.
import type { DiscoveryEndpointPort, Endpoint, EndpointAddress, Endpoints, EndpointSlice } from "@coxswain/api";
import { looseIp } from "@coxswain/api/validation/ip";
import { deepEqual } from "@coxswain/apimachinery";
import { SERVICE_NAME_LABEL } from "../controller-context.ts";
import { MANAGED_BY } from "../endpoint-slice/plan.ts";
import { portsKey } from "../endpoint-slice/endpoints.ts";
import type { ServiceSize } from "../endpoint-slice/slice-totals.ts";
import { controllerReference } from "../ownership/controller-ref.ts";

export const MIRROR_MANAGER = "endpointslicemirroring-controller.k8s.io";
const SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror";
const LEADER = "control-plane.alpha.kubernetes.io/leader";
/** What is about the Endpoints object alone. */
const NOT_COPIED = [
  "endpoints.kubernetes.io/last-change-trigger-time",
  "kubectl.kubernetes.io/last-applied-configuration",
];

export interface MirrorPlan {
  readonly create: EndpointSlice[];
  readonly update: EndpointSlice[];
  readonly remove: EndpointSlice[];
  /** Addresses that are none. */
  readonly invalid: number;
  /** All addresses that were left out, the invalid ones among them. */
  readonly skipped: number;
  /** Endpoints that no slice with the same ports had, had otherwise, or has no more. */
  added: number;
  updated: number;
  removed: number;
  readonly size: ServiceSize;
}

/** False for what is not to be mirrored whatever its Service. */
export function isMirrored({ metadata }: Endpoints): boolean {
  return metadata?.labels?.[SKIP_MIRROR] !== "true" && metadata?.annotations?.[LEADER] === undefined;
}

interface Group {
  readonly type: "IPv4" | "IPv6";
  readonly ports: DiscoveryEndpointPort[];
  readonly endpoints: Map<string, Endpoint>;
}

function endpointOf({ ip, hostname, nodeName, targetRef }: EndpointAddress, ready: boolean): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    ...(targetRef === undefined ? {} : { targetRef }),
  };
}

function groupsOf(endpoints: Endpoints, max: number) {
  const groups = new Map<string, Group>();
  let [invalid, skipped] = [0, 0];
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of endpoints.subsets ?? []) {
    const mapped = ports.map(({ name = "", port, protocol = "TCP", appProtocol }) => ({
      name,
      port,
      protocol,
      ...(appProtocol === undefined ? {} : { appProtocol }),
    }));
    let added = 0;
    const add = (address: EndpointAddress, ready: boolean): void => {
      if (added >= max) return;
      const ip = looseIp(address.ip);
      if (ip === undefined) {
        invalid++;
        return;
      }
      const type = ip.family;
      const key = `${type} ${portsKey(mapped)}`;
      let group = groups.get(key);
      if (group === undefined) groups.set(key, (group = { type, ports: mapped, endpoints: new Map() }));
      group.endpoints.set(
        `${ip.canonical} ${address.targetRef?.uid ?? ""}`,
        endpointOf({ ...address, ip: ip.canonical }, ready),
      );
      added++;
    };
    for (const address of addresses) add(address, true);
    for (const address of notReadyAddresses) add(address, false);
    skipped += addresses.length + notReadyAddresses.length - added;
  }
  return { groups, invalid, skipped };
}

function metadataOf(
  endpoints: Endpoints,
): Required<Pick<NonNullable<EndpointSlice["metadata"]>, "labels" | "annotations">> {
  const annotations: Record<string, string> = { ...endpoints.metadata?.annotations };
  for (const name of NOT_COPIED) delete annotations[name];
  const name = endpoints.metadata?.name ?? "";
  return {
    labels: { ...endpoints.metadata?.labels, [SERVICE_NAME_LABEL]: name, [MANAGED_BY]: MIRROR_MANAGER },
    annotations,
  };
}

const textOf = ({ addresses, targetRef }: Endpoint): string => `${addresses[0] ?? ""} ${targetRef?.uid ?? ""}`;
const sorted = (endpoints: readonly Endpoint[] | null | undefined): Endpoint[] =>
  (endpoints ?? []).toSorted((a, b) => (textOf(a) < textOf(b) ? -1 : 1));

/** The writes; `present` are the slices that mirror this object. */
export function planMirror(endpoints: Endpoints, present: readonly EndpointSlice[], max: number): MirrorPlan {
  const { groups, invalid, skipped } = groupsOf(endpoints, max);
  const counted = [...groups.values()].map((group) => group.endpoints.size);
  const size = {
    endpoints: counted.reduce((sum, one) => sum + one, 0),
    slices: groups.size,
    desired: counted.reduce((sum, one) => sum + Math.ceil(one / max), 0),
  };
  const counts = { invalid, skipped, added: 0, updated: 0, removed: 0, size };
  const plan: MirrorPlan = { create: [], update: [], remove: [], ...counts };
  const metadata = metadataOf(endpoints);
  const free: EndpointSlice[] = [];
  const places = new Map<string, EndpointSlice>();
  for (const slice of present) {
    const key = `${slice.addressType} ${portsKey(slice.ports)}`;
    if (groups.has(key) && !places.has(key)) places.set(key, slice);
    else free.push(slice);
  }
  for (const [key, group] of groups) {
    const wanted = sorted([...group.endpoints.values()]).slice(0, max);
    count(plan, places.get(key)?.endpoints ?? [], wanted);
    // A slice of another set of ports may take its place; its family never changes.
    const spare = places.has(key) ? -1 : free.findIndex(({ addressType }) => addressType === group.type);
    const slice = places.get(key) ?? (spare < 0 ? undefined : free.splice(spare, 1)[0]);
    if (slice === undefined) {
      const { name = "", namespace } = endpoints.metadata ?? {};
      const own = { generateName: `${name}-`, namespace, ...metadata };
      const ownerReferences = [controllerReference(endpoints, "v1", "Endpoints")];
      plan.create.push({
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { ...own, ownerReferences },
        addressType: group.type,
        endpoints: wanted,
        ports: group.ports,
      });
    } else if (!says(slice, group, wanted, metadata)) {
      plan.update.push({
        ...slice,
        metadata: { ...slice.metadata, ...metadata },
        endpoints: wanted,
        ports: group.ports,
      });
    }
  }
  plan.remove.push(...free);
  return plan;
}

function count(plan: MirrorPlan, before: readonly Endpoint[], after: readonly Endpoint[]): void {
  const known = new Map(before.map((endpoint) => [textOf(endpoint), endpoint]));
  for (const endpoint of after) {
    const same = known.get(textOf(endpoint));
    if (same === undefined) plan.added++;
    else if (!deepEqual(same, endpoint)) plan.updated++;
    known.delete(textOf(endpoint));
  }
  plan.removed += known.size;
}

function says(
  slice: EndpointSlice,
  group: Group,
  wanted: readonly Endpoint[],
  metadata: ReturnType<typeof metadataOf>,
) {
  return (
    portsKey(slice.ports) === portsKey(group.ports) &&
    deepEqual(sorted(slice.endpoints), wanted) &&
    deepEqual(slice.metadata?.labels ?? {}, metadata.labels) &&
    deepEqual(slice.metadata?.annotations ?? {}, metadata.annotations)
  );
}
