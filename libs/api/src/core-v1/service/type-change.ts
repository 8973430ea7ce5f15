// Which fields of a Service fall away when its type no longer uses them. Only what the writer did not touch is dropped:
// what was set on purpose is left for validation to refuse.
import { sameValue } from "../../same-value.ts";
import type { Service, ServiceSpec } from "../../types.gen.ts";
import { externallyAccessible } from "./defaults.ts";

export const needsClusterIp = (spec: ServiceSpec) => spec.type !== "ExternalName";

/** Or may have some: a load balancer for which none are allocated keeps those that it has. */
export const needsNodePort = (spec: ServiceSpec) => spec.type === "NodePort" || spec.type === "LoadBalancer";

export function needsHealthCheckNodePort(spec: ServiceSpec): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

const isLoadBalancer = (spec: ServiceSpec) => spec.type === "LoadBalancer";

function sameNodePorts(before: ServiceSpec, after: ServiceSpec): boolean {
  const given = (after.ports ?? []).map((port) => port.nodePort ?? 0).filter((port) => port !== 0);
  const old = new Set((before.ports ?? []).map((port) => port.nodePort ?? 0));
  return given.every((port) => old.has(port));
}

function dropUnlessTouched(before: ServiceSpec, after: ServiceSpec, names: readonly (keyof ServiceSpec)[]): void {
  for (const name of names) if (sameValue(before[name], after[name])) delete after[name];
}

/** Changes `service` in place; `old` is what is stored. */
export function dropTypeDependentFields(service: Service, old: Service): void {
  const before = old.spec ?? {};
  const after = (service.spec ??= {});
  const stops = (needs: (spec: ServiceSpec) => boolean) => needs(before) && !needs(after);
  if (stops(needsClusterIp)) {
    const untouched = before.clusterIP === after.clusterIP && sameValue(before.clusterIPs, after.clusterIPs);
    if (untouched) {
      delete after.clusterIP;
      delete after.clusterIPs;
    }
    dropUnlessTouched(before, after, ["ipFamilies", "ipFamilyPolicy"]);
  }
  if (stops(needsNodePort) && sameNodePorts(before, after)) {
    for (const port of after.ports ?? []) delete port.nodePort;
  }
  if (stops(needsHealthCheckNodePort)) dropUnlessTouched(before, after, ["healthCheckNodePort"]);
  if (stops(isLoadBalancer)) {
    dropUnlessTouched(before, after, ["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
  }
  if (externallyAccessible(old) && !externallyAccessible(service)) {
    dropUnlessTouched(before, after, ["externalTrafficPolicy"]);
  }
  if (!isLoadBalancer(after)) service.status = { ...service.status, loadBalancer: {} };
}
