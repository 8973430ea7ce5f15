// Requests for certificates: who needs no person, what signers sign, and how long requests stay.
import { CERTIFICATE_SIGNING_REQUESTS, type CertificateSigningRequest } from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import type { CertificateAuthority, SigningRequest } from "@coxswain/component-base/identity/signing-requests";
import { describe, expect, test } from "vitest";
import {
  CLIENT,
  disposableAtMs,
  isUndecided,
  KUBELET_CLIENT,
  KUBELET_SERVING,
  planApproval,
  refusal,
  ttlMs,
} from "../src/certificates/plan.ts";
import { makeFixture } from "./cluster-fixture.ts";

const node: SigningRequest = {
  commonName: "system:node:n1",
  organizations: ["system:nodes"],
  dnsNames: [],
  ips: [],
  emails: [],
  uris: [],
};
const CLIENT_USAGES = ["digital signature", "client auth"];

function request(
  signerName: string,
  usages: string[] = CLIENT_USAGES,
  rest: Partial<CertificateSigningRequest["spec"]> = {},
): CertificateSigningRequest {
  return {
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name: "r", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { request: Buffer.from("PEM").toString("base64"), signerName, usages, username: "system:node:n1", ...rest },
  };
}

describe("signers refuse in upstream's words", () => {
  const serving = { ...node, dnsNames: ["n1"] };
  const servingUsages = ["digital signature", "key encipherment", "server auth"];
  test.each<[string, string, string[], SigningRequest, string | undefined]>([
    ["a kubelet's client", KUBELET_CLIENT, CLIENT_USAGES, node, undefined],
    ["with key encipherment", KUBELET_CLIENT, [...CLIENT_USAGES, "key encipherment"], node, undefined],
    [
      "no usage",
      KUBELET_CLIENT,
      ["client auth"],
      node,
      "usages did not match [client auth digital signature key encipherment]",
    ],
    [
      "another group",
      KUBELET_CLIENT,
      CLIENT_USAGES,
      { ...node, organizations: ["x"] },
      "subject organization is not system:nodes",
    ],
    [
      "two groups",
      KUBELET_CLIENT,
      CLIENT_USAGES,
      { ...node, organizations: ["system:nodes", "system:masters"] },
      "subject organization is not system:nodes",
    ],
    [
      "another name",
      KUBELET_CLIENT,
      CLIENT_USAGES,
      { ...node, commonName: "jane" },
      "subject common name does not begin with system:node:",
    ],
    ["DNS", KUBELET_CLIENT, CLIENT_USAGES, serving, "DNS subjectAltNames are not allowed"],
    ["an address", KUBELET_CLIENT, CLIENT_USAGES, { ...node, ips: ["10.0.0.1"] }, "IP subjectAltNames are not allowed"],
    ["mail", KUBELET_CLIENT, CLIENT_USAGES, { ...node, emails: ["a@b.c"] }, "Email subjectAltNames are not allowed"],
    ["a URI", KUBELET_CLIENT, CLIENT_USAGES, { ...node, uris: ["a:b"] }, "URI subjectAltNames are not allowed"],
    ["a kubelet's server", KUBELET_SERVING, servingUsages, serving, undefined],
    ["nameless", KUBELET_SERVING, servingUsages, node, "DNS or IP subjectAltName is required"],
    [
      "for clients",
      KUBELET_SERVING,
      CLIENT_USAGES,
      serving,
      "usages did not match [digital signature key encipherment server auth]",
    ],
    ["anybody", CLIENT, ["client auth"], { ...node, commonName: "jane", organizations: ["system:masters"] }, undefined],
    ["a server", CLIENT, ["server auth", "client auth"], node, "invalid usage for client certificate: server auth"],
    ["no client", CLIENT, ["digital signature"], node, "missing required usage for client certificate: client auth"],
  ])("%s for %s", (_, signer, usages, asked, expected) => {
    expect(refusal(request(signer, usages), asked)).toBe(expected);
  });
});

describe("approval without a person", () => {
  const permissions = (csr: CertificateSigningRequest, asked = node) =>
    planApproval(csr, asked).map(({ subresource }) => subresource);
  test("is for kubelets' client certificates alone", () => {
    expect(permissions(request(KUBELET_CLIENT))).toEqual(["selfnodeclient", "nodeclient"]);
    expect(permissions(request(KUBELET_CLIENT, CLIENT_USAGES, { username: "bootstrapper" }))).toEqual(["nodeclient"]);
    expect(permissions(request(CLIENT))).toEqual([]);
    expect(permissions(request(KUBELET_CLIENT), { ...node, dnsNames: ["n1"] })).toEqual([]);
  });
  test("never comes after a decision", () => {
    const decided = (type: string) => ({
      ...request(KUBELET_CLIENT),
      status: { conditions: [{ type, status: "True" }] },
    });
    expect(isUndecided(request(KUBELET_CLIENT))).toBe(true);
    expect(isUndecided(decided("Approved"))).toBe(false);
    expect(isUndecided(decided("Denied"))).toBe(false);
  });
});

