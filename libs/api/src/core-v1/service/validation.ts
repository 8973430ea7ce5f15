// What a Service must be: ports that fit its type, addresses that never change once given, and options that its type
// can honour.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  keyPath,
  validateDns1035Label,
  validateDns1123Label,
  validateDns1123Subdomain,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import type { Service, ServicePort, ServiceSpec } from "../../types.gen.ts";
import { validateEnum, validateOptionalEnum, validateWith } from "../../validation/enums.ts";
import { looseIp, validateCidr, validateEndpointIp, validateIp } from "../../validation/ip.ts";
import { validateLabels } from "../../validation/labels.ts";
import { validatePort, validatePortNumberOrName } from "../../validation/numbers.ts";
import { externallyAccessible } from "./defaults.ts";
import { needsHealthCheckNodePort } from "./type-change.ts";

const TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const POLICIES = ["Cluster", "Local"];
const DISTRIBUTIONS = ["PreferClose", "PreferSameZone", "PreferSameNode"];
const FAMILIES = ["IPv4", "IPv6"];
const FAMILY_POLICIES = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const MAX_AFFINITY_SECONDS = 86_400;

/** A service name is a DNS label that starts with a letter. */
export const validateServiceName = validateDns1035Label;

const isHeadless = (spec: ServiceSpec) => spec.clusterIPs?.[0] === "None" || spec.clusterIP === "None";

function validateServicePort(port: ServicePort, index: number, spec: ServiceSpec): FieldError[] {
  const path = indexPath("spec.ports", index);
  const all = spec.ports ?? [];
  const at = childPath(path, "name");
  const errors: FieldError[] = [];
  if (!port.name && all.length > 1) errors.push(fieldRequired(at, ""));
  else if (port.name) {
    errors.push(...validateWith(validateDns1123Label, port.name, at));
    if (all.slice(0, index).some((other) => other.name === port.name)) errors.push(fieldDuplicate(at, port.name));
  }
  errors.push(...validatePort(port.port, childPath(path, "port")));
  errors.push(...validateEnum(port.protocol, PROTOCOLS, childPath(path, "protocol")));
  errors.push(...validatePortNumberOrName(port.targetPort, childPath(path, "targetPort")));
  if (port.appProtocol !== undefined) {
    errors.push(...validateWith(validateQualifiedName, port.appProtocol, childPath(path, "appProtocol")));
  }
  return errors;
}

function validatePortSet(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const nodePorts = new Set<string>();
  const ports = new Set<string>();
  for (const [index, port] of (spec.ports ?? []).entries()) {
    const path = indexPath("spec.ports", index);
    if (port.nodePort) {
      const at = childPath(path, "nodePort");
      if (spec.type === "ClusterIP") errors.push(fieldForbidden(at, "may not be used when `type` is 'ClusterIP'"));
      const key = `${port.protocol}/${port.nodePort}`;
      if (nodePorts.has(key)) errors.push(fieldDuplicate(at, port.nodePort));
      nodePorts.add(key);
    }
    const key = `${port.protocol}/${port.port}`;
    if (ports.has(key)) errors.push(fieldDuplicate(path, { protocol: port.protocol, port: port.port }));
    ports.add(key);
  }
  return errors;
}

