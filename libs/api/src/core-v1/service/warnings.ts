// What upstream warns of when a Service is written.
import type { Service } from "../../types.gen.ts";

const OLD_HINTS = "service.kubernetes.io/topology-aware-hints";

export function serviceWarnings(service: Service): string[] {
  const warnings: string[] = [];
  const spec = service.spec ?? {};
  const externalIps = (spec.externalIPs?.length ?? 0) > 0;
  if (service.metadata?.annotations?.[OLD_HINTS] !== undefined) {
    warnings.push(`annotation ${OLD_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead`);
  }
  if (spec.clusterIP === "None" || spec.clusterIPs?.[0] === "None") {
    if (spec.loadBalancerIP) warnings.push("spec.loadBalancerIP is ignored for headless services");
    if (externalIps) warnings.push("spec.externalIPs is ignored for headless services");
    if (spec.sessionAffinity !== "None") warnings.push("spec.SessionAffinity is ignored for headless services");
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
  return warnings;
}