test.each([
  [undefined, 1000_000],
  [600, 600_000],
  [60, 600_000],
  [10_000, 1000_000],
])("a certificate that shall last %s seconds lasts %s ms", (expirationSeconds, expected) => {
  expect(ttlMs(request(CLIENT, CLIENT_USAGES, { expirationSeconds }), 1000_000)).toBe(expected);
});

describe("requests go", () => {
  const created = Date.parse("2026-01-01T00:00:00Z");
  const at = formatTime(created + 60_000);
  const HOUR_MS = 3_600_000;
  const condition = (type: string) => ({ type, status: "True", lastUpdateTime: at });
  test.each<[string, CertificateSigningRequest["status"], number | undefined]>([
    ["undecided, after a day", {}, created + 24 * HOUR_MS],
    ["denied, after an hour", { conditions: [condition("Denied")] }, created + 60_000 + HOUR_MS],
    ["failed, after an hour", { conditions: [condition("Approved"), condition("Failed")] }, created + 60_000 + HOUR_MS],
    ["approved and not issued, after a day", { conditions: [condition("Approved")] }, created + 60_000 + 24 * HOUR_MS],
    [
      "issued, after an hour",
      { conditions: [condition("Approved")], certificate: "bm9uZQ==" },
      created + 60_000 + HOUR_MS,
    ],
  ])("%s", (_, status, expected) => {
    expect(disposableAtMs({ ...request(CLIENT), status })).toBe(expected);
  });
});

describe("in a cluster", () => {
  const authority: CertificateAuthority = {
    parse: async () => ({ ...node, commonName: "jane", organizations: [] }),
    sign: async (pem, { usages, ttlMs: life }) => `CERT of ${pem} for ${usages.join()} of ${life}`,
  };
  const APPROVED = { type: "Approved", status: "True", reason: "KubectlApprove", lastUpdateTime: "" };

  async function approved(csr: CertificateSigningRequest) {
    const fixture = makeFixture({ authority });
    fixture.cluster.seed(CERTIFICATE_SIGNING_REQUESTS, csr);
    fixture.start();
    await fixture.env.advance(5_000);
    const stored = () => fixture.cluster.objects<CertificateSigningRequest>(CERTIFICATE_SIGNING_REQUESTS)[0];
    expect(stored()?.status?.certificate).toBeUndefined();
    const condition = { ...APPROVED, lastUpdateTime: formatTime(fixture.env.clock.now()) };
    const next = { ...stored()!, status: { conditions: [condition] } };
    await fixture.settle(fixture.admin.update(CERTIFICATE_SIGNING_REQUESTS, next, { subresource: "approval" }));
    return { fixture, stored };
  }

  test("an approved request is signed, and goes after an hour", async () => {
    const csr = request(CLIENT, CLIENT_USAGES, { expirationSeconds: 3600 });
    csr.metadata = { name: "jane" };
    const { fixture, stored } = await approved(csr);
    expect(await fixture.until(() => stored()?.status?.certificate !== undefined)).toBe(true);
    const text = Buffer.from(stored()?.status?.certificate ?? "", "base64").toString();
    expect(text).toBe("CERT of PEM for digital signature,client auth of 3600000");
    expect(await fixture.until(() => stored() === undefined, 3_500_000)).toBe(false);
    expect(await fixture.until(() => stored() === undefined, 200_000)).toBe(true);
  });

  test("what its signer does not sign is marked as failed, and stays unsigned", async () => {
    const csr = request(CLIENT, ["server auth"]);
    csr.metadata = { name: "server" };
    const { fixture, stored } = await approved(csr);
    const failure = () => stored()?.status?.conditions?.find(({ type }) => type === "Failed");
    expect(await fixture.until(() => failure() !== undefined)).toBe(true);
    expect(failure()).toMatchObject({
      status: "True",
      reason: "SignerValidationFailure",
      message: "invalid usage for client certificate: server auth",
    });
    await fixture.env.advance(60_000);
    expect(stored()?.status?.certificate).toBeUndefined();
  });

  test("another's signer is left alone", async () => {
    const csr = request("example.com/mine");
    csr.metadata = { name: "other" };
    const { fixture, stored } = await approved(csr);
    await fixture.env.advance(60_000);
    expect(stored()?.status).toMatchObject({ conditions: [{ type: "Approved" }] });
    expect(stored()?.status?.certificate).toBeUndefined();
  });
});
