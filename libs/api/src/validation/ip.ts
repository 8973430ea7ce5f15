// IP addresses and blocks as the API takes them: newer fields in the one strict form, older ones in forms that say the same, with a
// warning. https://kubernetes.io/docs/reference/using-api/ip-addresses/
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid } from "@coxswain/apimachinery";
import ipaddr from "ipaddr.js";
import { isIPv4, isIPv6 } from "node:net";

export type IpFamily = "IPv4" | "IPv6";

/** The family of an address; undefined where `text` is none. Leading zeros and short forms are none: `looseIp` reads those. */
export function ipFamily(text: string): IpFamily | undefined {
  if (isIPv4(text)) return "IPv4";
  return isIPv6(text) && !text.includes("%") ? "IPv6" : undefined;
}

/** An address in a form that older fields take. */
export interface LooseIp {
  /** An IPv4 address that is written as one of IPv6 (::ffff:1.2.3.4) is of IPv4. */
  readonly family: IpFamily;
  /** The one way to write it. */
  readonly canonical: string;
  /** Written as one of IPv6 although of IPv4. */
  readonly mapped: boolean;
}

const withoutZeros = (dotted: string): string => dotted.replace(/\d+/g, (octet) => octet.replace(/^0+(?=\d)/, ""));

/** 1.2.3.4 as 102:304: ipaddr.js takes ::1.2.3.4 for ::ffff:1.2.3.4, which is another address. */
function asGroups(dotted: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = dotted.split(".").map(Number);
  return [a * 256 + b, c * 256 + d].map((group) => group.toString(16)).join(":");
}

/** Undefined where `text` is none. Octets may have leading zeros, which mean nothing: they are decimal. */
export function looseIp(text: string | undefined): LooseIp | undefined {
  if (text === undefined) return undefined;
  const plain = isIPv4(text) ? text : withoutZeros(text);
  if (isIPv4(plain)) return { family: "IPv4", canonical: plain, mapped: false };
  const [, head = "", tail] = /^(.*:)(\d+(?:\.\d+){3})$/.exec(text) ?? [];
  const dotted = tail === undefined ? undefined : withoutZeros(tail);
  if (dotted !== undefined && !isIPv4(dotted)) return undefined;
  const wide = dotted === undefined ? text : head + asGroups(dotted);
  if (!isIPv6(wide) || wide.includes("%")) return undefined;
  const parsed = ipaddr.IPv6.parse(wide);
  if (!parsed.isIPv4MappedAddress()) return { family: "IPv6", canonical: parsed.toRFC5952String(), mapped: false };
  return { family: "IPv4", canonical: parsed.toIPv4Address().toString(), mapped: true };
}

/** The one way to write the address; the text itself where it is none. */
export function canonicalIp(text: string): string {
  return isIPv4(text) ? text : (looseIp(text)?.canonical ?? text);
}

const NO_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/** For fields that are older than the strict form of addresses: all but the newest. */
export function validateIp(text: string, path: string): FieldError[] {
  return looseIp(text) === undefined ? [fieldInvalid(path, text, NO_IP)] : [];
}

/** What upstream says of an address that `validateIp` takes and a later version will not; nothing of what is none. */
export function ipWarnings(text: string | undefined, path: string): string[] {
  if (text === undefined) return [];
  const found = looseIp(text);
  if (found === undefined || found.canonical === text) return [];
  const [written, better] = [JSON.stringify(text), JSON.stringify(found.canonical)];
  if (ipFamily(text) === undefined || found.mapped) {
    return [
      `${path}: non-standard IP address ${written} will be considered invalid in a future Kubernetes release: use ${better}`,
    ];
  }
  return [`${path}: IPv6 address ${written} should be in RFC 5952 canonical format (${better})`];
}

/** A block in a form that older fields take. */
export interface LooseCidr extends LooseIp {
  readonly address: string;
  /** The length of the prefix; of an address that is `mapped`, within its last 32 bits. */
  readonly bits: number;
  /** False where bits are set beyond the prefix. */
  readonly exact: boolean;
}

