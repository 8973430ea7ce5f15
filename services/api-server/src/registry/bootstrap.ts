// What every cluster has from its first moment: the system's namespaces and priorities, the default class of storage, the range of
// Services' addresses, and the Service and endpoints of the API itself.
// Idempotent, and several api-servers may do it at once.
import { isReason, type KubeObject } from "@coxswain/apimachinery";
import {
  ENDPOINTS,
  type Endpoints,
  type EndpointSlice,
  ENDPOINT_SLICES,
  NAMESPACES,
  PRIORITY_CLASSES,
  SERVICE_CIDRS,
  SERVICES,
  type ServiceCIDR,
  STORAGE_CLASSES,
} from "@coxswain/api";
import { SYSTEM_PRIORITY_CLASSES } from "@coxswain/api/scheduling-v1/priority-class/priority-class";
import { NODE_DISK_CLASS } from "@coxswain/api/storage-v1/storage-class/node-disk";
import type { ResourceClient } from "@coxswain/client";
import type { Range } from "../allocation/ranges.ts";

export interface AdvertisedAddress {
  readonly ip: string;
  readonly port: number;
}

const SYSTEM_NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** `addresses` are all that api-servers are reached at from inside the cluster. */
export async function bootstrap(
  client: ResourceClient,
  serviceRange: Pick<Range, "text" | "at">,
  addresses: readonly AdvertisedAddress[],
): Promise<void> {
  for (const name of SYSTEM_NAMESPACES) {
    await ignoring("AlreadyExists", () =>
      client.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name } }),
    );
  }
  for (const priorityClass of SYSTEM_PRIORITY_CLASSES) {
    await ignoring("AlreadyExists", () => client.create(PRIORITY_CLASSES, priorityClass));
  }
  await ignoring("AlreadyExists", () => client.create(STORAGE_CLASSES, NODE_DISK_CLASS));
  await publishServiceRange(client, serviceRange.text);
  const service = kubernetesService(serviceRange.at(0), addresses);
  await ignoring("AlreadyExists", () => client.create(SERVICES, service));
  // An endpoint on loopback would be whoever looks it up: such addresses serve this machine only and are left out.
  const reachable = addresses.filter(({ ip }) => !ip.startsWith("127.") && ip !== "::1");
  if (reachable.length === 0) return;
  await publishEndpoints(client, reachable);
  await publishLegacyEndpoints(client, reachable);
}

/** The range stays as it was first made, whatever a later command line says: Services have addresses of it. */
async function publishServiceRange(client: ResourceClient, cidr: string): Promise<void> {
  const object = { apiVersion: "networking.k8s.io/v1", kind: "ServiceCIDR", metadata: { name: "kubernetes" } };
  await ignoring("AlreadyExists", () =>
    client.create<ServiceCIDR>(SERVICE_CIDRS, { ...object, spec: { cidrs: [cidr] } }),
  );
  const present = await client.get<ServiceCIDR>(SERVICE_CIDRS, { name: "kubernetes" });
  if ((present.status?.conditions ?? []).length > 0 || present.metadata?.deletionTimestamp !== undefined) return;
  const ready = {
    type: "Ready",
    status: "True",
    reason: "",
    message: "Kubernetes default Service CIDR is ready",
    lastTransitionTime: present.metadata?.creationTimestamp ?? "",
  };
  const next = { ...present, status: { conditions: [ready] } };
  // Another api-server that starts at the same time may have said so first.
  await ignoring("Conflict", () => client.update(SERVICE_CIDRS, next, { subresource: "status" }));
}

/** Adds our addresses to those that other api-servers have put there. */
async function publishEndpoints(client: ResourceClient, addresses: readonly AdvertisedAddress[]): Promise<void> {
  const target = { namespace: "default", name: "kubernetes" };
  const created = await ignoring("AlreadyExists", () => client.create(ENDPOINT_SLICES, kubernetesEndpoints(addresses)));
  if (created !== undefined) return;
  const present = await client.get<EndpointSlice>(ENDPOINT_SLICES, target);
  const known = new Set(present.endpoints.flatMap((endpoint) => endpoint.addresses));
  const added = endpointsOf(addresses).filter(({ addresses: [ip] }) => !known.has(ip!));
  // The version makes two api-servers that start at once take turns: the loser is refused and tries again.
  const endpoints = [...present.endpoints, ...added];
  if (added.length > 0) await client.update(ENDPOINT_SLICES, { ...present, endpoints });
}

/** The same for those who still read Endpoints. */
async function publishLegacyEndpoints(client: ResourceClient, addresses: readonly AdvertisedAddress[]): Promise<void> {
  const target = { namespace: "default", name: "kubernetes" };
  const ips = [...new Set(addresses.map(({ ip }) => ip))];
  const ports = [{ name: "https", port: addresses[0]!.port, protocol: "TCP" }];
  const object: Endpoints = {
    apiVersion: "v1",
    kind: "Endpoints",
    // The slice is written by us, not mirrored.
    metadata: { ...target, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
    subsets: [{ addresses: ips.map((ip) => ({ ip })), ports }],
  };
  const created = await ignoring("AlreadyExists", () => client.create(ENDPOINTS, object));
  if (created !== undefined) return;
  const present = await client.get<Endpoints>(ENDPOINTS, target);
  const known = (present.subsets ?? []).flatMap((subset) => subset.addresses ?? []);
  const added = ips.filter((ip) => !known.some((one) => one.ip === ip)).map((ip) => ({ ip }));
  if (added.length > 0)
    await client.update(ENDPOINTS, { ...present, subsets: [{ addresses: [...known, ...added], ports }] });
}

function endpointsOf(addresses: readonly AdvertisedAddress[]): EndpointSlice["endpoints"] {
  const ips = [...new Set(addresses.map(({ ip }) => ip))];
  return ips.map((ip) => ({ addresses: [ip], conditions: { ready: true } }));
}

async function ignoring<T>(reason: "AlreadyExists" | "Conflict", act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    if (!isReason(error, reason)) throw error;
    return undefined;
  }
}

function kubernetesService(serviceIp: string, addresses: readonly AdvertisedAddress[]): KubeObject {
  const targetPort = addresses[0]?.port ?? 6443;
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { component: "apiserver", provider: "kubernetes" },
    },
    spec: {
      type: "ClusterIP",
      clusterIP: serviceIp,
      clusterIPs: [serviceIp],
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      sessionAffinity: "None",
      ports: [{ name: "https", port: 443, protocol: "TCP", targetPort }],
    },
  };
  return service;
}

function kubernetesEndpoints(addresses: readonly AdvertisedAddress[]): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { "kubernetes.io/service-name": "kubernetes" },
    },
    addressType: "IPv4",
    endpoints: endpointsOf(addresses),
    ports: [{ name: "https", port: addresses[0]!.port, protocol: "TCP" }],
  };
}
