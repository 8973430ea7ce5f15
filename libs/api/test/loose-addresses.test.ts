// Addresses and blocks in the forms that older fields take: what each means, how it is written in the one way, and the warnings.
import { describe, expect, test } from "vitest";
import {
  canonicalIp,
  cidrFamily,
  cidrWarnings,
  ipWarnings,
  looseCidr,
  looseIp,
  validateCidr,
  validateIp,
  validateStrictCidr,
} from "../src/validation/ip.ts";
import { serviceWarnings } from "../src/core-v1/service/warnings.ts";
import { validateService } from "../src/core-v1/service/validation.ts";
import { networkPolicyKind } from "../src/networking-v1/network-policy/network-policy.ts";
import type { NetworkPolicy, Service } from "../src/types.gen.ts";

describe("an address", () => {
  test.each([
    ["10.1.2.3", "IPv4", "10.1.2.3"],
    ["010.001.002.0003", "IPv4", "10.1.2.3"],
    ["08.09.00.0", "IPv4", "8.9.0.0"],
    ["::ffff:1.2.3.4", "IPv4", "1.2.3.4"],
    ["::FFFF:001.2.3.04", "IPv4", "1.2.3.4"],
    ["FE80:0:0:0:0:0:0:0abc", "IPv6", "fe80::abc"],
    ["2001:db8::1", "IPv6", "2001:db8::1"],
    ["64:ff9b::1.2.3.4", "IPv6", "64:ff9b::102:304"],
    ["::01.2.3.4", "IPv6", "::102:304"],
    ["::0.0.0.0", "IPv6", "::"],
  ])("%s is of %s and written %s", (text, family, canonical) => {
    expect(looseIp(text)).toMatchObject({ family, canonical });
    expect(canonicalIp(text)).toBe(canonical);
    expect(validateIp(text, "ip")).toEqual([]);
  });

  test.each([
    "",
    "10.1",
    "10.1.2.256",
    "10.1.2.0256",
    "0x10.1.2.3",
    "1.2.3.4.5",
    "fe80::1%eth0",
    "::ffff:1.2.3",
    "None",
  ])("%j is none", (text) => {
    expect(looseIp(text)).toBeUndefined();
    expect(canonicalIp(text)).toBe(text);
    expect(validateIp(text, "ip")).toMatchObject([{ field: "ip" }]);
  });

  test("in a form that will not be taken for ever is warned of", () => {
    expect(ipWarnings("10.1.2.3", "at")).toEqual([]);
    expect(ipWarnings("010.1.2.3", "at")).toEqual([
      'at: non-standard IP address "010.1.2.3" will be considered invalid in a future Kubernetes release: use "10.1.2.3"',
    ]);
    expect(ipWarnings("::ffff:1.2.3.4", "at")).toEqual([
      'at: non-standard IP address "::ffff:1.2.3.4" will be considered invalid in a future Kubernetes release: use "1.2.3.4"',
    ]);
    expect(ipWarnings("2001:DB8::1", "at")).toEqual([
      'at: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
    ]);
  });
});

describe("a block", () => {
  test.each([
    ["10.0.0.0/8", "10.0.0.0/8", true],
    ["010.0.0.0/08", "10.0.0.0/8", true],
    ["10.1.2.3/8", "10.0.0.0/8", false],
    ["::ffff:1.2.3.0/120", "1.2.3.0/24", true],
    ["2001:DB8::1/64", "2001:db8::/64", false],
    ["0.0.0.0/0", "0.0.0.0/0", true],
  ])("%s is %s", (text, canonical, exact) => {
    expect(looseCidr(text)).toMatchObject({ canonical, exact });
    expect(validateCidr(text, "at")).toEqual([]);
  });

  test.each(["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/8/8", "10.0.0.0/-1", "::/129", "10.0.0.0/"])(
    "%j is none",
    (text) => {
      expect(validateCidr(text, "at")).toMatchObject([{ field: "at" }]);
    },
  );

  test.each([
    ["010.0.0.0/8", "must not have leading 0s in IP or prefix length"],
    ["10.0.0.0/08", "must not have leading 0s in IP or prefix length"],
    ["::ffff:1.2.3.0/120", "must not have an IPv4-mapped IPv6 address"],
    ["10.1.0.0/8", "must not have bits set beyond the prefix length"],
    ["2001:DB8::/64", 'must be in canonical form ("2001:db8::/64")'],
  ])("%s is none where only the one form is taken", (text, detail) => {
    const [error] = validateStrictCidr(text, "at");
    expect(error?.detail).toBe(`Invalid value: ${JSON.stringify(text)}: ${detail}`);
    expect(cidrFamily(text)).toBeUndefined();
  });

  test("in a form that will not be taken for ever, or that says two things, is warned of", () => {
    expect(cidrWarnings("10.0.0.0/8", "at")).toEqual([]);
    expect(cidrWarnings("010.1.2.3/8", "at")).toEqual([
      'at: CIDR value "010.1.2.3/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.1.2.3/32"?)',
      'at: non-standard CIDR value "010.1.2.3/8" will be considered invalid in a future Kubernetes release: use "10.0.0.0/8"',
    ]);
    expect(cidrWarnings("2001:DB8::/64", "at")).toEqual([
      'at: IPv6 CIDR value "2001:DB8::/64" should be in RFC 5952 canonical format ("2001:db8::/64")',
    ]);
  });
});

test("a Service may be written in such forms, and is warned of each", () => {
  const service: Service = {
    metadata: { name: "s", namespace: "n" },
    spec: {
      type: "LoadBalancer",
      ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
      clusterIP: "010.096.0.9",
      clusterIPs: ["010.096.0.9"],
      ipFamilies: ["IPv4"],
      sessionAffinity: "None",
      externalTrafficPolicy: "Cluster",
      externalIPs: ["::ffff:192.0.2.1"],
      loadBalancerIP: "192.0.2.02",
      loadBalancerSourceRanges: ["192.0.2.1/24"],
    },
    status: { loadBalancer: { ingress: [{ ip: "192.0.2.003", ipMode: "VIP" }] } },
  };
  expect(validateService(service)).toEqual([]);
  expect(serviceWarnings(service).map((text) => text.slice(0, text.indexOf(":")))).toEqual([
    "spec.clusterIPs[0]",
    "spec.externalIPs[0]",
    "spec.loadBalancerIP",
    "spec.loadBalancerSourceRanges[0]",
    "status.loadBalancer.ingress[0]",
  ]);
  expect(serviceWarnings(service, service)).toHaveLength(4);
  // Eight and nine are no octal digits, and an address is what its decimal digits say.
  const loopback = { ...service, spec: { ...service.spec, externalIPs: ["0127.0.0.1"] } };
  expect(validateService(loopback)).toMatchObject([{ field: "spec.externalIPs[0]" }]);
});

test("what a policy leaves out of a block is compared by what it means", () => {
  const policy = (cidr: string, except: string): NetworkPolicy => ({
    metadata: { name: "p", namespace: "n" },
    spec: { podSelector: {}, policyTypes: ["Ingress"], ingress: [{ from: [{ ipBlock: { cidr, except: [except] } }] }] },
  });
  expect(networkPolicyKind.validateCreate(policy("010.0.0.0/8", "10.1.2.3/016"))).toEqual([]);
  expect(networkPolicyKind.validateCreate(policy("010.0.0.0/8", "011.0.0.0/16"))).toHaveLength(1);
  expect(networkPolicyKind.strategy.warnings?.(policy("010.0.0.0/8", "10.1.2.3/016"), undefined)).toHaveLength(3);
});