function validateType(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  if ((spec.ports?.length ?? 0) === 0 && !isHeadless(spec) && spec.type !== "ExternalName") {
    errors.push(fieldRequired("spec.ports", ""));
  }
  if ((spec.type === "LoadBalancer" || spec.type === "NodePort") && isHeadless(spec)) {
    errors.push(fieldInvalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${spec.type} services`));
  }
  if (spec.type === "ExternalName") {
    for (const name of ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] as const) {
      const value = spec[name];
      if (value !== undefined && value.length > 0) {
        errors.push(fieldForbidden(`spec.${name}`, "may not be set for ExternalName services"));
      }
    }
    const target = (spec.externalName ?? "").replace(/\.$/, "");
    if (target === "") errors.push(fieldRequired("spec.externalName", ""));
    else errors.push(...validateWith(validateDns1123Subdomain, target, "spec.externalName"));
  }
  return [...errors, ...validateEnum(spec.type, TYPES, "spec.type")];
}

function validateFamilies({ ipFamilies = [], ipFamilyPolicy }: ServiceSpec): FieldError[] {
  const errors = ipFamilies.flatMap((family, index) => {
    const at = indexPath("spec.ipFamilies", index);
    const unknown = validateOptionalEnum(family, FAMILIES, at);
    return ipFamilies.indexOf(family) < index ? [...unknown, fieldDuplicate(at, family)] : unknown;
  });
  return [...errors, ...validateOptionalEnum(ipFamilyPolicy, FAMILY_POLICIES, "spec.ipFamilyPolicy")];
}

/** What can be said of addresses and families without knowing the cluster. */
export function validateClusterIps(spec: ServiceSpec): FieldError[] {
  if (spec.type === "ExternalName") return [];
  const at = "spec.clusterIPs";
  const ips = spec.clusterIPs ?? [];
  const errors: FieldError[] = [];
  if (spec.clusterIP && ips.length > 0 && spec.clusterIP !== ips[0]) {
    errors.push(fieldInvalid(at, ips, "first value must match `clusterIP`"));
  }
  if (spec.clusterIP && ips.length === 0) errors.push(fieldRequired(at, ""));
  if (!spec.clusterIP && ips.length > 0) {
    errors.push(fieldInvalid(at, ips, "must be empty when `clusterIP` is not specified"));
  }
  errors.push(...validateFamilies(spec));
  const wrong = ips.flatMap((ip, index) => {
    if (index > 0 || ip !== "None") return validateIp(ip, indexPath(at, index));
    return ips.length > 1 ? [fieldInvalid(at, ips, "'None' must be the first and only value")] : [];
  });
  errors.push(...wrong);
  if (ips.length > 2) errors.push(fieldInvalid(at, ips, "may only hold up to 2 values"));
  if (wrong.length > 0) return errors;
  if (ips.length === 2 && looseIp(ips[0] ?? "")?.family === looseIp(ips[1] ?? "")?.family) {
    errors.push(fieldInvalid(at, ips, "may specify no more than one IP for each IP family"));
  }
  const families = spec.ipFamilies ?? [];
  for (const [index, family] of families.entries()) {
    if (!FAMILIES.includes(family)) continue;
    if (ips[index] && ips[index] !== "None" && looseIp(ips[index])?.family !== family) {
      const detail = `expected an ${family} value as indicated by \`ipFamilies[${index}]\``;
      errors.push(fieldInvalid(indexPath(at, index), ips[index], detail));
    }
  }
  return errors;
}

function validateAffinity(spec: ServiceSpec): FieldError[] {
  const errors = validateEnum(spec.sessionAffinity, ["ClientIP", "None"], "spec.sessionAffinity");
  const at = "spec.sessionAffinityConfig";
  if (spec.sessionAffinity === "ClientIP") {
    const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
    const here = `${at}.clientIP.timeoutSeconds`;
    if (seconds === undefined) errors.push(fieldRequired(here, "when session affinity type is ClientIP"));
    else if (seconds <= 0 || seconds > MAX_AFFINITY_SECONDS) {
      const detail = `must be greater than 0 and less than ${MAX_AFFINITY_SECONDS}`;
      errors.push(fieldInvalid(here, seconds, detail));
    }
  } else if (spec.sessionAffinity === "None" && spec.sessionAffinityConfig) {
    errors.push(fieldForbidden(at, "must not be set when session affinity is None"));
  }
  return errors;
}

function validateTraffic(service: Service, spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const policy = spec.externalTrafficPolicy;
  if (externallyAccessible(service)) errors.push(...validateEnum(policy, POLICIES, "spec.externalTrafficPolicy"));
  else if (policy) {
    const detail = "may only be set for externally-accessible services";
    errors.push(fieldInvalid("spec.externalTrafficPolicy", policy, detail));
  }
  if (spec.healthCheckNodePort) errors.push(...validatePort(spec.healthCheckNodePort, "spec.healthCheckNodePort"));
  if (spec.healthCheckNodePort && !needsHealthCheckNodePort(spec)) {
    const detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    errors.push(fieldInvalid("spec.healthCheckNodePort", spec.healthCheckNodePort, detail));
  }
  errors.push(
    ...validateOptionalEnum(spec.internalTrafficPolicy, POLICIES, "spec.internalTrafficPolicy"),
    ...validateOptionalEnum(spec.trafficDistribution, DISTRIBUTIONS, "spec.trafficDistribution"),
  );
  return errors;
}

const SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges";

/** The annotation that the field took the place of. */
function validateAnnotatedRanges({ metadata, spec = {} }: Service, old: Service | undefined): FieldError[] {
  const text = metadata?.annotations?.[SOURCE_RANGES];
  if (text === undefined || (spec.loadBalancerSourceRanges?.length ?? 0) > 0) return [];
  const at = keyPath("metadata.annotations", SOURCE_RANGES);
  const errors =
    spec.type === "LoadBalancer" ? [] : [fieldForbidden(at, "may only be used when `type` is 'LoadBalancer'")];
  if (old?.metadata?.annotations?.[SOURCE_RANGES] === text || text.trim() === "") return errors;
  return [...errors, ...text.split(",").flatMap((range) => validateCidr(range.trim(), at))];
}

const [OLD_HINTS, TOPOLOGY_MODE] = ["topology-aware-hints", "topology-mode"].map(
  (name) => `service.kubernetes.io/${name}`,
);

function validateTopology({ metadata }: Service): FieldError[] {
  const [hints, mode] = [OLD_HINTS, TOPOLOGY_MODE].map((key) => metadata?.annotations?.[key ?? ""]);
  if (hints === undefined || mode === undefined || hints === mode) return [];
  const detail = `must match annotations[${OLD_HINTS}] when both are specified`;
  return [fieldInvalid(keyPath("metadata.annotations", TOPOLOGY_MODE ?? ""), mode, detail)];
}

function validateBalancer(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const ranges = spec.loadBalancerSourceRanges ?? [];
  const at = "spec.LoadBalancerSourceRanges";
  const only = "may only be used when `type` is 'LoadBalancer'";
  if (spec.type !== "LoadBalancer") {
    if (ranges.length > 0) errors.push(fieldForbidden(at, only));
    if (spec.allocateLoadBalancerNodePorts !== undefined) {
      errors.push(fieldForbidden("spec.allocateLoadBalancerNodePorts", only));
    }
    if (spec.loadBalancerClass !== undefined) errors.push(fieldForbidden("spec.loadBalancerClass", only));
  } else if (spec.loadBalancerClass !== undefined) {
    errors.push(...validateWith(validateQualifiedName, spec.loadBalancerClass, "spec.loadBalancerClass"));
  }
  for (const [index, range] of ranges.entries()) errors.push(...validateCidr(range.trim(), indexPath(at, index)));
  return errors;
}

export function validateService(service: Service, old?: Service): FieldError[] {
  const spec = service.spec ?? {};
  const external = (spec.externalIPs ?? []).flatMap((ip, index) => {
    const at = indexPath("spec.externalIPs", index);
    const errors = validateIp(ip, at);
    return errors.length > 0 ? errors : validateEndpointIp(ip, at);
  });
  return [
    ...validateTopology(service),
    ...validateType(spec),
    ...(spec.ports ?? []).flatMap((port, index) => validateServicePort(port, index, spec)),
    ...validateLabels(spec.selector, "spec.selector"),
    ...validateAffinity(spec),
    ...validateClusterIps(spec),
    ...external,
    ...validatePortSet(spec),
    ...validateBalancer(spec),
    ...validateAnnotatedRanges(service, old),
    ...validateTraffic(service, spec),
  ];
}

