// From a Service and its pods to an Endpoints object: the form that EndpointSlices replaced. Pure. Guarantees: an address stands
// once with a port; no object holds more than a thousand addresses, ready ones first, and one that was cut says so.
import type { EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Pod, Service } from "@coxswain/api";
import { deepEqual } from "@coxswain/apimachinery";
import { targetPortOf } from "../endpoint-slice/endpoints.ts";
import { isPodReady, isPodTerminal } from "../pods/pod-state.ts";

export const MANAGED_BY = "endpoints.kubernetes.io/managed-by";
export const MANAGER = "endpoint-controller";
const HEADLESS = "service.kubernetes.io/headless";
const OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity";
export const MAX_ADDRESSES = 1_000;

function addressOf(service: Service, pod: Pod): EndpointAddress | undefined {
  const wantsV6 = (service.spec?.ipFamilies?.[0] ?? "IPv4") === "IPv6";
  const ips = (pod.status?.podIPs ?? []).map(({ ip }) => ip);
  if (ips.length === 0 && pod.status?.podIP) ips.push(pod.status.podIP);
  const ip = ips.find((one) => one.includes(":") === wantsV6);
  if (ip === undefined) return undefined;
  const { hostname, subdomain, nodeName } = pod.spec ?? {};
  const { namespace, name, uid } = pod.metadata ?? {};
  return {
    ip,
    ...(hostname && subdomain === service.metadata?.name ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

function portsOf(service: Service, pod: Pod): EndpointPort[] {
  return (service.spec?.ports ?? []).flatMap((port) => {
    const number = targetPortOf(pod, port);
    if (number === undefined) return [];
    const { name, protocol = "TCP", appProtocol } = port;
    return [{ ...(name ? { name } : {}), port: number, protocol, ...(appProtocol ? { appProtocol } : {}) }];
  });
}

interface Group {
  readonly ports: readonly EndpointPort[];
  readonly ready: EndpointAddress[];
  readonly notReady: EndpointAddress[];
}

const byAddress = (a: EndpointAddress, b: EndpointAddress): number => {
  const [x, y] = [a, b].map(({ ip, targetRef }) => `${ip} ${targetRef?.uid ?? ""}`) as [string, string];
  return x < y ? -1 : x > y ? 1 : 0;
};
const portText = (port: EndpointPort): string =>
  JSON.stringify([port.name ?? "", port.port, port.protocol ?? "TCP", port.appProtocol ?? ""]);
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The subsets: pods that serve the same ports together. */
export function planSubsets(service: Service, pods: readonly Pod[]): EndpointSubset[] {
  const early = service.spec?.publishNotReadyAddresses === true;
  const groups = new Map<string, Group>();
  for (const pod of pods) {
    if (isPodTerminal(pod) || (!early && pod.metadata?.deletionTimestamp !== undefined)) continue;
    const address = addressOf(service, pod);
    if (address === undefined) continue;
    const ports = portsOf(service, pod).toSorted((a, b) => byText(portText(a), portText(b)));
    const portless = (service.spec?.ports ?? []).length === 0;
    if (ports.length === 0 && !(portless && service.spec?.clusterIP === "None")) continue;
    const key = ports.map(portText).join(";");
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = { ports, ready: [], notReady: [] }));
    (early || isPodReady(pod) ? group.ready : group.notReady).push(address);
  }
  return [...groups]
    .toSorted(([a], [b]) => byText(a, b))
    .map(([, { ports, ready, notReady }]) => ({
      ...(ready.length === 0 ? {} : { addresses: ready.toSorted(byAddress) }),
      ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady.toSorted(byAddress) }),
      ...(ports.length === 0 ? {} : { ports: [...ports] }),
    }));
}

/** Cuts to `max` addresses, each subset by its share: those that are not ready first. Undefined where all fit. */
export function truncate(subsets: readonly EndpointSubset[], max: number): EndpointSubset[] | undefined {
  const count = (of: (subset: EndpointSubset) => readonly EndpointAddress[] | undefined): number =>
    subsets.reduce((sum, subset) => sum + (of(subset)?.length ?? 0), 0);
  const ready = count(({ addresses }) => addresses);
  const notReady = count(({ notReadyAddresses }) => notReadyAddresses);
  if (ready + notReady <= max) return undefined;
  const cutsReady = ready > max;
  const room = cutsReady ? max : max - ready;
  const total = cutsReady ? ready : notReady;
  let left = room;
  const share = (list: readonly EndpointAddress[] = []): EndpointAddress[] => {
    const kept = list.slice(0, Math.min(left, Math.ceil((list.length / total) * room)));
    left -= kept.length;
    return kept;
  };
  return subsets
    .map(({ addresses, notReadyAddresses, ...rest }) => {
      const kept = cutsReady ? share(addresses) : (addresses ?? []);
      const waiting = cutsReady ? [] : share(notReadyAddresses);
      return {
        ...(kept.length === 0 ? {} : { addresses: kept }),
        ...(waiting.length === 0 ? {} : { notReadyAddresses: waiting }),
        ...rest,
      };
    })
    .filter(({ addresses, notReadyAddresses }) => addresses !== undefined || notReadyAddresses !== undefined);
}

/** The object as it has to be; undefined where `present` is that already. */
export function planEndpointsObject(
  service: Service,
  pods: readonly Pod[],
  present: Endpoints | undefined,
): Endpoints | undefined {
  const all = planSubsets(service, pods);
  const cut = truncate(all, MAX_ADDRESSES);
  const { name = "", namespace } = service.metadata ?? {};
  const labels: Record<string, string> = { ...service.metadata?.labels };
  delete labels[HEADLESS];
  if (!service.spec?.clusterIP || service.spec.clusterIP === "None") labels[HEADLESS] = "";
  labels[MANAGED_BY] = MANAGER;
  const annotations: Record<string, string> = { ...present?.metadata?.annotations };
  delete annotations[OVER_CAPACITY];
  if (cut !== undefined) annotations[OVER_CAPACITY] = "truncated";
  const subsets = cut ?? all;
  const same =
    present !== undefined &&
    deepEqual(present.subsets ?? [], subsets) &&
    deepEqual(present.metadata?.labels ?? {}, labels) &&
    deepEqual(present.metadata?.annotations ?? {}, annotations);
  if (same) return undefined;
  return {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: {
      ...(present?.metadata ?? { name, namespace }),
      labels,
      ...(Object.keys(annotations).length === 0 ? { annotations: undefined } : { annotations }),
    },
    ...(subsets.length === 0 ? {} : { subsets }),
  };
}
