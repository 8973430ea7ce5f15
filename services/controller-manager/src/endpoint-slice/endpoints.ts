// From a Service and its pods to endpoints, grouped by the ports that they serve. Pure.
import type {
  Container,
  DiscoveryEndpointPort,
  Endpoint,
  EndpointHints,
  Node,
  Pod,
  Service,
  ServicePort,
} from "@coxswain/api";
import { wantsTopologyHints } from "./topology-hints.ts";
import { isPodReady, isPodTerminal } from "../pods/pod-state.ts";

export type AddressType = "IPv4" | "IPv6";

export interface PortGroup {
  readonly ports: readonly DiscoveryEndpointPort[];
  readonly endpoints: Endpoint[];
}

export interface EndpointPlan {
  /** By the text of their ports. */
  readonly groups: ReadonlyMap<string, PortGroup>;
  /** Pods were left out because their node is not known yet: look again. */
  readonly incomplete: boolean;
}

const isIpv6 = (address: string): boolean => address.includes(":");

function addressOf(pod: Pod, type: AddressType): string | undefined {
  const addresses = (pod.status?.podIPs ?? []).map(({ ip }) => ip);
  if (addresses.length === 0 && pod.status?.podIP) addresses.push(pod.status.podIP);
  return addresses.find((address) => isIpv6(address) === (type === "IPv6"));
}

/** Containers whose ports count: the regular ones and those init containers that keep running. */
function servingContainers(pod: Pod): Container[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === "Always");
  return [...(pod.spec?.containers ?? []), ...sidecars];
}

/** The port of the pod that a Service port leads to; undefined where the pod has none of that name. */
export function targetPortOf(pod: Pod, port: ServicePort): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === "number") return target === 0 ? port.port : target;
  const protocol = port.protocol ?? "TCP";
  return servingContainers(pod)
    .flatMap((container) => container.ports ?? [])
    .find((one) => one.name === target && (one.protocol ?? "TCP") === protocol)?.containerPort;
}

function portsOf(service: Service, pod: Pod): DiscoveryEndpointPort[] {
  return (service.spec?.ports ?? []).flatMap((port) => {
    const number = targetPortOf(pod, port);
    if (number === undefined) return [];
    const { name = "", protocol = "TCP", appProtocol } = port;
    return [{ name, protocol, port: number, ...(appProtocol === undefined ? {} : { appProtocol }) }];
  });
}

/** Undefined where the Service asks for none, or for one that nobody knows. */
export function trafficDistributionOf({ spec }: Service): string | undefined {
  const { trafficDistribution = "" } = spec ?? {};
  return ["PreferClose", "PreferSameZone", "PreferSameNode"].includes(trafficDistribution)
    ? trafficDistribution
    : undefined;
}

/** Whom the endpoint is meant for, where the Service prefers to keep its traffic near. */
function hintsOf(service: Service, zone: string | undefined, nodeName: string | undefined): EndpointHints | undefined {
  // Hints by shares of zones come over this.
  if (wantsTopologyHints(service)) return undefined;
  const trafficDistribution = trafficDistributionOf(service);
  if (trafficDistribution === undefined) return undefined;
  const forNode = trafficDistribution === "PreferSameNode" && Boolean(nodeName);
  if (zone === undefined && !forNode) return undefined;
  return {
    ...(zone === undefined ? {} : { forZones: [{ name: zone }] }),
    ...(forNode ? { forNodes: [{ name: nodeName! }] } : {}),
  };
}

function endpointOf(service: Service, pod: Pod, address: string, node: Node | undefined): Endpoint {
  const serving = isPodReady(pod);
  const terminating = pod.metadata?.deletionTimestamp !== undefined;
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const { name, namespace, uid } = pod.metadata ?? {};
  const zone = node?.metadata?.labels?.["topology.kubernetes.io/zone"];
  const { hostname, subdomain, nodeName } = pod.spec ?? {};
  const hints = ready ? hintsOf(service, zone, nodeName) : undefined;
  const named = Boolean(hostname) && subdomain === service.metadata?.name;
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(named ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    targetRef: { kind: "Pod", namespace, name, uid },
    ...(zone === undefined ? {} : { zone }),
    ...(hints === undefined ? {} : { hints }),
  };
}

/** The text by which equal lists of ports are found, whatever their order. */
export function portsKey(ports: readonly DiscoveryEndpointPort[] | null | undefined): string {
  const texts = (ports ?? []).map(({ name, protocol, port, appProtocol }) =>
    JSON.stringify([name ?? "", protocol ?? "TCP", port ?? 0, appProtocol ?? ""]),
  );
  return texts.toSorted().join(";");
}

/** The endpoints of one address type. `nodeOf` gives undefined for a node that is not known. */
export function planEndpoints(
  service: Service,
  pods: readonly Pod[],
  type: AddressType,
  nodeOf: (name: string) => Node | undefined,
): EndpointPlan {
  const groups = new Map<string, PortGroup>();
  let incomplete = false;
  for (const pod of pods) {
    const address = addressOf(pod, type);
    if (address === undefined || isPodTerminal(pod)) continue;
    const nodeName = pod.spec?.nodeName;
    const node = nodeName ? nodeOf(nodeName) : undefined;
    if (nodeName && node === undefined && service.spec?.publishNotReadyAddresses !== true) {
      incomplete = true;
      continue;
    }
    // A pod that serves none of the ports is listed, too: its address is asked for by name.
    const ports = portsOf(service, pod);
    const key = portsKey(ports);
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = { ports, endpoints: [] }));
    group.endpoints.push(endpointOf(service, pod, address, node));
  }
  return { groups, incomplete };
}
