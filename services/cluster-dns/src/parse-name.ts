// What a name below the cluster's domain means. Pure.
import ipaddr from "ipaddr.js";

export type ParsedName =
  /** The domain itself, or a name that only has names below it (svc, pod, ns.pod …). */
  | { readonly kind: "apex" }
  | { readonly kind: "container" }
  | { readonly kind: "namespace"; readonly namespace: string; readonly below: "svc" | "pod" }
  | { readonly kind: "service"; readonly namespace: string; readonly service: string }
  /** _tcp.web.default.svc: names below it, nothing at it. */
  | { readonly kind: "protocol"; readonly namespace: string; readonly service: string; readonly protocol: string }
  | {
      readonly kind: "port";
      readonly namespace: string;
      readonly service: string;
      readonly port: string;
      readonly protocol: string;
    }
  | { readonly kind: "endpoint"; readonly namespace: string; readonly service: string; readonly label: string }
  | { readonly kind: "pod"; readonly namespace: string; readonly address: string }
  | { readonly kind: "dns-server" }
  | { readonly kind: "schema-version" }
  | { readonly kind: "reverse"; readonly address: string }
  /** Below the domain, and no name that can exist. */
  | { readonly kind: "nothing" }
  | { readonly kind: "outside" };

/** `name` as it was asked, in any case, with or without the last dot; `domain` in lower case without it. */
export function parseName(given: string, domain: string): ParsedName {
  const name = given.toLowerCase().replace(/\.$/, "");
  if (name === domain) return { kind: "apex" };
  if (name.endsWith(`.${domain}`)) return parseInside(name.slice(0, -domain.length - 1).split("."));
  const address = reverseAddress(name);
  return address === undefined ? { kind: "outside" } : { kind: "reverse", address };
}

function parseInside(labels: readonly string[]): ParsedName {
  const own = labels.join(".");
  if (own === "dns-version") return { kind: "schema-version" };
  if (own === "ns.dns") return { kind: "dns-server" };
  if (own === "svc" || own === "pod" || own === "dns") return { kind: "container" };
  const below = labels.at(-1);
  const namespace = labels.at(-2);
  if (namespace === undefined || (below !== "svc" && below !== "pod")) return { kind: "nothing" };
  const rest = labels.slice(0, -2);
  if (rest.length === 0) return { kind: "namespace", namespace, below };
  return below === "svc" ? parseService(rest, namespace) : parsePod(rest, namespace);
}

function parseService(rest: readonly string[], namespace: string): ParsedName {
  const service = rest.at(-1)!;
  if (rest.length === 1) return { kind: "service", namespace, service };
  const [first, second] = rest as [string, string];
  if (rest.length === 2) {
    if (first.startsWith("_")) return { kind: "protocol", namespace, service, protocol: first.slice(1) };
    return { kind: "endpoint", namespace, service, label: first };
  }
  if (rest.length === 3 && first.startsWith("_") && second.startsWith("_"))
    return { kind: "port", namespace, service, port: first.slice(1), protocol: second.slice(1) };
  return { kind: "nothing" };
}

function parsePod(rest: readonly string[], namespace: string): ParsedName {
  const [label] = rest as [string];
  if (rest.length > 1) return { kind: "nothing" };
  const dotted = label.replaceAll("-", ".");
  if (ipaddr.IPv4.isValidFourPartDecimal(dotted)) return { kind: "pod", namespace, address: dotted };
  const colons = label.replaceAll("-", ":");
  if (ipaddr.IPv6.isValid(colons)) return { kind: "pod", namespace, address: ipaddr.parse(colons).toString() };
  return { kind: "nothing" };
}

/** The address of "7.1.244.10.in-addr.arpa" or of an ip6.arpa name; undefined for every other name. */
function reverseAddress(name: string): string | undefined {
  if (name.endsWith(".in-addr.arpa")) {
    const address = name.slice(0, -".in-addr.arpa".length).split(".").toReversed().join(".");
    return ipaddr.IPv4.isValidFourPartDecimal(address) ? address : undefined;
  }
  if (!name.endsWith(".ip6.arpa")) return undefined;
  const digits = name.slice(0, -".ip6.arpa".length).split(".").toReversed();
  if (digits.length !== 32 || !digits.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined;
  return ipaddr.parse(digits.join("").replace(/(.{4})(?=.)/g, "$1:")).toString();
}
