// Where a proxied request goes: reads names such as https:web:8080 and picks an address. Pure. Guarantees: loopback and
// link-local addresses are refused; of a Service only ready pods of its own namespace are picked. Wording as upstream.
import { BlockList, isIP } from "node:net";
import type { EndpointSlice, Node, Pod, Service } from "@coxswain/api";
import { newBadRequest, newServiceUnavailable } from "@coxswain/apimachinery";

export interface ProxyName {
  readonly scheme: "http" | "https";
  readonly name: string;
  /** A number or a name; "" where none was given. */
  readonly port: string;
}

export interface ProxyLocation {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
}

/** An address of a Service with the pod that is said to have it. */
export interface ServiceAddress {
  readonly host: string;
  readonly port: number;
  readonly pod: string;
}

const DEFAULT_PORTS = { http: 80, https: 443 };
const MAX_PORT = 65_535;

const FORBIDDEN = new BlockList();
for (const [net, prefix, family] of [
  ["0.0.0.0", 32, "ipv4"],
  ["127.0.0.0", 8, "ipv4"],
  ["169.254.0.0", 16, "ipv4"],
  ["224.0.0.0", 4, "ipv4"],
  ["255.255.255.255", 32, "ipv4"],
  ["::", 127, "ipv6"],
  ["fe80::", 10, "ipv6"],
  ["ff00::", 8, "ipv6"],
] as const) {
  FORBIDDEN.addSubnet(net, prefix, family);
}

/** Throws BadRequest where an address leads back to the server itself, or is none. */
export function checkProxyable(address: string): void {
  const family = isIP(address);
  if (family === 0 || FORBIDDEN.check(address, family === 6 ? "ipv6" : "ipv4"))
    throw newBadRequest("address not allowed");
}

/** NAME, NAME:PORT or SCHEME:NAME:PORT. Throws BadRequest for anything else. */
export function parseProxyName(text: string, what: "pod" | "service" | "node"): ProxyName {
  const parts = text.split(":");
  const [scheme = "", name = "", port = ""] = parts.length === 3 ? parts : ["", ...parts];
  const known = scheme === "" || scheme === "http" || scheme === "https";
  if (parts.length > 3 || !known || name === "") throw newBadRequest(`invalid ${what} request ${JSON.stringify(text)}`);
  return { scheme: scheme === "https" ? "https" : "http", name, port };
}

function portNumber(port: string, scheme: ProxyName["scheme"]): number {
  if (port === "") return DEFAULT_PORTS[scheme];
  const number = Number(port);
  if (/^\d{1,5}$/.test(port) && number >= 1 && number <= MAX_PORT) return number;
  const why = /^\d+$/.test(port) ? `address ${port}: invalid port` : `lookup tcp/${port}: unknown port`;
  throw newServiceUnavailable(`error trying to reach service: dial tcp: ${why}`);
}

/** The asked port, or else the first that a container declares. */
export function podLocation(pod: Pod, { scheme, port }: ProxyName): ProxyLocation {
  const declared = (pod.spec?.containers ?? []).flatMap((container) => container.ports ?? [])[0]?.containerPort;
  const host = pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? "";
  checkProxyable(host);
  return { scheme, host, port: portNumber(port === "" && declared !== undefined ? String(declared) : port, scheme) };
}

/** The name of the asked port; "" means the port without a name. Throws ServiceUnavailable for an unknown number. */
export function servicePortName(service: Service, { name, port }: ProxyName): string {
  if (!/^\d+$/.test(port)) return port;
  const found = (service.spec?.ports ?? []).find((one) => one.port === Number(port));
  if (found !== undefined) return found.name ?? "";
  throw newServiceUnavailable(`no service port ${port} found for service ${JSON.stringify(name)}`);
}

/** The ready pods behind a port. */
export function serviceAddresses(slices: readonly EndpointSlice[], portName: string): ServiceAddress[] {
  const found: ServiceAddress[] = [];
  for (const slice of slices) {
    const port = slice.ports?.find((one) => (one.name ?? "") === portName)?.port;
    if (port === undefined) continue;
    for (const { addresses, conditions, targetRef } of slice.endpoints ?? []) {
      const [host] = addresses ?? [];
      const own = targetRef?.kind === "Pod" && targetRef.namespace === slice.metadata?.namespace;
      if (conditions?.ready === false || host === undefined || !own) continue;
      found.push({ host, port, pod: targetRef?.name ?? "" });
    }
  }
  return found;
}

/** Whether the pod still has the address. */
export function hasAddress(pod: Pod, host: string): boolean {
  return (pod.status?.podIPs ?? []).some(({ ip }) => ip === host);
}

/** Also whether it is the kubelet's own port, which is reached with the api-server's certificate. */
export function nodeLocation(node: Node, { scheme, port }: ProxyName): ProxyLocation & { readonly kubelet: boolean } {
  const host = (node.status?.addresses ?? []).find(({ type }) => type === "InternalIP")?.address;
  if (host === undefined) throw newServiceUnavailable("no preferred addresses found; known addresses: []");
  const kubeletPort = node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 10_250;
  if (port === "" || Number(port) === kubeletPort) return { scheme: "https", host, port: kubeletPort, kubelet: true };
  checkProxyable(host);
  return { scheme, host, port: portNumber(port, scheme), kubelet: false };
}
