// What the DNS knows of the cluster, read from Services and EndpointSlices as they are stored. Nothing is copied: each look-up
// reads the informers' caches, so an answer is never older than they are.
import { canonicalIp, looseIp } from "@coxswain/api/validation/ip";
import type { EndpointSlice, Namespace, Service } from "@coxswain/api";
import type { Lister, SharedInformer } from "@coxswain/client";

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

export interface DnsPort {
  readonly name: string;
  /** "tcp", "udp" or "sctp". */
  readonly protocol: string;
  readonly port: number;
}

export interface DnsService {
  readonly namespace: string;
  readonly name: string;
  readonly kind: "cluster-ip" | "headless" | "external";
  /** Cluster addresses; empty for the other kinds. */
  readonly addresses: readonly string[];
  readonly externalName: string;
  readonly ports: readonly DnsPort[];
}

export interface DnsEndpoint {
  /** The endpoint's own label below its service: its hostname, or its address with dashes. */
  readonly label: string;
  readonly address: string;
  readonly ports: readonly DnsPort[];
}

export interface DnsIndex {
  namespaceExists(namespace: string): boolean;
  service(namespace: string, name: string): DnsService | undefined;
  /** Those that may be told: ready, or of a service that publishes all. Each address once. */
  endpoints(namespace: string, name: string): readonly DnsEndpoint[];
  servicesByAddress(address: string): readonly DnsService[];
  endpointsByAddress(address: string): readonly { readonly service: DnsService; readonly endpoint: DnsEndpoint }[];
}

/** "10.244.1.7" → "10-244-1-7"; IPv6 in its shortest form, with dashes for colons. */
export function dashedAddress(address: string): string {
  return looseIp(address)?.canonical.replace(/[.:]/g, "-") ?? address;
}

/** The one way in which an address is compared. */
export const plainAddress = canonicalIp;

function servicePorts(service: Service): DnsPort[] {
  return (service.spec?.ports ?? []).map((port) => ({
    name: port.name ?? "",
    protocol: (port.protocol ?? "TCP").toLowerCase(),
    port: port.port,
  }));
}

export function toDnsService(service: Service): DnsService {
  const { spec, metadata } = service;
  const named = { namespace: metadata?.namespace ?? "", name: metadata?.name ?? "", ports: servicePorts(service) };
  if (spec?.type === "ExternalName")
    return { ...named, kind: "external", addresses: [], externalName: spec.externalName ?? "" };
  const addresses = (spec?.clusterIPs ?? [spec?.clusterIP ?? ""]).filter((one) => one !== "" && one !== "None");
  const kind = addresses.length === 0 ? "headless" : "cluster-ip";
  return { ...named, kind, addresses: addresses.map(plainAddress), externalName: "" };
}

/** The endpoints of a service's slices; an address that two slices hold counts once. */
export function toDnsEndpoints(slices: readonly EndpointSlice[], all: boolean): DnsEndpoint[] {
  const byAddress = new Map<string, DnsEndpoint>();
  for (const slice of slices) {
    if (slice.addressType === "FQDN") continue;
    const ports = (slice.ports ?? []).map((port) => ({
      name: port.name ?? "",
      protocol: (port.protocol ?? "TCP").toLowerCase(),
      port: port.port ?? 0,
    }));
    for (const { addresses, conditions, hostname } of slice.endpoints ?? []) {
      if (!all && conditions?.ready === false) continue;
      for (const given of addresses) {
        const address = plainAddress(given);
        const known = byAddress.get(address)?.ports ?? [];
        const more = ports.filter((one) => !known.some((other) => samePort(one, other)));
        byAddress.set(address, { label: hostname || dashedAddress(address), address, ports: [...known, ...more] });
      }
    }
  }
  return [...byAddress.values()];
}

function samePort(a: DnsPort, b: DnsPort): boolean {
  return a.name === b.name && a.protocol === b.protocol && a.port === b.port;
}

const BY_SERVICE = "service";
const BY_ADDRESS = "address";

function serviceKeys(slice: EndpointSlice): string[] {
  const name = slice.metadata?.labels?.[SERVICE_NAME_LABEL];
  return name === undefined ? [] : [`${slice.metadata?.namespace ?? ""}/${name}`];
}

/** An index over informers. To be made before they start. */
export function createDnsIndex(
  services: SharedInformer<Service>,
  slices: SharedInformer<EndpointSlice>,
  namespaces: SharedInformer<Namespace>,
): DnsIndex {
  services.addIndex(BY_ADDRESS, (service) => [...toDnsService(service).addresses]);
  slices.addIndex(BY_SERVICE, serviceKeys);
  slices.addIndex(BY_ADDRESS, (slice) => [
    ...new Set((slice.endpoints ?? []).flatMap((one) => one.addresses.map(plainAddress))),
  ]);
  return new InformerIndex(services.lister, slices.lister, namespaces.lister);
}

class InformerIndex implements DnsIndex {
  readonly #services: Lister<Service>;
  readonly #slices: Lister<EndpointSlice>;
  readonly #namespaces: Lister<Namespace>;

  constructor(services: Lister<Service>, slices: Lister<EndpointSlice>, namespaces: Lister<Namespace>) {
    this.#services = services;
    this.#slices = slices;
    this.#namespaces = namespaces;
  }

  namespaceExists(namespace: string): boolean {
    return this.#namespaces.get(namespace) !== undefined;
  }

  service(namespace: string, name: string): DnsService | undefined {
    const found = this.#services.get(`${namespace}/${name}`);
    return found === undefined ? undefined : toDnsService(found);
  }

  endpoints(namespace: string, name: string): readonly DnsEndpoint[] {
    const key = `${namespace}/${name}`;
    const all = this.#services.get(key)?.spec?.publishNotReadyAddresses === true;
    return toDnsEndpoints(this.#slices.byIndex(BY_SERVICE, key), all);
  }

  servicesByAddress(address: string): readonly DnsService[] {
    return this.#services.byIndex(BY_ADDRESS, plainAddress(address)).map(toDnsService);
  }

  endpointsByAddress(given: string): readonly { service: DnsService; endpoint: DnsEndpoint }[] {
    const address = plainAddress(given);
    const keys = new Set(this.#slices.byIndex(BY_ADDRESS, address).flatMap(serviceKeys));
    return [...keys].flatMap((key) => {
      const [namespace, name] = key.split("/") as [string, string];
      const service = this.service(namespace, name);
      if (service === undefined) return [];
      const endpoint = this.endpoints(namespace, name).find((one) => one.address === address);
      return endpoint === undefined ? [] : [{ service, endpoint }];
    });
  }
}