/** Undefined where `text` is none. Bits may be set beyond the prefix, and its length may have leading zeros. */
export function looseCidr(text: string): LooseCidr | undefined {
  const [written = "", length = "", ...rest] = text.split("/");
  const ip = looseIp(written);
  if (ip === undefined || rest.length > 0 || !/^\d+$/.test(length)) return undefined;
  const most = ip.mapped || ip.family === "IPv6" ? 128 : 32;
  if (Number(length) > most) return undefined;
  const bits = ip.mapped ? Math.max(0, Number(length) - 96) : Number(length);
  const block = `${ip.canonical}/${bits}`;
  const network =
    ip.family === "IPv4"
      ? ipaddr.IPv4.networkAddressFromCIDR(block).toString()
      : ipaddr.IPv6.networkAddressFromCIDR(block).toRFC5952String();
  return { ...ip, address: ip.canonical, bits, canonical: `${network}/${bits}`, exact: network === ip.canonical };
}

/** The family of a block in its strict form; undefined where `text` is none. */
export function cidrFamily(text: string): IpFamily | undefined {
  return validateStrictCidr(text, "").length === 0 ? looseCidr(text)?.family : undefined;
}

/** As `validateIp`. */
export function validateCidr(text: string, path: string): FieldError[] {
  return looseCidr(text) === undefined ? [fieldInvalid(path, text, NO_CIDR)] : [];
}

/** For the newest fields: a network in the one way to write it. */
export function validateStrictCidr(text: string, path: string): FieldError[] {
  const found = looseCidr(text);
  const refuse = (detail: string): FieldError[] => [fieldInvalid(path, text, detail)];
  if (found === undefined) return refuse(NO_CIDR);
  if (hasZeros(text)) return refuse("must not have leading 0s in IP or prefix length");
  if (found.mapped) return refuse("must not have an IPv4-mapped IPv6 address");
  if (!found.exact) return refuse("must not have bits set beyond the prefix length");
  return found.canonical === text ? [] : refuse(`must be in canonical form (${JSON.stringify(found.canonical)})`);
}

function hasZeros(cidr: string): boolean {
  const [address = "", length = ""] = cidr.split("/");
  return ipFamily(address) === undefined || /^0\d/.test(length);
}

/** As `ipWarnings`. */
export function cidrWarnings(text: string | undefined, path: string): string[] {
  if (text === undefined) return [];
  const found = looseCidr(text);
  if (found === undefined) return [];
  const [written, better] = [JSON.stringify(text), JSON.stringify(found.canonical)];
  const warnings: string[] = [];
  if (!found.exact) {
    const single = JSON.stringify(`${found.address}/${found.family === "IPv4" && !found.mapped ? 32 : 128}`);
    warnings.push(`${path}: CIDR value ${written} is ambiguous in this context (should be ${better} or ${single}?)`);
  }
  if (hasZeros(text) || found.mapped) {
    warnings.push(
      `${path}: non-standard CIDR value ${written} will be considered invalid in a future Kubernetes release: use ${better}`,
    );
  }
  if (warnings.length === 0 && found.canonical !== text) {
    warnings.push(`${path}: IPv6 CIDR value ${written} should be in RFC 5952 canonical format (${better})`);
  }
  return warnings;
}

/** Endpoints must be reachable from other machines: no loopback, link-local or unspecified addresses. */
export function validateEndpointIp(text: string, path: string): FieldError[] {
  const address = canonicalIp(text);
  const parsed = ipaddr.parse(address);
  // ipaddr.js knows IPv4 link-local multicast only as multicast.
  if (address.startsWith("224.0.0.") || /^ff[0-9a-f]2:/i.test(address)) {
    return [fieldInvalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")];
  }
  switch (parsed.range() as string) {
    case "unspecified":
      return [fieldInvalid(path, text, `may not be unspecified (${text})`)];
    case "loopback":
      return [fieldInvalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")];
    case "linkLocal":
      return [fieldInvalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")];
    default:
      return [];
  }
}
