// URLs, IP addresses and CIDRs. https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-url-library
import type { Environment } from "@marcbachmann/cel-js";
import ipaddr from "ipaddr.js";
import { isIP } from "node:net";
import { declareEquality } from "../values.ts";
import { CelUrl, hostnameOf, parseUrl, portOf, queryOf } from "./urls.ts";
import { celError, registerAll } from "./definition.ts";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

class CelIp {
  readonly address: Address;
  constructor(address: Address) {
    this.address = address;
  }
  toString(): string {
    return canonical(this.address);
  }
}

class CelCidr {
  readonly address: Address;
  readonly bits: number;
  constructor(address: Address, bits: number) {
    this.address = address;
    this.bits = bits;
  }
  toString(): string {
    return `${canonical(this.address)}/${this.bits}`;
  }
}

function canonical(address: Address): string {
  return address.kind() === "ipv6" ? (address as ipaddr.IPv6).toRFC5952String() : address.toString();
}

function parseIp(text: string): Address | undefined {
  // No zones, no IPv4 inside of IPv6.
  if (isIP(text) === 0 || text.includes("%") || (text.includes(":") && text.includes("."))) return undefined;
  return ipaddr.parse(text);
}

function parseCidr(text: string): CelCidr | undefined {
  const parts = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = parts === null ? undefined : parseIp(parts[1] as string);
  const bits = Number(parts?.[2]);
  if (address === undefined || bits > (address.kind() === "ipv4" ? 32 : 128)) return undefined;
  return new CelCidr(address, bits);
}

function ip(text: string): CelIp {
  const address = parseIp(text);
  if (address === undefined)
    throw celError(`IP Address "${text}" parse error during conversion from string: not an IP address`);
  return new CelIp(address);
}

function cidr(text: string): CelCidr {
  const found = parseCidr(text);
  if (found === undefined)
    throw celError(`network address parse error during conversion from string: invalid CIDR address: ${text}`);
  return found;
}

function url(text: string): CelUrl {
  const found = parseUrl(text);
  if (found === undefined)
    throw celError(`URL parse error during conversion from string: invalid URI for request: "${text}"`);
  return found;
}

function contains(range: CelCidr, { address }: CelIp): boolean {
  return address.kind() === range.address.kind() && address.match(range.address, range.bits);
}

function masked({ address, bits }: CelCidr): CelCidr {
  const bytes = address.toByteArray().map((byte, at) => {
    const kept = Math.min(Math.max(bits - at * 8, 0), 8);
    return byte & (0xff << (8 - kept)) & 0xff;
  });
  return new CelCidr(ipaddr.fromByteArray(bytes), bits);
}

function isGlobal({ address }: CelIp): boolean {
  const outside = ["unspecified", "loopback", "linkLocal", "multicast", "broadcast"];
  return !outside.includes(address.range());
}

const multicastLocal = ({ address }: CelIp): boolean => {
  const bytes = address.toByteArray();
  if (address.kind() === "ipv4") return bytes[0] === 224 && bytes[1] === 0 && bytes[2] === 0;
  return bytes[0] === 0xff && ((bytes[1] as number) & 0x0f) === 0x02;
};

export function registerNetwork(environment: Environment): void {
  environment.registerType("net.IP", { ctor: CelIp } as never);
  environment.registerType("net.CIDR", { ctor: CelCidr } as never);
  environment.registerType("kubernetes.URL", { ctor: CelUrl } as never);
  declareEquality(CelIp, (a: CelIp, b: CelIp) => String(a) === String(b));
  declareEquality(CelCidr, (a: CelCidr, b: CelCidr) => String(a) === String(b));
  declareEquality(CelUrl, (a: CelUrl, b: CelUrl) => a.text === b.text);
  registerAll(environment, {
    "ip(string): net.IP": ip,
    "isIP(string): bool": (text: string) => parseIp(text) !== undefined,
    "string(net.IP): string": String,
    "net.IP.family(): int": ({ address }: CelIp) => (address.kind() === "ipv4" ? 4n : 6n),
    "net.IP.isUnspecified(): bool": ({ address }: CelIp) => address.range() === "unspecified",
    "net.IP.isLoopback(): bool": ({ address }: CelIp) => address.range() === "loopback",
    "net.IP.isLinkLocalMulticast(): bool": multicastLocal,
    "net.IP.isLinkLocalUnicast(): bool": ({ address }: CelIp) => address.range() === "linkLocal",
    "net.IP.isGlobalUnicast(): bool": isGlobal,
    "cidr(string): net.CIDR": cidr,
    "isCIDR(string): bool": (text: string) => parseCidr(text) !== undefined,
    "string(net.CIDR): string": String,
    "net.CIDR.containsIP(net.IP): bool": contains,
    "net.CIDR.containsIP(string): bool": (range: CelCidr, text: string) => contains(range, ip(text)),
    "net.CIDR.containsCIDR(net.CIDR): bool": (outer: CelCidr, inner: CelCidr) =>
      inner.bits >= outer.bits && contains(outer, new CelIp(inner.address)),
    "net.CIDR.containsCIDR(string): bool": (outer: CelCidr, text: string) => {
      const inner = cidr(text);
      return inner.bits >= outer.bits && contains(outer, new CelIp(inner.address));
    },
    "net.CIDR.ip(): net.IP": ({ address }: CelCidr) => new CelIp(address),
    "net.CIDR.masked(): net.CIDR": masked,
    "net.CIDR.prefixLength(): int": ({ bits }: CelCidr) => BigInt(bits),
    "url(string): kubernetes.URL": url,
    "isURL(string): bool": (text: string) => parseUrl(text) !== undefined,
    "kubernetes.URL.getScheme(): string": ({ scheme }: CelUrl) => scheme,
    "kubernetes.URL.getHost(): string": ({ host }: CelUrl) => host,
    "kubernetes.URL.getHostname(): string": hostnameOf,
    "kubernetes.URL.getPort(): string": portOf,
    "kubernetes.URL.getEscapedPath(): string": ({ path }: CelUrl) => path,
    "kubernetes.URL.getQuery(): map<string, list<string>>": queryOf,
  });
  // ip.isCanonical is a function in a namespace of its own.
  class IpNamespace {
    get [Symbol.toStringTag](): string {
      return "ip";
    }
  }
  environment.registerType("IpNamespace", { ctor: IpNamespace } as never);
  environment.registerConstant("ip", "IpNamespace", new IpNamespace());
  registerAll(environment, {
    "IpNamespace.isCanonical(string): bool": (_namespace: unknown, text: string) => String(ip(text)) === text,
  });
}
