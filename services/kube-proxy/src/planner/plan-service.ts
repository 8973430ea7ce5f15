// From one Service and its EndpointSlices to the rules of one node. Pure. Guarantees:
// - Packets go to ready endpoints; to terminating ones that still serve only where none is ready.
// - A policy of Local never leaves the node.
// - Where every ready endpoint says whom it is meant for, and one is meant for this node or its zone, packets go to no other.
// https://kubernetes.io/docs/reference/networking/virtual-ips/
import { canonicalIp, looseCidr } from "@coxswain/api/validation/ip";
import type { EndpointHints, EndpointSlice, Service, ServicePort } from "@coxswain/api";
import { isIPv6 } from "node:net";
import { ruleKey, type Family, type Protocol, type ProxyEndpoint, type ProxyRule, type RuleType } from "./rule.ts";

const DEFAULT_AFFINITY_SECONDS = 10_800;
/** Another proxy takes care of a Service with this label. */
const OTHER_PROXY = "service.kubernetes.io/service-proxy-name";
const HEADLESS = "service.kubernetes.io/headless";

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

function familyOf(ip: string): Family {
  return isIPv6(ip) ? "IPv6" : "IPv4";
}

/** Whether the proxy has anything to do for a Service at all. */
export function isProxied(service: Service): boolean {
  const labels = service.metadata?.labels ?? {};
  if (OTHER_PROXY in labels || HEADLESS in labels) return false;
  const ip = service.spec?.clusterIP ?? "";
  return service.spec?.type !== "ExternalName" && ip !== "" && ip !== "None";
}

interface Offered {
  readonly endpoint: ProxyEndpoint;
  readonly hints: EndpointHints | undefined;
}

/** The endpoints of one port in one family, by address and port, without doubles. */
function endpointsOf(slices: readonly EndpointSlice[], port: ServicePort, family: Family): Offered[] {
  const found = new Map<string, Offered>();
  for (const slice of slices) {
    if (slice.addressType !== family) continue;
    for (const offered of slice.ports ?? []) {
      if ((offered.name ?? "") !== (port.name ?? "") || (offered.protocol ?? "TCP") !== (port.protocol ?? "TCP"))
        continue;
      if (offered.port === undefined) continue;
      for (const endpoint of slice.endpoints) {
        const [address] = endpoint.addresses;
        if (address === undefined) continue;
        const ip = canonicalIp(address);
        const ready = endpoint.conditions?.ready ?? true;
        const one: ProxyEndpoint = {
          ip,
          port: offered.port,
          node: endpoint.nodeName ?? "",
          ready,
          serving: endpoint.conditions?.serving ?? ready,
          terminating: endpoint.conditions?.terminating ?? false,
        };
        const key = `${ip} ${offered.port}`;
        const known = found.get(key);
        if (known === undefined || (!known.endpoint.ready && ready)) {
          found.set(key, { endpoint: one, hints: endpoint.hints });
        }
      }
    }
  }
  const order = (a: ProxyEndpoint, b: ProxyEndpoint): number => (a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : a.port - b.port);
  return [...found.values()].toSorted((a, b) => order(a.endpoint, b.endpoint));
}

/** Where the proxy stands. */
export interface Place {
  readonly node: string;
  /** Of the node; undefined where it has none. */
  readonly zone?: string | undefined;
}

/** The endpoints that are meant for this place, as far as all ready ones say whom they are meant for; else all. */
function near(all: readonly Offered[], { node, zone }: Place): ProxyEndpoint[] {
  const ready = all.filter(({ endpoint }) => endpoint.ready);
  const forNode = ({ hints }: Offered): boolean => hints?.forNodes?.some(({ name }) => name === node) ?? false;
  const forZone = ({ hints }: Offered): boolean => hints?.forZones?.some(({ name }) => name === zone) ?? false;
  const choices = [
    [(one: Offered) => (one.hints?.forNodes ?? []).length > 0, forNode],
    [(one: Offered) => (one.hints?.forZones ?? []).length > 0, forZone],
  ] as const;
  const meant = choices.find(([says, isFor]) => ready.length > 0 && ready.every(says) && ready.some(isFor))?.[1];
  return (meant === undefined ? all : ready.filter(meant)).map(({ endpoint }) => endpoint);
}

