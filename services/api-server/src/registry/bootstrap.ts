// What every cluster has from its first moment: the system's namespaces, and the Service and endpoints of the API itself.
// Idempotent, and several api-servers may do it at once.
import { isReason, type KubeObject } from "@coxswain/apimachinery";
import { NAMESPACES, SERVICES, ENDPOINT_SLICES } from "@coxswain/api";
import type { ResourceClient } from "@coxswain/client";

export interface AdvertisedAddress {
  readonly ip: string;
  readonly port: number;
}

const SYSTEM_NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** `addresses` are all that api-servers are reached at from inside the cluster. */
export async function bootstrap(
  client: ResourceClient,
  serviceIp: string,
  addresses: readonly AdvertisedAddress[],
): Promise<void> {
  for (const name of SYSTEM_NAMESPACES) {
    await ignoring("AlreadyExists", () =>
      client.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name } }),
    );
  }
  await ignoring("AlreadyExists", () => client.create(SERVICES, kubernetesService(serviceIp, addresses)));
  if (addresses.length > 0) await publishEndpoints(client, addresses);
}

async function publishEndpoints(client: ResourceClient, addresses: readonly AdvertisedAddress[]): Promise<void> {
  const wanted = kubernetesEndpoints(addresses);
  const created = await ignoring("AlreadyExists", () => client.create(ENDPOINT_SLICES, wanted));
  if (created !== undefined) return;
  await client.patch(ENDPOINT_SLICES, { namespace: "default", name: "kubernetes" }, "application/merge-patch+json", {
    endpoints: wanted.endpoints,
    ports: wanted.ports,
  });
}

async function ignoring<T>(reason: "AlreadyExists", act: () => Promise<T>): Promise<T | undefined> {
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

function kubernetesEndpoints(addresses: readonly AdvertisedAddress[]): KubeObject & Record<string, unknown> {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { "kubernetes.io/service-name": "kubernetes" },
    },
    addressType: "IPv4",
    endpoints: [...new Set(addresses.map(({ ip }) => ip))].map((ip) => ({
      addresses: [ip],
      conditions: { ready: true },
    })),
    ports: [{ name: "https", port: addresses[0]!.port, protocol: "TCP" }],
  };
}
