// IP addresses and CIDRs as the API takes them: strict, canonical where upstream asks for it.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid } from "@coxswain/apimachinery";
import ipaddr from "ipaddr.js";
import { isIPv4, isIPv6 } from "node:net";

export type IpFamily = "IPv4" | "IPv6";

/** The family of an address; undefined where `text` is none. Leading zeros and short forms are none. */
export function ipFamily(text: string): IpFamily | undefined {
  if (isIPv4(text)) return "IPv4";
  return isIPv6(text) && !text.includes("%") ? "IPv6" : undefined;
}

export function validateIp(text: string, path: string): FieldError[] {
  return ipFamily(text)
    ? []
    : [fieldInvalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")];
}

/** The family of an address block; undefined where `text` is none. */
export function cidrFamily(text: string): IpFamily | undefined {
  const [address = "", bits = "", ...rest] = text.split("/");
  const family = ipFamily(address);
  if (!family || rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(bits)) return undefined;
  return Number(bits) <= (family === "IPv4" ? 32 : 128) ? family : undefined;
}

export function validateCidr(text: string, path: string): FieldError[] {
  return cidrFamily(text)
    ? []
    : [fieldInvalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")];
}

/** Endpoints must be reachable from other machines: no loopback, link-local or unspecified addresses. */
export function validateEndpointIp(text: string, path: string): FieldError[] {
  const parsed = ipaddr.parse(text);
  // ipaddr.js knows IPv4 link-local multicast only as multicast.
  if (text.startsWith("224.0.0.") || /^ff[0-9a-f]2:/i.test(text)) {
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