/** Ready endpoints, or else those that are on their way out but still serve. */
function usable(endpoints: readonly ProxyEndpoint[]): readonly ProxyEndpoint[] {
  const ready = endpoints.filter((one) => one.ready);
  return ready.length > 0 ? ready : endpoints.filter((one) => one.serving && one.terminating);
}

interface PortEndpoints {
  readonly cluster: readonly ProxyEndpoint[];
  readonly local: readonly ProxyEndpoint[];
}

interface Target {
  readonly type: RuleType;
  readonly ip: string;
  readonly port: number;
  readonly family: Family;
}

function makeRule(service: Service, port: ServicePort, target: Target, to: PortEndpoints): ProxyRule {
  const spec = service.spec ?? {};
  const external = target.type !== "ClusterIP";
  const policy = external ? spec.externalTrafficPolicy : spec.internalTrafficPolicy;
  const local = policy === "Local";
  const protocol = (port.protocol ?? "TCP") as Protocol;
  const affinity = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS;
  return {
    key: ruleKey(target.family, target.ip, protocol, target.port),
    type: target.type,
    namespace: service.metadata?.namespace ?? "",
    service: service.metadata?.name ?? "",
    portName: port.name ?? "",
    protocol,
    family: target.family,
    ip: target.ip,
    port: target.port,
    affinitySeconds: spec.sessionAffinity === "ClientIP" ? affinity : 0,
    endpoints: local ? to.local : to.cluster,
    ...(external && local ? { clusterEndpoints: to.cluster } : {}),
    otherwise: local && to.local.length === 0 && to.cluster.length > 0 ? "DROP" : "REJECT",
    masquerade: external && !local,
    sourceRanges: target.type === "LoadBalancer" ? (spec.loadBalancerSourceRanges ?? []).map(canonicalRange) : [],
  };
}

/** Blocks may be written with blanks around them. */
function canonicalRange(text: string): string {
  return looseCidr(text.trim())?.canonical ?? text;
}

/** The addresses that a port of the Service is reached at. */
function targetsOf(service: Service, port: ServicePort): Target[] {
  const spec = service.spec ?? {};
  const at = (type: RuleType, address: string): Target => {
    const ip = canonicalIp(address);
    return { type, ip, port: port.port, family: familyOf(ip) };
  };
  const clusterIPs = spec.clusterIPs ?? [spec.clusterIP ?? ""];
  const targets = clusterIPs.filter((ip) => ip !== "" && ip !== "None").map((ip) => at("ClusterIP", ip));
  const families = [...new Set(targets.map((target) => target.family))];
  for (const ip of spec.externalIPs ?? []) targets.push(at("ExternalIP", ip));
  if (spec.type === "LoadBalancer") {
    for (const ingress of service.status?.loadBalancer?.ingress ?? []) {
      // In Proxy mode the load balancer itself delivers to the node; packets must not be caught on their way to it.
      if (ingress.ip && ingress.ipMode !== "Proxy") targets.push(at("LoadBalancer", ingress.ip));
    }
  }
  if ((spec.type === "NodePort" || spec.type === "LoadBalancer") && port.nodePort) {
    for (const family of families) targets.push({ type: "NodePort", ip: "", port: port.nodePort, family });
  }
  return targets.filter((target) => families.includes(target.family));
}

/** The rules of one Service at a place; none for headless, external-name and foreign ones. */
export function planService(service: Service, slices: readonly EndpointSlice[], place: Place): ProxyRule[] {
  if (!isProxied(service)) return [];
  const rules: ProxyRule[] = [];
  for (const port of service.spec?.ports ?? []) {
    const byFamily = new Map<Family, PortEndpoints>();
    for (const target of targetsOf(service, port)) {
      let to = byFamily.get(target.family);
      if (to === undefined) {
        const all = endpointsOf(slices, port, target.family);
        const local = all.map(({ endpoint }) => endpoint).filter((one) => one.node === place.node);
        to = { cluster: usable(near(all, place)), local: usable(local) };
        byFamily.set(target.family, to);
      }
      rules.push(makeRule(service, port, target, to));
    }
  }
  return rules;
}
