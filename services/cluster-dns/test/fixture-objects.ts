// Services and slices that the tests of names share.
import type { EndpointSlice, Service } from "@coxswain/api";

function service(name: string, spec: NonNullable<Service["spec"]>): Service {
  return { metadata: { name, namespace: "default" }, spec };
}

export const services: readonly Service[] = [
  service("web", { type: "ClusterIP", clusterIP: "10.96.1.1", ports: [{ name: "http", port: 80, protocol: "TCP" }] }),
  service("db", { clusterIP: "None", ports: [{ name: "main", port: 5432, protocol: "TCP" }] }),
  service("early", { clusterIP: "None", publishNotReadyAddresses: true, ports: [{ port: 1 }] }),
  service("lonely", { clusterIP: "None" }),
  service("out", { type: "ExternalName", externalName: "example.com" }),
  service("alias", { type: "ExternalName", externalName: "web.default.svc.cluster.local" }),
  service("loop", { type: "ExternalName", externalName: "loop.default.svc.cluster.local" }),
];

export function endpointSlice(
  service: string,
  suffix: string,
  endpoints: readonly { ip: string; hostname?: string; ready?: boolean }[],
): EndpointSlice {
  return {
    metadata: {
      name: `${service}-${suffix}`,
      namespace: "default",
      labels: { "kubernetes.io/service-name": service },
    },
    addressType: "IPv4",
    endpoints: endpoints.map(({ ip, hostname, ready }) => ({
      addresses: [ip],
      ...(hostname === undefined ? {} : { hostname }),
      ...(ready === undefined ? {} : { conditions: { ready } }),
    })),
    ports: [{ name: "main", port: 5432, protocol: "TCP" }],
  };
}