function validateIpChange(spec: ServiceSpec, old: ServiceSpec): FieldError[] {
  if (spec.type === "ExternalName" || old.type === "ExternalName" || (isHeadless(spec) && isHeadless(old))) return [];
  const [after, before] = [spec.clusterIPs ?? [], old.clusterIPs ?? []];
  const at = (index: number) => indexPath("spec.clusterIPs", index);
  const fixed = after.length === before.length ? before.length : Math.min(before.length, after.length, 1);
  const errors = before
    .slice(0, fixed)
    .flatMap((ip, index) => (ip === after[index] ? [] : [fieldInvalid(at(index), after, "may not change once set")]));
  if (after.length === 0 && before.length > 0) {
    errors.push(fieldInvalid(at(0), spec.clusterIPs, "primary clusterIP can not be unset"));
  }
  if (after.length === 1 && before.length > 1 && spec.ipFamilyPolicy !== "SingleStack") {
    const detail = "must be set to 'SingleStack' when releasing the secondary clusterIP";
    errors.push(fieldInvalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy, detail));
  }
  return errors;
}

/** Families may be added to those of a Service that has addresses of its own; the first stays. */
function validateFamiliesChange(spec: ServiceSpec, old: ServiceSpec): FieldError[] {
  if (spec.type === "ExternalName" || old.type === "ExternalName" || isHeadless(spec) || isHeadless(old)) return [];
  const [after, before] = [spec.ipFamilies ?? [], old.ipFamilies ?? []];
  const at = "spec.ipFamilies[0]";
  if (after.length === before.length) {
    return before.flatMap((family, index) =>
      family === after[index] ? [] : [fieldInvalid(at, after, "may not change once set")],
    );
  }
  const first = after.length > 0 && before.length > 0 && after[0] !== before[0];
  const unset = before.length > after.length && (spec.clusterIPs ?? []).length === 0;
  const errors = unset ? [fieldInvalid(at, spec.ipFamilies, "primary ipFamily can not be unset")] : [];
  if (first) errors.push(fieldInvalid(at, spec.clusterIPs, "may not change once set"));
  if (after.length === 1 && before.length > 1 && spec.ipFamilyPolicy !== "SingleStack") {
    const detail = "must be set to 'SingleStack' when releasing the secondary ipFamily";
    errors.push(fieldInvalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy ?? null, detail));
  }
  return errors;
}

export function validateServiceUpdate(service: Service, old: Service): FieldError[] {
  const spec = service.spec ?? {};
  const before = old.spec ?? {};
  const errors = validateIpChange(spec, before);
  const stays = spec.type === "LoadBalancer" && before.type === "LoadBalancer";
  if (stays && before.loadBalancerClass !== spec.loadBalancerClass) {
    errors.push(fieldInvalid("spec.loadBalancerClass", spec.loadBalancerClass ?? null, "may not change once set"));
  }
  const port = before.healthCheckNodePort;
  if (port && needsHealthCheckNodePort(before) && needsHealthCheckNodePort(spec) && port !== spec.healthCheckNodePort) {
    errors.push(fieldForbidden("spec.healthCheckNodePort", "field is immutable"));
  }
  return [...errors, ...validateFamiliesChange(spec, before), ...validateService(service, old)];
}

export function validateServiceStatus(service: Service): FieldError[] {
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  if (service.spec?.type !== "LoadBalancer" && ingress.length > 0) {
    const detail = "may only be used when `spec.type` is 'LoadBalancer'";
    return [fieldForbidden("status.loadBalancer.ingress", detail)];
  }
  return ingress.flatMap((item, index) => {
    const at = indexPath("status.loadBalancer.ingress", index);
    const errors = item.ip ? validateIp(item.ip, childPath(at, "ip")) : [];
    if (item.ip && !item.ipMode)
      errors.push(fieldRequired(childPath(at, "ipMode"), "must be specified when `ip` is set"));
    if (item.ipMode && !item.ip) {
      errors.push(fieldForbidden(childPath(at, "ipMode"), "may not be specified when `ip` is not set"));
    } else if (item.ipMode && item.ipMode !== "VIP" && item.ipMode !== "Proxy") {
      errors.push(fieldNotSupported(childPath(at, "ipMode"), item.ipMode, ["Proxy", "VIP"]));
    }
    if (item.hostname) errors.push(...validateWith(validateDns1123Subdomain, item.hostname, childPath(at, "hostname")));
    if (looseIp(item.hostname) !== undefined) {
      const detail = "must be a DNS name, not an IP address";
      errors.push(fieldInvalid(childPath(at, "hostname"), item.hostname, detail));
    }
    return errors;
  });
}
