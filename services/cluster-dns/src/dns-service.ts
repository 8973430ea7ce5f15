// The objects through which pods find the DNS: Service kube-system/kube-dns and, as it selects no pods, an EndpointSlice that
// this process keeps for itself. Pure: what they must be, and whether what is stored is that.
import type { EndpointSlice, Service } from "@coxswain/api";
import { SERVICE_NAME_LABEL } from "./dns-index.ts";

export const DNS_NAMESPACE = "kube-system";
export const DNS_SERVICE = "kube-dns";
const MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by";
const MANAGER = "cluster-dns.coxswain.local";

export interface DnsPlace {
  /** The cluster address. */
  readonly clusterIp: string;
  /** Where this process is reached. */
  readonly address: string;
  readonly port: number;
  /** Tells processes that serve the same cluster apart. */
  readonly instance: string;
}

export function wantedService({ clusterIp, port }: DnsPlace): Service {
  return {
    metadata: {
      name: DNS_SERVICE,
      namespace: DNS_NAMESPACE,
      labels: {
        "k8s-app": "kube-dns",
        "kubernetes.io/cluster-service": "true",
        "kubernetes.io/name": "CoreDNS",
      },
    },
    spec: {
      type: "ClusterIP",
      clusterIP: clusterIp,
      ports: [
        { name: "dns", port: 53, protocol: "UDP", targetPort: port },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: port },
      ],
    },
  };
}

export function wantedSlice({ address, port, instance }: DnsPlace): EndpointSlice {
  return {
    metadata: {
      name: `${DNS_SERVICE}-${instance}`,
      namespace: DNS_NAMESPACE,
      labels: { [SERVICE_NAME_LABEL]: DNS_SERVICE, [MANAGED_BY_LABEL]: MANAGER, "k8s-app": "kube-dns" },
    },
    addressType: address.includes(":") ? "IPv6" : "IPv4",
    endpoints: [{ addresses: [address], conditions: { ready: true, serving: true, terminating: false } }],
    ports: [
      { name: "dns", port, protocol: "UDP" },
      { name: "dns-tcp", port, protocol: "TCP" },
    ],
  };
}

type Planned<T> = { readonly kind: "keep" } | { readonly kind: "create" | "update" | "replace"; readonly object: T };

function hasLabels(stored: { metadata?: { labels?: Record<string, string> } }, wanted: typeof stored): boolean {
  return Object.entries(wanted.metadata?.labels ?? {}).every(
    ([key, value]) => stored.metadata?.labels?.[key] === value,
  );
}

/** A Service's address cannot be changed: one that has another is made anew. */
export function planService(stored: Service | undefined, place: DnsPlace): Planned<Service> {
  const wanted = wantedService(place);
  if (stored === undefined) return { kind: "create", object: wanted };
  if (stored.spec?.clusterIP !== place.clusterIp) return { kind: "replace", object: wanted };
  const ports = (service: Service): string =>
    JSON.stringify(
      (service.spec?.ports ?? []).map((one) => [one.name, one.port, one.protocol, String(one.targetPort)]),
    );
  const selects = Object.keys(stored.spec.selector ?? {}).length > 0;
  if (hasLabels(stored, wanted) && ports(stored) === ports(wanted) && !selects) return { kind: "keep" };
  const { selector: _selector, ...spec } = stored.spec;
  const metadata = { ...stored.metadata, labels: { ...stored.metadata?.labels, ...wanted.metadata?.labels } };
  return { kind: "update", object: { ...stored, metadata, spec: { ...spec, ports: wanted.spec?.ports ?? [] } } };
}

export function planSlice(stored: EndpointSlice | undefined, place: DnsPlace): Planned<EndpointSlice> {
  const wanted = wantedSlice(place);
  if (stored === undefined) return { kind: "create", object: wanted };
  if (stored.addressType !== wanted.addressType) return { kind: "replace", object: wanted };
  const told = (slice: EndpointSlice): string =>
    JSON.stringify([
      (slice.endpoints ?? []).map((one) => [one.addresses, one.conditions?.ready]),
      (slice.ports ?? []).map((one) => [one.name, one.port, one.protocol]),
    ]);
  if (hasLabels(stored, wanted) && told(stored) === told(wanted)) return { kind: "keep" };
  const metadata = { ...stored.metadata, labels: { ...stored.metadata?.labels, ...wanted.metadata?.labels } };
  return { kind: "update", object: { ...stored, metadata, endpoints: wanted.endpoints, ports: wanted.ports ?? [] } };
}
