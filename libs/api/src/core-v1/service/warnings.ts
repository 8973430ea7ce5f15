// What upstream warns of when a Service is written.
import { sameValue } from "../../same-value.ts";
import { cidrWarnings, ipWarnings } from "../../validation/ip.ts";
import type { Service } from "../../types.gen.ts";

const OLD_HINTS = "service.kubernetes.io/topology-aware-hints";

export function serviceWarnings(service: Service, old?: Service): string[] {
  const warnings: string[] = [];
  const spec = service.spec ?? {};
  const externalIps = (spec.externalIPs?.length ?? 0) > 0;
  if (service.metadata?.annotations?.[OLD_HINTS] !== undefined) {
    warnings.push(`annotation ${OLD_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead`);
  }
  for (const [index, ip] of (spec.clusterIPs ?? []).entries()) {
    if (ip !== "None") warnings.push(...ipWarnings(ip, `spec.clusterIPs[${index}]`));
  }
  if (spec.clusterIP === "None" || spec.clusterIPs?.[0] === "None") {
    if (spec.loadBalancerIP) warnings.push("spec.loadBalancerIP is ignored for headless services");
    if (externalIps) warnings.push("spec.externalIPs is ignored for headless services");
    if (spec.sessionAffinity !== "None") warnings.push("spec.SessionAffinity is ignored for headless services");
  }
  for (const [index, ip] of (spec.externalIPs ?? []).entries()) {
    warnings.push(...ipWarnings(ip, `spec.externalIPs[${index}]`));
  }
  if (spec.loadBalancerIP) warnings.push(...ipWarnings(spec.loadBalancerIP, "spec.loadBalancerIP"));
  for (const [index, range] of (spec.loadBalancerSourceRanges ?? []).entries()) {
    warnings.push(...cidrWarnings(range, `spec.loadBalancerSourceRanges[${index}]`));
  }
  if (externalIps && spec.type === "ExternalName") {
    warnings.push('spec.externalIPs is ignored when spec.type is "ExternalName"');
  }
  if (spec.type !== "ExternalName" && spec.externalName) {
    warnings.push('spec.externalName is ignored when spec.type is not "ExternalName"');
  }
  if (spec.trafficDistribution === "PreferClose") {
    warnings.push('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"');
  }
  const balancer = service.status?.loadBalancer;
  if (!sameValue(balancer, old?.status?.loadBalancer)) {
    for (const [index, { ip }] of (balancer?.ingress ?? []).entries()) {
      warnings.push(...ipWarnings(ip, `status.loadBalancer.ingress[${index}]`));
    }
  }
  return warnings;
}
