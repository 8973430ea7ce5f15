// Requests for certificates are read as they are written, signed within their policy, and refused where they are not genuine.
import "reflect-metadata";
import { webcrypto, X509Certificate } from "node:crypto";
import {
  cryptoProvider,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  type JsonGeneralNames,
} from "@peculiar/x509";
import { beforeAll, describe, expect, test } from "vitest";
import { createRealEnv } from "@coxswain/env";
import {
  createCa,
  createCertificateAuthority,
  parseSigningRequest,
  type CertificateAuthority,
  type KeyPairPem,
} from "../src/identity/index.ts";

const env = createRealEnv();
const HOUR_MS = 3_600_000;
let ca: KeyPairPem;
let authority: CertificateAuthority;
beforeAll(async () => {
  cryptoProvider.set(webcrypto);
  ca = await createCa(env);
  authority = createCertificateAuthority(ca, env);
});

const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
};

async function requestOf(name: string, names: JsonGeneralNames = [], algorithm: typeof EC | typeof RSA = EC) {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name,
    keys,
    signingAlgorithm: algorithm,
    extensions: names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)],
  });
  return request.toString("pem");
}

describe("a request", () => {
  test("says whom and what it is for", async () => {
    const pem = await requestOf("O=system:nodes, CN=system:node:n1", [
      { type: "dns", value: "n1" },
      { type: "ip", value: "10.0.0.1" },
      { type: "ip", value: "fd00::1" },
      { type: "email", value: "a@example.test" },
      { type: "url", value: "spiffe://example.test/n1" },
    ]);
    expect(parseSigningRequest(pem)).toEqual({
      commonName: "system:node:n1",
      organizations: ["system:nodes"],
      dnsNames: ["n1"],
      ips: ["10.0.0.1", "fd00::1"],
      emails: ["a@example.test"],
      uris: ["spiffe://example.test/n1"],
    });
  });

  test("that is none is refused", async () => {
    expect(() => parseSigningRequest("hello")).toThrow("PEM block type must be CERTIFICATE REQUEST");
    await expect(authority.sign(ca.certPem, { usages: ["client auth"], ttlMs: HOUR_MS })).rejects.toThrow(
      "PEM block type must be CERTIFICATE REQUEST",
    );
  });
});

describe("a certificate", () => {
  test.each([
    ["EC", EC],
    ["RSA", RSA],
  ] as const)("of an %s key is the CA's and names the user", async (_, algorithm) => {
    const pem = await requestOf("O=dev, O=ops, CN=jane", [], algorithm);
    const certificate = new X509Certificate(
      await authority.sign(pem, { usages: ["digital signature", "client auth"], ttlMs: 24 * HOUR_MS }),
    );
    const issuer = new X509Certificate(ca.certPem);
    expect(certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)).toBe(true);
    expect(certificate.subject.split("\n")).toEqual(["O=dev", "O=ops", "CN=jane"]);
    expect(certificate.ca).toBe(false);
    expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  });

  test("keeps the names that were asked for", async () => {
    const pem = await requestOf("O=system:nodes, CN=system:node:n1", [{ type: "dns", value: "n1" }]);
    const text = await authority.sign(pem, { usages: ["server auth"], ttlMs: 24 * HOUR_MS });
    expect(new X509Certificate(text).subjectAltName).toBe("DNS:n1");
  });

  test.each([
    ["a short life lasts from now on", HOUR_MS, 0, HOUR_MS],
    ["a long one counts from five minutes ago", 24 * HOUR_MS, 0, 24 * HOUR_MS - 300_000],
    ["none outlives the CA", 20 * 365 * 24 * HOUR_MS, Number.NaN, 0],
  ])("%s", async (_, ttlMs, expected, lifeMs) => {
    const nowMs = env.clock.now();
    const certificate = new X509Certificate(
      await authority.sign(await requestOf("CN=a"), { usages: ["client auth"], ttlMs }),
    );
    const endMs = Date.parse(certificate.validTo);
    if (Number.isNaN(expected)) expect(endMs).toBe(Date.parse(new X509Certificate(ca.certPem).validTo));
    else expect(Math.abs(endMs - nowMs - lifeMs)).toBeLessThan(60_000);
    expect(Date.parse(certificate.validFrom)).toBeLessThan(nowMs - 240_000);
  });

  test("is not given for a request that somebody changed, nor for a usage that nobody knows", async () => {
    const pem = await requestOf("CN=honest");
    const der = Buffer.from(pem.replaceAll(/-----[A-Z ]+-----|\s/g, ""), "base64");
    der[der.indexOf("honest")] = "H".charCodeAt(0);
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
    expect(parseSigningRequest(forged).commonName).toBe("Honest");
    await expect(authority.sign(forged, { usages: ["client auth"], ttlMs: HOUR_MS })).rejects.toThrow(
      "unable to verify certificate request signature",
    );
    await expect(authority.sign(pem, { usages: ["flying"], ttlMs: HOUR_MS })).rejects.toThrow(
      'unrecognized usage values: ["flying"]',
    );
  });
});
