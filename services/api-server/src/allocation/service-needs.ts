// What a Service holds of the cluster's addresses and ports. Pure.
import type { Service } from "@coxswain/api";
import { canonicalIp } from "@coxswain/api/validation/ip";

export const NONE = "None";

/** The storage key of an address or port, however it is written; it exists while a Service holds it. */
export const clusterIpKey = (ip: string): string => `/allocations/clusterips/${canonicalIp(ip)}`;
export const nodePortKey = (port: number): string => `/allocations/nodeports/${port}`;
export const ALLOCATIONS_PREFIX = "/allocations/";

export function needsClusterIp(service: Service): boolean {
  return service.spec?.type !== "ExternalName";
}

export function needsNodePorts(service: Service): boolean {
  const { type, allocateLoadBalancerNodePorts } = service.spec ?? {};
  return type === "NodePort" || (type === "LoadBalancer" && allocateLoadBalancerNodePorts !== false);
}

export function needsHealthCheckPort(service: Service): boolean {
  return service.spec?.type === "LoadBalancer" && service.spec.externalTrafficPolicy === "Local";
}

/** All keys that the Service holds, each once. */
export function heldKeys(service: Service | undefined): Set<string> {
  const keys = new Set<string>();
  const spec = service?.spec;
  if (spec === undefined || service === undefined) return keys;
  if (needsClusterIp(service)) {
    for (const ip of spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : [])) {
      if (ip !== NONE && ip !== "") keys.add(clusterIpKey(ip));
    }
  }
  for (const port of spec.ports ?? []) if (port.nodePort) keys.add(nodePortKey(port.nodePort));
  if (spec.healthCheckNodePort) keys.add(nodePortKey(spec.healthCheckNodePort));
  return keys;
}
