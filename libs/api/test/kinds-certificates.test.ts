// Requests for certificates: who shall sign, and which decisions may stand side by side; and what drivers say of devices.
import { fieldErrorText, type KubeObject } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import type { CertificateSigningRequest, DeviceResourceClaim } from "../src/index.ts";
import { createErrors, kindNamed, statusErrors } from "./support/kind-cases.ts";

const REQUESTS = "certificatesigningrequests.certificates.k8s.io";
const PEM = Buffer.from("-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n");

describe("a signer", () => {
  const S = "spec.signerName: Invalid value";
  const errors = (signerName: string): string[] =>
    createErrors(REQUESTS, {
      metadata: { name: "r" },
      spec: { request: PEM.toString("base64"), usages: ["any"], signerName },
    } as KubeObject);
  test.each<[string, unknown[]]>([
    ["a.b/c", []],
    [`a.b/${"x".repeat(253)}.${"y".repeat(63)}`, []],
    ["a.b", [expect.stringContaining("must be a fully qualified domain and path")]],
    ["a.b/", [expect.stringContaining(`${S}: "": validating label "": a lowercase RFC 1123 subdomain must`)]],
    ["a/c", [`${S}: "a": should be a domain with at least two segments separated by dots`]],
    ["a.b/-", [expect.stringContaining(`${S}: "-": validating label "-": a lowercase RFC 1123 subdomain must`)]],
    [
      `a.${"b".repeat(64)}/c`,
      [`${S}: "a.${"b".repeat(64)}": validating label "${"b".repeat(64)}": must be no more than 63 characters`],
    ],
  ])("named %s", (name, expected) => expect(errors(name)).toEqual(expected));
});

describe("the decisions on a request", () => {
  const NOW = "2026-01-01T00:00:00Z";
  const times = { lastUpdateTime: NOW, lastTransitionTime: NOW };
  const having = (...types: string[]): CertificateSigningRequest => ({
    metadata: { name: "r" },
    spec: { request: "", signerName: "a.b/c" },
    status: { conditions: types.map((type) => ({ type, status: "True", ...times })) },
  });
  const rules = kindNamed(REQUESTS).subresources.find(({ name }) => name === "approval")!.rules!;
  const approvalErrors = (old: CertificateSigningRequest, next: CertificateSigningRequest): string[] => {
    rules.prepare(next, old, { nowMs: Date.parse(NOW) });
    return rules.validate(next, old).map(fieldErrorText);
  };
  test("are one, unless they were two before", () => {
    expect(approvalErrors(having(), having("Approved", "Denied"))).toEqual([
      'status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive',
    ]);
    expect(approvalErrors(having("Denied", "Approved"), having("Approved", "Denied"))).toEqual([]);
  });
  test("do not go away with all conditions", () => {
    expect(approvalErrors(having("Approved"), { ...having(), status: {} })).toEqual([
      'status.conditions: Forbidden: updates may not remove a condition of type "Approved"',
    ]);
  });
  test("stay as they are where the certificate is written", () => {
    const old = having("Approved");
    const seen: unknown[] = [];
    const errors = statusErrors(REQUESTS, old, (next) => {
      next.status = { conditions: [{ type: "Approved", status: "True", reason: "Other" }] };
      seen.push(next);
    });
    expect(errors).toEqual([]);
    expect(seen).toMatchObject([{ status: old.status }]);
  });
});

test("what a driver says of a device's network has an end, and addresses in one form", () => {
  const device = { driver: "d.x", pool: "p", device: "e" };
  const claim: DeviceResourceClaim = {
    metadata: { name: "c", namespace: "d" },
    spec: {},
    status: { allocation: { devices: { results: [{ request: "r", ...device }] } } },
  };
  const errors = statusErrors("resourceclaims.resource.k8s.io", claim, (next) => {
    const ips = ["10.0.0.1/24", "10.0.0.1/24", "010.0.0.1/24", "10.0.0.1", "2001:DB8::1/64"];
    const networkData = { interfaceName: "i".repeat(257), hardwareAddress: "h".repeat(129), ips };
    next.status = { ...next.status, devices: [{ ...device, networkData }] };
  });
  const N = "status.devices[0].networkData";
  expect(errors).toEqual([
    `${N}.interfaceName: Too long: may not be more than 256 bytes`,
    `${N}.hardwareAddress: Too long: may not be more than 128 bytes`,
    `${N}.ips[1]: Duplicate value: "10.0.0.1/24"`,
    `${N}.ips[2]: Invalid value: "010.0.0.1/24": must be in canonical form ("10.0.0.1/24")`,
    `${N}.ips[3]: Invalid value: "10.0.0.1": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)`,
    `${N}.ips[4]: Invalid value: "2001:DB8::1/64": must be in canonical form ("2001:db8::1/64")`,
  ]);
});
