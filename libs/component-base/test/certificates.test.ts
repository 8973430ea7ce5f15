// What is signed here reads the same to others: to a library for X.509, to Node, and to openssl where there is one.
import "reflect-metadata";
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as Peculiar,
} from "@peculiar/x509";
import { VirtualEnv } from "@coxswain/env";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createCa, issueCertificate, type CertificateUsage } from "../src/identity/certificates.ts";
import {
  contentOf,
  integer,
  itemsOf,
  namedBits,
  objectIdentifier,
  octetString,
  sequence,
} from "../src/identity/der.ts";

const env = new VirtualEnv({ seed: 7 });
const EKU: Record<CertificateUsage, string> = { client: "1.3.6.1.5.5.7.3.2", server: "1.3.6.1.5.5.7.3.1" };

const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,20}[a-z0-9])?$/);
const request = fc.record({
  commonName: fc.oneof(
    label,
    fc.string({ minLength: 1, maxLength: 60, unit: "grapheme-ascii" }),
    fc.constant("Überbau"),
  ),
  organizations: fc.array(
    label.map((name) => `system:${name}`),
    { maxLength: 3 },
  ),
  dnsNames: fc.uniqueArray(
    fc.array(label, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(".")),
    { maxLength: 5 },
  ),
  ips: fc.uniqueArray(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 5 }),
  usages: fc.subarray<CertificateUsage>(["client", "server"], { minLength: 1 }),
  days: fc.integer({ min: 1, max: 20_000 }),
});

test("a certificate says what was asked for, to Node and to a library", async () => {
  const ca = await createCa(env, "a CA");
  const authority = new X509Certificate(ca.certPem);
  await fc.assert(
    fc.asyncProperty(request, async (wanted) => {
      const { certPem, keyPem } = await issueCertificate(ca, wanted, env);
      const node = new X509Certificate(certPem);
      expect(node.checkIssued(authority)).toBe(true);
      expect(node.verify(authority.publicKey)).toBe(true);
      const read = new Peculiar(certPem);
      expect(read.subjectName.toJSON()).toEqual([
        ...wanted.organizations.map((name) => ({ O: [name] })),
        { CN: [wanted.commonName] },
      ]);
      expect(read.issuerName.toJSON()).toEqual([{ CN: ["a CA"] }]);
      const seconds = (ms: number): number => Math.floor(ms / 1000) * 1000;
      expect(read.notBefore.getTime()).toBe(seconds(env.clock.now() - 5 * 60_000));
      expect(read.notAfter.getTime()).toBe(seconds(env.clock.now() + wanted.days * 86_400_000));
      expect(read.getExtension(ExtendedKeyUsageExtension)?.usages).toEqual(wanted.usages.map((usage) => EKU[usage]));
      expect(read.getExtension(BasicConstraintsExtension)).toMatchObject({ ca: false, critical: true });
      expect(read.getExtension(KeyUsagesExtension)).toMatchObject({ usages: 1, critical: true });
      const alternatives = read.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
      expect(alternatives.filter(({ type }) => type === "dns").map(({ value }) => value)).toEqual(wanted.dnsNames);
      for (const address of wanted.ips) expect(node.checkIP(address)).toBe(address);
      expect(alternatives).toHaveLength(wanted.dnsNames.length + wanted.ips.length);
      expect(keyPem).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
      expect(certPem.split("\n").every((line) => line.length <= 64)).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test("a CA names its key, as those under it do, and may sign certificates only", async () => {
  const ca = await createCa(env);
  const read = new Peculiar(ca.certPem);
  const under = new Peculiar(
    (await issueCertificate(ca, { commonName: "one", usages: ["client"], days: 1 }, env)).certPem,
  );
  const own = read.getExtension(SubjectKeyIdentifierExtension)?.keyId;
  expect(own).toMatch(/^[0-9a-f]{40}$/);
  expect(under.getExtension(AuthorityKeyIdentifierExtension)?.keyId).toBe(own);
  expect(read.getExtension(BasicConstraintsExtension)).toMatchObject({ ca: true, critical: true });
  // keyCertSign, cRLSign, digitalSignature
  expect(read.getExtension(KeyUsagesExtension)).toMatchObject({ usages: 32 | 64 | 1, critical: true });
  expect(new X509Certificate(ca.certPem).ca).toBe(true);
});

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

test.skipIf(!hasOpenssl)("a CA's name goes into what it signs byte for byte, however it was written", async () => {
  // A PrintableString, as other programs write it.
  const home = mkdtempSync(join(tmpdir(), "coxswain-ca-"));
  try {
    const wish =
      "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -addext keyUsage=critical,keyCertSign";
    const files = ["-keyout", join(home, "key"), "-out", join(home, "crt")];
    const made = spawnSync("openssl", [...wish.split(" "), "-subj", "/C=DE/O=Some/CN=theirs", ...files]);
    expect(made.status).toBe(0);
    const read = (name: string): string => readFileSync(join(home, name), "utf8");
    const ca = { certPem: read("crt"), keyPem: read("key") };
    const one = await issueCertificate(ca, { commonName: "one", usages: ["server"], dnsNames: ["a"], days: 1 }, env);
    writeFileSync(join(home, "one"), one.certPem);
    expect(new X509Certificate(one.certPem).checkIssued(new X509Certificate(ca.certPem))).toBe(true);
    const verdict = spawnSync("openssl", [
      "verify",
      "-x509_strict",
      "-no_check_time",
      "-CAfile",
      join(home, "crt"),
      join(home, "one"),
    ]);
    expect(verdict.stderr.toString()).toBe("");
    expect(verdict.stdout.toString()).toContain("OK");
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

test("values are written as DER demands", () => {
  expect(integer(Buffer.from([0, 0, 0x80])).toString("hex")).toBe("02020080");
  expect(integer(Buffer.from([0])).toString("hex")).toBe("020100");
  expect(namedBits(0).toString("hex")).toBe("03020780");
  expect(objectIdentifier("1.2.840.10045.4.3.2").toString("hex")).toBe("06082a8648ce3d040302");
  for (const length of [0, 127, 128, 255, 256, 65_536]) {
    const inner = octetString(Buffer.alloc(length, 1));
    const [again] = itemsOf(sequence(inner));
    expect(again).toEqual(inner);
    expect(contentOf(inner)).toHaveLength(length);
  }
  expect(() => itemsOf(octetString(Buffer.alloc(3)))).toThrow(RangeError);
  expect(() => itemsOf(sequence(Buffer.alloc(5)).subarray(0, 4))).toThrow(RangeError);
});
