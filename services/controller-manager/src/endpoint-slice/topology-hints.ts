// Hints by zones for Services that ask for them by annotation: each zone gets as many endpoints as its share of the nodes' processors.
// Pure. Guarantees: all endpoints that are ready have a hint, or none has; one keeps its zone while that zone has not too many.
// https://kubernetes.io/docs/concepts/services-networking/topology-aware-routing/
import type { Endpoint, Node, Service } from "@coxswain/api";
import { isQuantity, parseQuantity } from "@coxswain/apimachinery";
import type { EndpointPlan, PortGroup } from "./endpoints.ts";

const OLD_ANNOTATION = "service.kubernetes.io/topology-aware-hints";
const ANNOTATION = "service.kubernetes.io/topology-mode";
const ZONE_LABEL = "topology.kubernetes.io/zone";
const EXCLUDED = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
/** How much more than its share an endpoint may get to do. */
const OVERLOAD = 0.2;

/** Shares of the processors of all nodes, by zone; undefined where one node does not tell, or all are in one zone. */
export type ZoneShares = ReadonlyMap<string, number> | undefined;

export type HintPlan =
  | { readonly groups: EndpointPlan["groups"]; readonly problem?: undefined }
  /** Why no endpoint has a hint. */
  | { readonly problem: string };

export function wantsTopologyHints({ metadata }: Service): boolean {
  const { [OLD_ANNOTATION]: old, [ANNOTATION]: mode } = metadata?.annotations ?? {};
  return ["Auto", "auto"].includes(old ?? mode ?? "");
}

/** What of a node decides about shares. */
export function shareFacts({ metadata, status }: Node): readonly [counts: boolean, zone: string, cpu: string] {
  const { labels = {} } = metadata ?? {};
  const ready = status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;
  const counts = ready && !EXCLUDED.some((label) => labels[label] !== undefined);
  return [counts, labels[ZONE_LABEL] ?? "", status?.allocatable?.["cpu"] ?? "0"];
}

export function zoneShares(nodes: readonly Node[]): ZoneShares {
  const millis = new Map<string, number>();
  for (const node of nodes) {
    const [counts, zone, cpu] = shareFacts(node);
    if (!counts) continue;
    const amount = isQuantity(cpu) ? parseQuantity(cpu).milliValue() : 0;
    if (zone === "" || amount <= 0) return undefined;
    millis.set(zone, (millis.get(zone) ?? 0) + amount);
  }
  if (millis.size < 2) return undefined;
  const total = [...millis.values()].reduce((sum, one) => sum + one, 0);
  return new Map([...millis].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([zone, amount]) => [zone, amount / total]));
}

interface Allocation {
  readonly desired: number;
  readonly maximum: number;
}

/** How many of `count` endpoints each zone gets; a text where that cannot be. */
function allocate(shares: ReadonlyMap<string, number>, count: number): ReadonlyMap<string, Allocation> | string {
  const numbers = `(${count} endpoints, ${shares.size} zones)`;
  if (shares.size > count) return `Insufficient number of endpoints ${numbers}`;
  const least = new Map([...shares].map(([zone, share]) => [zone, Math.ceil((share * count) / (1 + OVERLOAD))]));
  const total = [...least.values()].reduce((sum, one) => sum + one, 0);
  if (total > count) {
    return `Unable to allocate minimum required endpoints to each zone without exceeding overload threshold ${numbers}`;
  }
  return new Map(
    [...shares].map(([zone, share]) => {
      const minimum = least.get(zone) ?? 0;
      return [zone, { desired: Math.max(share * count, minimum), maximum: minimum + count - total }];
    }),
  );
}

const INSUFFICIENT = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes";

/** `before` gives the zone that an endpoint was meant for. */
export function planTopologyHints(
  groups: EndpointPlan["groups"],
  shares: ZoneShares,
  before: (endpoint: Endpoint) => string | undefined,
): HintPlan {
  const ready = [...groups.values()].flatMap(({ endpoints }) =>
    endpoints.filter(({ conditions }) => conditions?.ready),
  );
  if (shares === undefined) return { problem: INSUFFICIENT };
  const allocations = allocate(shares, ready.length);
  if (typeof allocations === "string") return { problem: allocations };
  if (ready.some(({ zone }) => !zone)) return { problem: "One or more endpoints do not have a zone specified" };
  const chosen = new Map<Endpoint, string>();
  const counts = new Map<string, number>();
  const choose = (endpoint: Endpoint, zone: string): void => {
    chosen.set(endpoint, zone);
    counts.set(zone, (counts.get(zone) ?? 0) + 1);
  };
  for (const endpoint of ready) {
    const zone = before(endpoint);
    const most = zone === undefined ? 0 : (allocations.get(zone)?.maximum ?? 0);
    if (zone !== undefined && (counts.get(zone) ?? 0) < most) choose(endpoint, zone);
  }
  const fresh = ready.filter((endpoint) => !chosen.has(endpoint));
  for (const endpoint of fresh) choose(endpoint, endpoint.zone!);
  redistribute(fresh, chosen, moves(allocations, counts));
  return { groups: hinted(groups, chosen) };
}

interface Moves {
  /** How many endpoints each zone gives away, and gets. */
  readonly giving: Map<string, number>;
  readonly receiving: Map<string, number>;
}

function moves(allocations: ReadonlyMap<string, Allocation>, counts: ReadonlyMap<string, number>): Moves {
  const spare = new Map<string, number>();
  const lacking = new Map<string, number>();
  for (const [zone, { desired }] of allocations) {
    const over = (counts.get(zone) ?? 0) - desired;
    if (over > 0) spare.set(zone, over);
    else if (over < 0) lacking.set(zone, -over);
  }
  const result: Moves = { giving: new Map(), receiving: new Map() };
  for (;;) {
    const [giver, give] = most(spare);
    const [taker, take] = most(lacking);
    // Half an endpoint is worth a move where a whole one stands against it.
    if (giver === "" || taker === "" || (give < 1 && take < 1) || give < 0.5 || take < 0.5) return result;
    result.giving.set(giver, (result.giving.get(giver) ?? 0) + 1);
    result.receiving.set(taker, (result.receiving.get(taker) ?? 0) + 1);
    spare.set(giver, give - 1);
    lacking.set(taker, take - 1);
  }
}

function most(zones: ReadonlyMap<string, number>): readonly [zone: string, amount: number] {
  let found: readonly [string, number] = ["", 0];
  for (const [zone, amount] of zones) if (amount > found[1]) found = [zone, amount];
  return found;
}

function redistribute(fresh: readonly Endpoint[], chosen: Map<Endpoint, string>, { giving, receiving }: Moves): void {
  for (const endpoint of fresh) {
    const from = endpoint.zone ?? "";
    const to = [...receiving].find(([, left]) => left > 0)?.[0];
    const left = giving.get(from) ?? 0;
    if (to === undefined || left === 0) continue;
    giving.set(from, left - 1);
    receiving.set(to, (receiving.get(to) ?? 0) - 1);
    chosen.set(endpoint, to);
  }
}

function hinted(groups: EndpointPlan["groups"], chosen: ReadonlyMap<Endpoint, string>): EndpointPlan["groups"] {
  const withHint = (endpoint: Endpoint): Endpoint => {
    const zone = chosen.get(endpoint);
    return zone === undefined ? endpoint : { ...endpoint, hints: { forZones: [{ name: zone }] } };
  };
  const group = ({ ports, endpoints }: PortGroup): PortGroup => ({ ports, endpoints: endpoints.map(withHint) });
  return new Map([...groups].map(([key, one]) => [key, group(one)]));
}
