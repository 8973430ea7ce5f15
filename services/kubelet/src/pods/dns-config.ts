// What a pod's resolv.conf says: by dnsPolicy and dnsConfig, within the limits of resolvers. Pure.
// https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-dns-policy
import type { Pod, PodDNSConfigOption } from "@coxswain/api";
import type { DnsConfig } from "../cri/contract.ts";

const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARACTERS = 2048;
/** Longer than a name can be: resolvers have crashed on it. */
const MAX_SEARCH_LENGTH = 253;

/** What a node knows of name resolution. */
export interface NodeDns {
  /** Addresses of the cluster's DNS; empty: pods get what the node has. */
  readonly clusterDns: readonly string[];
  /** "cluster.local" */
  readonly clusterDomain: string;
  /** The node's own, of its resolv.conf. */
  readonly host: DnsConfig;
}

/** What its pod should hear as an event. */
export interface DnsWarning {
  readonly reason: "DNSConfigForming" | "MissingClusterDNS";
  readonly message: string;
}

/** Reads the text of a resolv.conf: nameservers add up; of searches and options the last line holds. */
export function parseResolvConf(text: string): DnsConfig {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split("\n")) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === "nameserver" && rest[0] !== undefined) servers.push(rest[0]);
    else if (word === "search") searches = rest.map((one) => one.replace(/\.$/, ""));
    else if (word === "options") options = rest;
  }
  return { servers, searches, options };
}

/** The DNS settings of a pod, and what was left out of them. */
export function podDns(pod: Pod, node: NodeDns): { dns: DnsConfig; warnings: DnsWarning[] } {
  const warnings: DnsWarning[] = [];
  const base = baseOf(pod, node, warnings);
  const own = pod.spec?.dnsConfig;
  const merged: DnsConfig =
    own === undefined
      ? base
      : {
          servers: distinct([...base.servers, ...(own.nameservers ?? [])]),
          searches: distinct([...base.searches, ...(own.searches ?? [])]),
          options: mergeOptions(base.options, own.options ?? []),
        };
  return { dns: withinLimits(merged, warnings), warnings };
}

function baseOf(pod: Pod, node: NodeDns, warnings: DnsWarning[]): DnsConfig {
  const { clusterDns, clusterDomain, host } = node;
  const policy = pod.spec?.dnsPolicy ?? "ClusterFirst";
  if (policy === "None") return { servers: [], searches: [], options: [] };
  // Without a network of its own a pod resolves as its node does, unless it says otherwise.
  if (policy === "Default" || (policy === "ClusterFirst" && pod.spec?.hostNetwork)) return host;
  if (clusterDns.length === 0) {
    const { name, namespace, uid } = pod.metadata ?? {};
    const message =
      'kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" policy. ' +
      'Falling back to "Default" policy.';
    warnings.push({ reason: "MissingClusterDNS", message: `pod: "${name}_${namespace}(${uid})". ${message}` });
    return host;
  }
  const cluster =
    clusterDomain === ""
      ? []
      : [`${pod.metadata?.namespace ?? ""}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  return { servers: clusterDns, searches: distinct([...cluster, ...host.searches]), options: ["ndots:5"] };
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}

/** The pod's own options replace those of the same name. */
function mergeOptions(base: readonly string[], own: readonly PodDNSConfigOption[]): string[] {
  const values = new Map<string, string>();
  for (const option of base) {
    const [name = "", value = ""] = option.split(/:(.*)/s);
    values.set(name, value);
  }
  for (const { name = "", value = "" } of own) values.set(name, value);
  return [...values].map(([name, value]) => (value === "" ? name : `${name}:${value}`));
}

function withinLimits(dns: DnsConfig, warnings: DnsWarning[]): DnsConfig {
  const servers = dns.servers.slice(0, MAX_NAMESERVERS);
  if (servers.length < dns.servers.length) {
    const applied = `the applied nameserver line is: ${servers.join(" ")}`;
    const message = `Nameserver limits were exceeded, some nameservers have been omitted, ${applied}`;
    warnings.push({ reason: "DNSConfigForming", message });
  }
  const searches = dns.searches.slice(0, MAX_SEARCHES).filter((one) => one.length <= MAX_SEARCH_LENGTH);
  while (searches.join(" ").length > MAX_SEARCH_CHARACTERS) searches.pop();
  if (searches.length < dns.searches.length) {
    const applied = `the applied search line is: ${searches.join(" ")}`;
    const message = `Search Line limits were exceeded, some search paths have been omitted, ${applied}`;
    warnings.push({ reason: "DNSConfigForming", message });
  }
  return { servers, searches, options: dns.options };
}
